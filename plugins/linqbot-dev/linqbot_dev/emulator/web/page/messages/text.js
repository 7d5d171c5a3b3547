// A text part as elements.

import { h } from "../elements/dom.js";
import { localUrl } from "../elements/urls.js";
import { graphemes, runsOf } from "../model/content/text.js";

/** @import { Part } from "../client/types.d.ts" */
/** @import { Run } from "../model/content/text.js" */

const LONGEST_WORD = 22;
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/**
 * Make a part's text with its decorations.
 * @param {Part} part
 */
export function richText(part) {
  const fragment = document.createDocumentFragment();
  fragment.append(...runsOf(part).map(runNode));
  return fragment;
}

/** @param {Run} run */
function runNode({ text, start, marks }) {
  const sticker = localUrl(marks.find((mark) => mark.sticker)?.sticker?.url);
  if (sticker) return h("img", { class: "inline-sticker", src: sticker, alt: text });
  const moving = marks.find((mark) => mark.animation);
  const letters = moving?.animation ? animated(text, moving.animation, start - moving.range[0]) : text;
  const classes = marks.flatMap((mark) => mark.cls ?? []).join(" ");
  const node = classes ? h("span", { class: classes }, letters) : letters;
  const href = marks.find((mark) => mark.href)?.href;
  return href ? h("a", { href, target: "_blank", rel: "noopener noreferrer" }, node) : node;
}

/**
 * Make a span for each letter. The letters are numbered from the start of the animated range, so that CSS can move
 * them one after the other.
 * @param {string} text
 * @param {string} animation
 * @param {number} from The number of the first letter.
 */
function animated(text, animation, from) {
  const node = h("span", { class: `animated ${animation}`, dir: "auto", role: "img", "aria-label": text });
  let at = from;
  for (const piece of text.split(/(\s+)/)) {
    node.append(piece.trim() ? word(piece, at) : piece);
    at += piece.length;
  }
  return node;
}

/**
 * @param {string} text
 * @param {number} at
 */
function word(text, at) {
  // A line could break between any two letter spans. The class forbids it, except in a word longer than a line.
  const node = h("span", { class: text.length <= LONGEST_WORD ? "word" : null });
  // Arabic letters join, and Hebrew ones run against the others of a word: such a word moves as a whole.
  const letters = RIGHT_TO_LEFT.test(text) ? [{ segment: text, index: 0 }] : graphemes(text);
  for (const { segment, index } of letters) {
    const letter = h("span", { class: "letter" }, segment);
    letter.style.setProperty("--i", String(at + index));
    node.append(letter);
  }
  return node;
}
