// A text part as nodes: decorations, animations, mentions, stickers and links over ranges. Linq counts UTF-16 code
// units, and so does JavaScript: the ranges are used as they come.

import { h } from "../elements/dom.js";
import { localUrl } from "./media.js";

const LINK = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const LINE_LETTERS = 22;
const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\p{Regional_Indicator})+$/u;

/** One to three emoji and nothing else: a phone shows them large, without a bubble. */
export function isJumbo(part) {
  const text = part.value?.trim() ?? "";
  if (part.type !== "text" || !text || text.length > 40 || !EMOJI.test(text) || /^[\d#*]+$/.test(text)) return false;
  return [...graphemes.segment(text)].length <= 3 && !part.text_decorations?.length;
}

function marksOf({ value, text_decorations: decorations, mentions, inline_stickers: stickers }) {
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

/** One span per letter, numbered from the start of the animated range, so that CSS can let them move one by one. */
function letters(text, animation, from) {
  const animated = h("span", { class: `animated ${animation}`, role: "img", "aria-label": text });
  let at = from;
  for (const piece of text.split(/(\s+)/)) {
    // Letters on their own may break a line anywhere; a word may not, unless it is longer than one.
    const word = h("span", { class: piece.length <= LINE_LETTERS && piece.trim() ? "word" : null });
    for (const { segment, index } of graphemes.segment(piece)) {
      const letter = h("span", { class: "letter" }, segment);
      letter.style.setProperty("--i", at + index);
      word.append(letter);
    }
    animated.append(...(piece.trim() ? [word] : [piece]));
    at += piece.length;
  }
  return animated;
}

/** The part's text, decorated. */
export function richText(part) {
  const { value } = part;
  const marks = marksOf(part);
  const cuts = [...new Set([0, value.length, ...marks.flatMap(({ range }) => range)])]
    .filter((cut) => cut >= 0 && cut <= value.length)
    .sort((a, b) => a - b);
  const fragment = document.createDocumentFragment();
  for (let i = 0; i + 1 < cuts.length; i += 1) {
    const [start, end] = [cuts[i], cuts[i + 1]];
    const over = marks.filter(({ range }) => range[0] <= start && end <= range[1]);
    fragment.append(run(value.slice(start, end), start, over));
  }
  return fragment;
}

function run(text, start, marks) {
  const sticker = localUrl(marks.find((mark) => mark.sticker)?.sticker.url);
  if (sticker) return h("img", { class: "inline-sticker", src: sticker, alt: text });
  const moving = marks.find((mark) => mark.animation);
  let node = moving ? letters(text, moving.animation, start - moving.range[0]) : document.createTextNode(text);
  const classes = marks
    .filter((mark) => mark.cls)
    .map((mark) => mark.cls)
    .join(" ");
  if (classes) node = h("span", { class: classes }, node);
  const href = marks.find((mark) => mark.href)?.href;
  return href ? h("a", { href, target: "_blank", rel: "noopener noreferrer" }, node) : node;
}
