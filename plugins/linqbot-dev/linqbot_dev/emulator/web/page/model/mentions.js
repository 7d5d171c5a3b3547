// Mentions of members in the text of a group. A bot that answers only when it is addressed needs a mention; its name in
// the text is not enough.

import { others } from "./chats.js";
import { nameIn } from "./names.js";

/** @import { Range } from "../client/types.d.ts" */
/** @import { ShownChat } from "./chats.js" */
/** @import { Store } from "./store.js" */

/**
 * Return the mentions of the chat's members in `text`, with ranges in UTF-16 code units as Linq counts them.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {string} text
 */
export function mentionsIn(store, chat, text) {
  /** @type {{ handle: string, range: Range }[]} */
  const found = [];
  if (!chat.is_group) return found;
  // Longer names first: "@Your bot 2" is not a mention of "Your bot".
  const names = others(store, chat)
    .map(({ handle }) => ({ handle, name: `@${nameIn(store, chat, handle)}` }))
    .sort((a, b) => b.name.length - a.name.length);
  for (const { handle, name } of names) {
    for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + name.length)) {
      const end = at + name.length;
      if (!found.some(({ range }) => at < range[1] && range[0] < end)) found.push({ handle, range: [at, end] });
    }
  }
  return found.sort((a, b) => a.range[0] - b.range[0]);
}

/**
 * Return the start of the "@…" that ends `text`, and the members whose names fit the letters after the "@". Without
 * such an "@…" there are no members.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {string} text The text before the caret.
 */
export function membersToMention(store, chat, text) {
  const typed = chat.is_group ? /(?:^|\s)@([^@\n]{0,20})$/.exec(text)?.[1] : undefined;
  if (typed === undefined) return { from: text.length, handles: [] };
  const handles = others(store, chat)
    .map((member) => member.handle)
    .filter((handle) => fits(nameIn(store, chat, handle).toLowerCase(), typed.toLowerCase()));
  return { from: text.length - typed.length - 1, handles };
}

/**
 * @param {string} name
 * @param {string} typed The start of the name or of one of its words. A complete name with a space after it fits no
 *   more: the mention is finished.
 */
function fits(name, typed) {
  if (typed === `${name} `) return false;
  return name.startsWith(typed) || name.split(" ").some((word) => word.startsWith(typed));
}
