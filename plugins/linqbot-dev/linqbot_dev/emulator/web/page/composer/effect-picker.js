// The sheet "Send with effect", which a phone opens when the send button is held.

import { SCENES } from "../effects/scenes.js";
import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { BUBBLE_EFFECTS, effectTitle } from "../model/content/effect-names.js";

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
    section("Bubble", Object.keys(BUBBLE_EFFECTS), current, choose),
    section("Screen", ["echo", ...Object.keys(SCENES)], current, choose),
  ]);
}

/**
 * @param {string} title
 * @param {string[]} effects
 * @param {string | null} current
 * @param {(name: string) => void} choose
 */
function section(title, effects, current, choose) {
  const buttons = effects.map((name) =>
    buttonTo(
      () => choose(name),
      { "aria-pressed": String(name === current) },
      icon(`effect-${name}`, "effect-face"),
      effectTitle(name),
      name === current && icon("check"),
    ),
  );
  return h("section", {}, h("h3", {}, title), h("div", { class: "effect-grid" }, buttons));
}
