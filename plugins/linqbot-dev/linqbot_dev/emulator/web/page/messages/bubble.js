// The bubble of a part: a text, a file or a card.

import { appCard, appClipCard, linkCard, unknownPart } from "../cards/cards.js";
import { isVisual, mediaContent } from "../cards/media.js";
import { h } from "../elements/dom.js";
import { isJumbo } from "../model/content/text.js";
import { richText } from "./text.js";

/** @import { Part } from "../client/types.d.ts" */

/** @param {Part} part */
function content(part) {
  switch (part.type) {
    case "text":
      return richText(part);
    case "media":
      return mediaContent(part);
    case "link":
      return linkCard(part);
    case "imessage_app":
      return appCard(part);
    case "app_clip":
      return appClipCard(part);
    default:
      return unknownPart(part);
  }
}

/**
 * Return the class of a part's bubble.
 * @param {Part} part
 */
export function shape(part) {
  if (isJumbo(part)) return "jumbo";
  if (part.type === "text") return "text";
  if (isVisual(part)) return part.sticker ? "bare" : "visual";
  return part.type === "media" ? "text" : "card-bubble";
}

/**
 * Make the bubble of a part.
 * @param {Part} part
 */
export const partBubble = (part) => h("div", { class: `bubble ${shape(part)}` }, content(part));
