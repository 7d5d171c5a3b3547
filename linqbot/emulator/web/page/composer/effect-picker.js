// The sheet "Send with effect", which a phone opens when the send button is held.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { BUBBLE_EFFECTS, SCREEN_EFFECTS } from "../model/content/effect-names.js";

/**
 * Let the person choose an effect.
 * @param {string | null} current
 * @param {(name: string | null) => void} onChoose Called with null when the person presses the current effect.
 */
export function openEffectPicker(current, onChoose) {
  const choose = (/** @type {string} */ name) => {
    close();
    onChoose(name === current ? null : name);
  };
  const close = openSheet("Send with effect", [
    section("Bubble", BUBBLE_EFFECTS, current, choose),
    section("Screen", SCREEN_EFFECTS, current, choose),
  ]);
}

/**
 * @param {string} title
 * @param {Record<string, string>} effects Titles by name.
 * @param {string | null} current
 * @param {(name: string) => void} choose
 */
function section(title, effects, current, choose) {
  const buttons = Object.entries(effects).map(([name, label]) =>
    h(
      "button",
      { type: "button", "aria-pressed": String(name === current), on: { click: () => choose(name) } },
      icon(`effect-${name}`, "effect-face"),
      label,
      name === current && icon("check"),
    ),
  );
  return h("section", {}, h("h3", {}, title), h("div", { class: "effect-grid" }, buttons));
}
