// The runs of a text part: its decorations, animations, mentions, stickers and links, over ranges of its text. Linq
// counts UTF-16 code units as JavaScript does, so the ranges are used as they come.

/** @import { InlineSticker, Part, Range } from "../../client/types.d.ts" */

/**
 * A mark over a range: a class, an animation, a sticker in place of the text, or a link.
 * @typedef {{ range: Range, cls?: string, animation?: string, sticker?: InlineSticker, href?: string }} Mark
 */

/**
 * A piece of text with the same marks all over. `start` is its place in the whole text.
 * @typedef {{ text: string, start: number, marks: Mark[] }} Run
 */

// Parentheses belong to a link in pairs, as in https://en.wikipedia.org/wiki/A_(b).
const LINK = /https?:\/\/(?:\([^\s<>"'()]*\)|[^\s<>"'()])*(?:\([^\s<>"'()]*\)|[^\s<>"'.,;:!?()\]”’»])/g;
const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\p{Regional_Indicator})+$/u;
const MAX_JUMBO = 3;

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * Return the letters of a text as a person counts them, with their places in UTF-16 code units.
 * @param {string} text
 */
export const graphemes = (text) => [...segmenter.segment(text)];

/**
 * Return true for a text of one to three emoji and nothing else. A phone shows them large and without a bubble.
 * @param {Part} part
 */
export function isJumbo(part) {
  const text = part.value?.trim() ?? "";
  if (part.type !== "text" || !text || text.length > 40 || part.text_decorations?.length) return false;
  // Digits, # and * are emoji components, for keycaps.
  if (!EMOJI.test(text) || /^[\d#*]+$/.test(text)) return false;
  return graphemes(text).length <= MAX_JUMBO;
}

/**
 * @param {Part} part
 * @param {string} value
 */
function marksOf({ text_decorations: decorations, mentions, inline_stickers: stickers }, value) {
  /** @type {Mark[]} */
  const marks = [];
  for (const { range, style, animation } of decorations ?? []) {
    if (style) marks.push({ range, cls: `style-${style}` });
    if (animation) marks.push({ range, animation });
  }
  for (const { range } of mentions ?? []) marks.push({ range: range ?? [0, value.length], cls: "mention" });
  for (const sticker of stickers ?? []) marks.push({ range: sticker.range, sticker });
  for (const found of value.matchAll(LINK)) {
    marks.push({ range: [found.index, found.index + found[0].length], href: found[0] });
  }
  return marks.filter(({ range }) => Array.isArray(range) && range[0] < range[1]);
}

/**
 * Cut a part's text wherever a mark begins or ends.
 * @param {Part} part
 * @returns {Run[]}
 */
export function runsOf(part) {
  const value = part.value ?? "";
  const marks = marksOf(part, value);
  const ends = marks.flatMap(({ range }) => range).filter((cut) => cut > 0 && cut < value.length);
  const cuts = [...new Set([0, ...ends, value.length])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, i) => {
    const start = cuts[i];
    const over = marks.filter(({ range }) => range[0] <= start && end <= range[1]);
    return { text: value.slice(start, end), start, marks: over };
  });
}
