// The buttons that give the selected text, or all of it, a style or an animation.

import { h } from "../elements/dom.js";
import { ANIMATIONS, isDecorated, STYLES, toggled } from "../model/content/decorations.js";

/** @import { Decoration, Range } from "../client/types.d.ts" */
/** @import { Look } from "../model/content/decorations.js" */

/**
 * Return the selected range; the whole text without a selection.
 * @param {HTMLTextAreaElement} field
 * @returns {Range}
 */
function rangeOf({ value, selectionStart: start, selectionEnd: end }) {
  return start < end ? [start, end] : [0, value.length];
}

/**
 * @param {HTMLTextAreaElement} field
 * @param {Decoration[]} decorations
 * @param {(decorations: Decoration[]) => void} apply
 */
export function formatButtons(field, decorations, apply) {
  const button = (/** @type {Look} */ look, /** @type {string} */ cls, /** @type {string} */ label) => {
    const range = rangeOf(field);
    const isOn = range[0] < range[1] && isDecorated(decorations, range, look);
    return h(
      "button",
      {
        type: "button",
        class: cls,
        "aria-pressed": String(isOn),
        on: {
          // A press would take the focus from the field, and with it the selection.
          pointerdown: (event) => event.preventDefault(),
          click: () => apply(toggled(decorations, rangeOf(field), look)),
        },
      },
      label,
    );
  };
  return [
    ...Object.entries(STYLES).map(([style, label]) => button({ style }, `style-${style}`, label)),
    ...Object.entries(ANIMATIONS).map(([animation, label]) => button({ animation }, "", label)),
  ];
}
