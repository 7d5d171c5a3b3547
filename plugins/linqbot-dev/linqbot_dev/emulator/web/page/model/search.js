// Searching the person's chats and their messages.

import { messagesOf } from "./chats.js";
import { chatTitle } from "./names.js";
import { messagePreview } from "./previews.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { Chat } from "./chats.js" */
/** @import { Store } from "./store.js" */

const MOST_FOUND = 40;

/**
 * Return the chats whose titles have the words, and the latest messages that have them.
 * @param {Store} store
 * @param {string} words
 */
export function search(store, words) {
  const wanted = words.trim().toLowerCase();
  const chats = store.myChats();
  const found = {
    chats: chats.filter((chat) => chatTitle(store, chat).toLowerCase().includes(wanted)),
    messages: /** @type {{ chat: Chat, message: Message }[]} */ ([]),
  };
  for (const chat of chats) {
    const messages = messagesOf(chat);
    for (let i = messages.length - 1; i >= 0 && found.messages.length < MOST_FOUND; i -= 1) {
      const message = messages[i];
      if (messagePreview(message).toLowerCase().includes(wanted)) found.messages.push({ chat, message });
    }
  }
  return found;
}

/**
 * Cut a text so that the words are in sight, and split it around them.
 * @param {string} text
 * @param {string} words
 * @returns {{ before: string, match: string, after: string }}
 */
export function excerpt(text, words) {
  const at = text.toLowerCase().indexOf(words.trim().toLowerCase());
  if (at < 0) return { before: text, match: "", after: "" };
  const end = at + words.trim().length;
  const from = at > 30 ? text.lastIndexOf(" ", at - 15) + 1 : 0;
  return {
    before: `${from > 0 ? "…" : ""}${text.slice(from, at)}`,
    match: text.slice(at, end),
    after: text.slice(end),
  };
}
