// The styles and animations of a text that is being written. Ranges are in UTF-16 code units, as in Linq's API.

/** @import { Decoration, Range } from "../../client/types.d.ts" */

/** @type {Record<string, string>} */
export const STYLES = { bold: "Bold", italic: "Italic", underline: "Underline", strikethrough: "Strikethrough" };

/** @type {Record<string, string>} */
export const ANIMATIONS = {
  big: "Big",
  small: "Small",
  shake: "Shake",
  nod: "Nod",
  explode: "Explode",
  ripple: "Ripple",
  bloom: "Bloom",
  jitter: "Jitter",
};

/** @typedef {{ style: string } | { animation: string }} Look */

/**
 * @param {Range} a
 * @param {Range} b
 */
const overlap = (a, b) => a[0] < b[1] && b[0] < a[1];

/**
 * Return the pieces of a range that lie outside another.
 * @param {Range} range
 * @param {Range} hole
 * @returns {Range[]}
 */
function without(range, hole) {
  if (!overlap(range, hole)) return [range];
  /** @type {Range[]} */
  const pieces = [
    [range[0], hole[0]],
    [hole[1], range[1]],
  ];
  return pieces.filter(([start, end]) => start < end);
}

/**
 * @param {Decoration} decoration
 * @param {Look} look
 */
const has = (decoration, look) =>
  "style" in look ? decoration.style === look.style : decoration.animation === look.animation;

/**
 * Return true if the whole range has a look.
 * @param {Decoration[]} decorations
 * @param {Range} range
 * @param {Look} look
 */
export function isDecorated(decorations, range, look) {
  /** @type {Range[]} */
  let rest = [range];
  for (const decoration of decorations) {
    if (has(decoration, look)) rest = rest.flatMap((piece) => without(piece, decoration.range));
  }
  return rest.length === 0;
}

/**
 * Give a range a look, or take it away if the whole range has it. An animation stands alone (Linq's rule R45): it takes
 * the place of every look in its range, and a style takes the place of an animation.
 * @param {Decoration[]} decorations
 * @param {Range} range
 * @param {Look} look
 * @returns {Decoration[]}
 */
export function toggled(decorations, range, look) {
  if (range[0] >= range[1]) return decorations;
  const isOn = isDecorated(decorations, range, look);
  const gives = (/** @type {Decoration} */ one) =>
    has(one, look) || (!isOn && (Boolean(one.animation) || "animation" in look));
  const kept = decorations.flatMap((one) =>
    gives(one) ? without(one.range, range).map((piece) => ({ ...one, range: piece })) : [one],
  );
  const all = isOn ? kept : [...kept, { range, ...look }];
  return all.sort((a, b) => a.range[0] - b.range[0]);
}

/**
 * Move the ranges with a change of their text. Letters typed inside a range, or at its end, belong to it.
 * @param {Decoration[]} decorations
 * @param {string} before
 * @param {string} after
 * @returns {Decoration[]}
 */
export function moved(decorations, before, after) {
  if (decorations.length === 0 || before === after) return decorations;
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const cut = before.length - tail; // the text from `head` to `cut` was replaced
  const grown = after.length - before.length;
  const place = (/** @type {number} */ at, /** @type {boolean} */ isEnd) => {
    if (at < head || (at === head && !isEnd)) return at;
    if (at >= cut) return at + grown;
    return isEnd ? after.length - tail : head;
  };
  return decorations
    .map((one) => ({ ...one, range: /** @type {Range} */ ([place(one.range[0], false), place(one.range[1], true)]) }))
    .filter(({ range }) => range[0] < range[1]);
}

/**
 * Return the decorations of the text without the white space around it.
 * @param {Decoration[]} decorations
 * @param {string} text
 */
export const trimmed = (decorations, text) =>
  moved(moved(decorations, text, text.trimStart()), text.trimStart(), text.trim());
