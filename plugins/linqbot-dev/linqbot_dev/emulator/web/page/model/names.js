// The names of lines, people and chats, as this phone's person sees them.

import { lineOf, others } from "./chats.js";
import { formatHandle } from "./handles.js";
import { personName } from "./people.js";

/** @import { ShownChat } from "./chats.js" */
/** @import { Store } from "./store.js" */

/**
 * Return the place of a line in the account. A line that is gone from the account counts as the first.
 * @param {Store} store
 * @param {string} handle
 */
export const lineIndex = (store, handle) =>
  Math.max(
    0,
    store.lines.findIndex((line) => line.phone_number === handle),
  );

/**
 * @param {Store} store
 * @param {string} handle
 */
export function lineName(store, handle) {
  const index = lineIndex(store, handle);
  return index > 0 ? `Your bot ${index + 1}` : "Your bot";
}

/**
 * Return true if a handle is the bot's, in this chat or in another.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {string} handle
 */
export const isBot = (store, chat, handle) => handle === lineOf(chat) || store.isLine(handle);

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {string} handle
 */
export function nameIn(store, chat, handle) {
  if (handle === store.me) return "You";
  if (!isBot(store, chat, handle)) return personName(handle);
  return (handle === lineOf(chat) && cardName(chat)) || lineName(store, handle);
}

/**
 * Return the name on the card that the bot has shared in a chat; empty without one.
 * @param {ShownChat} chat
 */
const cardName = ({ card }) => [card?.first_name, card?.last_name].filter(Boolean).join(" ");

/**
 * @param {Store} store
 * @param {ShownChat} chat
 */
export function chatTitle(store, chat) {
  if (chat.is_group && chat.name) return chat.name;
  const members = others(store, chat).map((member) => member.handle);
  // As on a phone: a group is named after its people. The bot is in every chat here, so its name would say nothing.
  const people = members.filter((handle) => !isBot(store, chat, handle));
  const names = (people.length > 0 ? people : members).map((handle) => nameIn(store, chat, handle));
  return joined(names) || formatHandle(lineOf(chat) ?? "");
}

/**
 * Return names as a phone writes them: `Ada`, `Ada & Bob`, `Ada, Bob & Cleo`.
 * @param {string[]} names
 */
const joined = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} & ${names[names.length - 1]}`;
