// The round pictures of people, bots and chats.

import { lineOf, others } from "../model/chats.js";
import { isBot, lineIndex } from "../model/names.js";
import { givenName } from "../model/people.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { localUrl } from "./urls.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const HUES = 6;
const BOT_HUES = 3;

/** @param {string} text */
function hue(text) {
  let sum = 0;
  for (const char of text) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return sum % HUES;
}

/** @param {string} name */
const initials = (name) =>
  name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => [...word][0])
    .join("")
    .toUpperCase();

/**
 * Make the picture of a person: the initials of a given name, else a silhouette.
 * @param {string} handle
 */
export function avatar(handle) {
  const name = givenName(handle);
  return h(
    "span",
    { class: `avatar hue-${hue(handle)}`, "aria-hidden": "true" },
    name ? initials(name) : icon("person"),
  );
}

/**
 * Make the picture of the bot's line: a robot, in another colour for each line.
 * @param {Store} store
 * @param {string} handle
 */
export const lineAvatar = (store, handle) =>
  h("span", { class: `avatar bot bot-${lineIndex(store, handle) % BOT_HUES}`, "aria-hidden": "true" }, icon("bot"));

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {string} handle
 */
export function avatarIn(store, chat, handle) {
  if (!isBot(store, chat, handle)) return avatar(handle);
  const picture = handle === lineOf(chat) && localUrl(chat.card?.image_url);
  return picture ? pictureAvatar(picture) : lineAvatar(store, handle);
}

/** @param {string} src */
const pictureAvatar = (src) => h("span", { class: "avatar", "aria-hidden": "true" }, h("img", { src, alt: "" }));

/**
 * Make the picture of a chat: the other side's, or the group's own, or two of its members'.
 * @param {Store} store
 * @param {ShownChat} chat
 */
export function chatAvatar(store, chat) {
  const all = others(store, chat);
  const people = all.filter((member) => !isBot(store, chat, member.handle));
  const members = people.length > 1 ? people : [...people, ...all.filter((member) => !people.includes(member))];
  if (!chat.is_group) return avatarIn(store, chat, lineOf(chat) ?? members[0]?.handle ?? "");
  const picture = localUrl(chat.group_chat_icon);
  if (picture) return pictureAvatar(picture);
  if (members.length < 2) return h("span", { class: "avatar hue-0", "aria-hidden": "true" }, icon("people"));
  const faces = members.slice(0, 2).map((member) => avatarIn(store, chat, member.handle));
  return h("span", { class: "avatar pair", "aria-hidden": "true" }, faces);
}
