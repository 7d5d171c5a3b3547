// A sheet that slides up over the phone's screen.

import { buttonTo, find, h } from "./dom.js";
import { rememberFocus } from "./focus.js";
import { openOverlay } from "./overlay.js";

/** @import { Child } from "./dom.js" */

/**
 * Open a sheet.
 * @param {string} title
 * @param {Child | Child[]} content
 * @param {{ label: string, run: () => boolean }} [action] The button at the right. The sheet stays open when `run`
 *   returns false.
 * @returns {() => void} Closes the sheet.
 */
export function openSheet(title, content, action) {
  const giveFocusBack = rememberFocus();
  const sheet = h(
    "div",
    { class: "sheet", role: "dialog", "aria-modal": "true", "aria-label": title },
    h(
      "header",
      { class: "sheet-head" },
      textButton(action ? "Cancel" : "Close", "", () => close()),
      h("h2", {}, title),
      action ? textButton(action.label, "strong", () => action.run() && close()) : h("span"),
    ),
    h("div", { class: "sheet-body" }, content),
  );
  const close = openOverlay({ class: "backdrop" }, [sheet], giveFocusBack);
  find(sheet, "button").focus({ preventScroll: true });
  return close;
}

/**
 * @param {string} label
 * @param {string} cls Further classes.
 * @param {() => unknown} onClick
 */
const textButton = (label, cls, onClick) => buttonTo(onClick, { class: `text-button ${cls}`.trim() }, label);
