// The sheet that makes a poll.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { succeeds, toast } from "../elements/toast.js";
import { makePoll } from "../client/control.js";

/** @import { Store } from "../model/store.js" */

const FEWEST = 2;

/**
 * @param {Store} store
 * @param {string} chatId
 */
export function openPollSheet(store, chatId) {
  const list = h("div", { class: "poll-fields" });
  const fields = () => [...list.querySelectorAll("input")];

  function addField() {
    const number = fields().length + 1;
    const field = h("input", {
      type: "text",
      placeholder: `Option ${number}`,
      "aria-label": `Option ${number}`,
      maxlength: "100",
    });
    list.append(field);
    return field;
  }

  for (let i = 0; i < FEWEST; i += 1) addField();
  const more = buttonTo(() => addField().focus(), { class: "text-button" }, icon("plus"), "Add an option");

  function send() {
    const options = fields().map((field) => field.value.trim());
    const filled = options.filter(Boolean);
    if (filled.length < FEWEST) {
      toast("A poll needs at least two options.");
      return false;
    }
    succeeds(makePoll(store.me, chatId, filled));
    return true;
  }

  openSheet("New Poll", h("div", { class: "poll-sheet" }, list, more), { label: "Send", run: send });
  fields()[0].focus({ preventScroll: true });
}
