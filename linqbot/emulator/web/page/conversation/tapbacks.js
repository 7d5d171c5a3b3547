// Tapbacks: the badges on a bubble, and the gestures that open the picker.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { localUrl } from "../elements/urls.js";
import { nameIn } from "../model/names.js";

/** @import { Part, Reaction } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/** @type {Record<string, string>} */
export const TAPBACKS = {
  love: "Love",
  like: "Like",
  dislike: "Dislike",
  laugh: "Laugh",
  emphasize: "Emphasize",
  question: "Question",
};

const LONG_PRESS_MS = 450;
const MOVED_PX = 8; // a pointer that moves farther scrolls or selects
const OWN_GESTURES = "button, a, video"; // elements that do something else when they are pressed

/**
 * @param {Store} store
 * @param {Reaction} reaction
 */
export const isMine = (store, reaction) => !reaction.is_me && reaction.handle?.handle === store.me;

/** @param {Reaction} reaction */
function face(reaction) {
  if (reaction.type in TAPBACKS) return icon(reaction.type);
  const sticker = localUrl(reaction.sticker?.url);
  if (sticker) return h("img", { src: sticker, alt: "sticker" });
  return h("span", { class: "emoji" }, reaction.custom_emoji ?? "●");
}

/**
 * Make the badges of a part's reactions: one for each kind, with its number, the person's own in blue.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Part} part
 */
export function tapbackBadges(store, chat, part) {
  /** @type {Map<string, Reaction[]>} */
  const kinds = new Map();
  for (const reaction of part.reactions ?? []) {
    const { type, id, custom_emoji: emoji } = reaction;
    const kind = type === "sticker" ? `sticker ${id}` : `${type} ${emoji ?? ""}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), reaction]);
  }
  if (kinds.size === 0) return null;
  const badges = [...kinds.values()].map((reactions) => badge(store, chat, reactions));
  return h("span", { class: "tapbacks" }, badges);
}

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Reaction[]} reactions Of one kind.
 */
function badge(store, chat, reactions) {
  const [first] = reactions;
  const who = reactions.map((reaction) => nameIn(store, chat, reaction.handle?.handle ?? "")).join(", ");
  const label = `${TAPBACKS[first.type] ?? first.custom_emoji ?? "Reaction"} from ${who}`;
  const mine = reactions.some((reaction) => isMine(store, reaction)) ? " mine" : "";
  return h(
    "span",
    { class: `tapback ${first.type}${mine}`, role: "img", "aria-label": label, title: label },
    face(first),
    reactions.length > 1 && h("small", {}, String(reactions.length)),
  );
}

/**
 * Call `open` after a long press or a double click on `wrap`.
 * @param {HTMLElement} wrap
 * @param {() => void} open
 */
export function listenForTapback(wrap, open) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {PointerEvent | undefined} */
  let start;
  const cancel = () => clearTimeout(timer);
  wrap.addEventListener("pointerdown", (event) => {
    start = event;
    if (event.button === 0 && !hasOwnGesture(event)) timer = setTimeout(open, LONG_PRESS_MS);
  });
  wrap.addEventListener("pointermove", (event) => {
    if (start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > MOVED_PX) cancel();
  });
  for (const type of ["pointerup", "pointerleave", "pointercancel"]) wrap.addEventListener(type, cancel);
  wrap.addEventListener("dblclick", (event) => {
    if (hasOwnGesture(event)) return;
    getSelection()?.removeAllRanges();
    open();
  });
  // The long press of a finger would open the browser's own menu. With a mouse that menu stays.
  wrap.addEventListener("contextmenu", (event) => {
    if (start?.pointerType === "touch") event.preventDefault();
  });
}

/** @param {Event} event */
const hasOwnGesture = ({ target }) => target instanceof Element && target.closest(OWN_GESTURES) !== null;
