// Starting again: empties the emulator and, under `linqbot dev`, the bot's storage. It asks before.

import { resetAll } from "../client/conditions.js";
import { buttonTo, h } from "../elements/dom.js";
import { succeeds } from "../elements/toast.js";

/** @import { Store } from "../model/store.js" */

/**
 * @param {HTMLElement} root
 * @param {Store} store
 */
export function mountReset(root, store) {
  const ask = buttonTo(() => show(true), { class: "danger" }, "Empty everything …");
  const question = h("p");
  const yes = buttonTo(empty, { class: "danger strong" }, "Empty");
  const no = buttonTo(() => show(false), { class: "pill" }, "Cancel");
  const confirm = h("div", { class: "confirm", role: "alertdialog", "aria-label": "Empty everything", hidden: true });
  confirm.append(question, h("div", { class: "row" }, yes, no));
  const hint = h("p", { class: "hint" });
  root.append(h("h3", {}, "Start again"), hint, ask, confirm);

  /** @param {boolean} isAsking */
  function show(isAsking) {
    question.textContent = store.hasRunner
      ? "This deletes all conversations, faults and everything that the bot stores, and returns to real time."
      : "This deletes all conversations and faults, and returns to real time. The bot's storage stays as it is.";
    confirm.hidden = !isAsking;
    ask.hidden = isAsking;
    (isAsking ? no : ask).focus();
  }

  async function empty() {
    yes.disabled = true;
    await succeeds(resetAll());
    yes.disabled = false;
    show(false);
  }

  function render() {
    hint.textContent = store.hasRunner
      ? "Hold a message of yours, or double-click it, to deliver it again, to run it again, or to " +
        "restart from it. Restarting needs one of the latest 20 messages. It rewinds the emulator, the bot's storage and the " +
        "clock; it does not rewind a database of your own."
      : "Hold a message of yours, or double-click it, to deliver it again.";
  }

  store.onChange((topics) => topics.has("conditions") && render());
  render();
}
