// JSON as indented, coloured text.

import { h } from "../elements/dom.js";
import { jsonPieces } from "./summary.js";

/**
 * @param {string} label
 * @param {unknown} data
 */
export function jsonBlock(label, data) {
  const pieces = jsonPieces(data).map(({ text, cls }) => (cls ? h("span", { class: cls }, text) : text));
  return labelled(label, h("pre", { tabindex: "0", "aria-label": label }, pieces));
}

/**
 * @param {string} label
 * @param {HTMLElement} block
 */
export const labelled = (label, block) => h("section", { class: "block" }, h("h3", {}, label), block);
