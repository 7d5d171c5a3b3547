// Tapbacks: the badges on a bubble, and the gestures that open the picker.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { localUrl } from "../elements/urls.js";
import { nameIn } from "../model/names.js";

/** @import { Reaction } from "../client/types.d.ts" */
/** @import { Child } from "../elements/dom.js" */
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
const OWN_GESTURES = "button, a, video, input"; // elements that do something else when they are pressed

/**
 * @param {Store} store
 * @param {Reaction} reaction
 */
export const isMine = (store, reaction) => !reaction.is_me && reaction.handle?.handle === store.me;

/** @param {Reaction} reaction */
function face(reaction) {
  if (reaction.type in TAPBACKS) return icon(reaction.type);
  return h("span", { class: "emoji" }, reaction.custom_emoji ?? "●");
}

/**
 * Make what lies on a bubble: badges for tapbacks, and stickers at their places.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Reaction[] | undefined} reactions
 * @returns {Child[]}
 */
export function reactionMarks(store, chat, reactions = []) {
  const stickers = reactions.filter(({ type }) => type === "sticker");
  const tapbacks = reactions.filter(({ type }) => type !== "sticker");
  return [tapbackBadges(store, chat, tapbacks), ...stickers.map((reaction) => sticker(store, chat, reaction))];
}

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Reaction} reaction
 */
function sticker(store, chat, { sticker: image, placement, handle }) {
  const label = `Sticker from ${nameIn(store, chat, handle?.handle ?? "")}`;
  const src = localUrl(image?.url);
  const node = h("span", { class: "placed-sticker" }, src ? h("img", { src, alt: label, title: label }) : label);
  const { x = 0.9, y = -0.9, scale = 1, rotation = 0 } = placement ?? {};
  node.style.setProperty("left", `${(x + 1) * 50}%`);
  node.style.setProperty("top", `${(y + 1) * 50}%`);
  node.style.setProperty("--scale", String(scale));
  node.style.setProperty("--rotation", `${rotation}deg`);
  return node;
}

/**
 * Make the badges of a part's tapbacks: one for each kind, with its number, the person's own in blue.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Reaction[]} tapbacks
 */
function tapbackBadges(store, chat, tapbacks) {
  /** @type {Map<string, Reaction[]>} */
  const kinds = new Map();
  for (const reaction of tapbacks) {
    const kind = `${reaction.type} ${reaction.custom_emoji ?? ""}`;
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
