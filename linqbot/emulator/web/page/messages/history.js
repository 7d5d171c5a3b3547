// The line "Edited" under a message. Pressed, it shows the texts before each edit.

import { buttonTo, h } from "../elements/dom.js";
import { clockTime } from "../model/time.js";

/** @import { Message } from "../client/types.d.ts" */

/** @param {Message} message An edited one. */
export function editedLine({ earlier = [] }) {
  if (earlier.length === 0) return [h("p", { class: "fine edited" }, "Edited")];
  const texts = h(
    "ol",
    { class: "edit-history", "aria-label": "Earlier texts", hidden: true },
    earlier.map(({ text, until }) => h("li", {}, h("span", {}, text), h("small", {}, `until ${clockTime(until)}`))),
  );
  const toggle = () => {
    texts.hidden = !texts.hidden;
    button.setAttribute("aria-expanded", String(!texts.hidden));
    button.textContent = texts.hidden ? "Edited" : "Hide Edits";
  };
  const button = buttonTo(toggle, { class: "fine edited", "aria-expanded": "false" }, "Edited");
  return [button, texts];
}
