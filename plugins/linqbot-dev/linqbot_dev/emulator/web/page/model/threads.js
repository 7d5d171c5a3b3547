// Threads: a message and all replies to it, also replies to replies.

import { messagesOf } from "./chats.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { ShownChat } from "./chats.js" */

/** @type {WeakMap<Message[], Map<string, string>>} */
const known = new WeakMap();

/**
 * Return the first message of each message's thread. Computed once for each change of the chat.
 * @param {ShownChat} chat
 */
function rootsOf(chat) {
  const messages = messagesOf(chat);
  const cached = known.get(messages);
  if (cached) return cached;
  /** @type {Map<string, string>} */
  const roots = new Map();
  for (const { id, reply_to: replyTo } of messages) {
    if (replyTo) roots.set(id, roots.get(replyTo.message_id) ?? replyTo.message_id);
  }
  known.set(messages, roots);
  return roots;
}

/**
 * Return the id of the message that began a message's thread; its own id if it is no reply.
 * @param {ShownChat} chat
 * @param {string} id
 */
export const rootOf = (chat, id) => rootsOf(chat).get(id) ?? id;

/**
 * Return the messages of a thread in the order they were written.
 * @param {ShownChat} chat
 * @param {string} rootId
 */
export function threadOf(chat, rootId) {
  const roots = rootsOf(chat);
  return messagesOf(chat).filter(({ id }) => id === rootId || roots.get(id) === rootId);
}

/** @type {WeakMap<Map<string, string>, Map<string, number>>} */
const counted = new WeakMap();

/**
 * Return the number of replies in the thread that a message began.
 * @param {ShownChat} chat
 * @param {string} id
 */
export function replyCount(chat, id) {
  const roots = rootsOf(chat);
  let counts = counted.get(roots);
  if (!counts) {
    counts = new Map();
    for (const root of roots.values()) counts.set(root, (counts.get(root) ?? 0) + 1);
    counted.set(roots, counts);
  }
  return counts.get(id) ?? 0;
}
