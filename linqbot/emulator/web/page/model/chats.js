// Chats as the page keeps them, and the functions that need nothing but a chat.

/** @import { ChatData, Member, Message, Service } from "../client/types.d.ts" */
/** @import { Place, Store } from "./store.js" */

/**
 * A chat with its messages. `sorted` caches `messagesOf`; null after a change.
 * @typedef {Omit<ChatData, "messages" | "typing"> & {
 *   messages: Map<string, Message>, typing: Set<string>, sorted: Message[] | null }} Chat
 */

/**
 * A chat on the screen. The id is null until its first message is sent.
 * @typedef {Omit<Chat, "id"> & { id: string | null }} ShownChat
 */

/**
 * The members and the service of a message that is not sent yet.
 * @typedef {{ line: string, others: string[], service: Service }} Recipients
 */

/**
 * Return an empty chat for a first message.
 * @param {string} me
 * @param {Recipients} recipients
 * @returns {ShownChat}
 */
export function draftChat(me, { line, others, service }) {
  const people = [me, ...others].map((handle) => ({ handle, is_me: false }));
  return {
    id: null,
    handles: [{ handle: line, is_me: true }, ...people],
    service,
    is_group: others.length > 0,
    messages: new Map(),
    sorted: null,
    typing: new Set(),
  };
}

/**
 * Return a time as milliseconds. Times are never compared as text, because one instant has several spellings.
 * @param {Message} message
 */
export const writtenAt = (message) => Date.parse(message.created_at);

/**
 * Return a chat's messages in the order they were written; sorted once per change, not at each call.
 * @param {ShownChat} chat
 */
export function messagesOf(chat) {
  chat.sorted ??= [...chat.messages.values()].sort((a, b) => writtenAt(a) - writtenAt(b));
  return chat.sorted;
}

/**
 * Return the sorted messages after one was added or replaced; null if they must be sorted again. A new message is nearly
 * always the last one, and sorting thousands for it would be slow.
 * @param {Message[] | null} sorted
 * @param {Message} message
 * @param {boolean} isNew
 */
export function sortedWith(sorted, message, isNew) {
  if (!sorted) return null;
  if (!isNew) return sorted.map((one) => (one.id === message.id ? message : one));
  const last = sorted.at(-1);
  return !last || writtenAt(last) <= writtenAt(message) ? [...sorted, message] : null;
}

/**
 * Return the sorted messages after earlier ones were added; null if they must be sorted again.
 * @param {Message[]} earlier In the order they were written.
 * @param {Message[]} sorted
 */
export function sortedBehind(earlier, sorted) {
  const all = [...earlier, ...sorted];
  const isSorted = all
    .slice(0, earlier.length + 1)
    .every((one, i) => i === 0 || writtenAt(all[i - 1]) <= writtenAt(one));
  return isSorted ? all : null;
}

/**
 * Return the number of a chat's messages, also of those that the page does not have yet.
 * @param {ShownChat} chat
 */
export const countOf = (chat) => (chat.earlier ?? 0) + messagesOf(chat).length;

/**
 * Return the messages from one place in the chat to another, as far as the page has them.
 * @param {ShownChat} chat
 * @param {number} start
 * @param {number} end
 */
export function messagesBetween(chat, start, end) {
  const earlier = chat.earlier ?? 0;
  return messagesOf(chat).slice(Math.max(0, start - earlier), Math.max(0, end - earlier));
}

/** @param {ShownChat} chat */
export const lastActivity = (chat) => Date.parse(messagesOf(chat).at(-1)?.created_at ?? chat.created_at ?? "0");

/** @param {Member} member */
const isActive = (member) => (member.status ?? "active") === "active";

/** @param {ShownChat} chat */
export const activeMembers = (chat) => (chat.handles ?? []).filter(isActive);

/**
 * @param {ShownChat} chat
 * @param {string} handle
 */
export const isMember = (chat, handle) => activeMembers(chat).some((member) => member.handle === handle);

/**
 * Return the bot's number in a chat.
 * @param {ShownChat} chat
 */
export const lineOf = (chat) => chat.handles?.find((member) => member.is_me)?.handle;

/**
 * Return the handle of a message's sender.
 * @param {Message} message
 */
export const senderOf = (message) => message.from_handle?.handle ?? message.from ?? "";

/**
 * Return the chat's members without this phone's person.
 * @param {Store} store
 * @param {ShownChat} chat
 */
export const others = (store, chat) => activeMembers(chat).filter((member) => member.handle !== store.me);

/**
 * Return the service of the person's next message.
 * @param {Place} place
 * @param {ShownChat} chat
 * @returns {Service}
 */
export const nextService = (place, chat) =>
  (place.view === "chat" ? place.service : undefined) ?? chat.service ?? "iMessage";

/** @type {WeakMap<Message[], { until: number, messages: Map<string, Message>, sorted: Message[] }>} */
const beforeLeaving = new WeakMap();

/**
 * Return a chat as a person has it on their phone: without what was written after they had left.
 * @template {ShownChat} Kind
 * @param {Kind} chat
 * @param {string} me
 * @returns {Kind}
 */
export function asSeenBy(chat, me) {
  const member = chat.handles?.find(({ handle, is_me: isBot }) => handle === me && !isBot);
  if (!member?.left_at || isActive(member)) return chat;
  const until = Date.parse(member.left_at);
  const all = messagesOf(chat);
  let seen = beforeLeaving.get(all);
  if (seen?.until !== until) {
    const sorted = all.filter((message) => writtenAt(message) <= until);
    seen = { until, sorted, messages: new Map(sorted.map((message) => [message.id, message])) };
    beforeLeaving.set(all, seen);
  }
  const { messages, sorted } = seen;
  return { ...chat, messages, sorted, typing: new Set() };
}

/**
 * Return the chat on the screen: an open one, or an empty one for a first message.
 * @param {Store} store
 * @returns {ShownChat | undefined}
 */
export function shownChat({ place, openChat, me }) {
  if (place.view === "draft") return draftChat(me, place);
  return openChat && asSeenBy(openChat, me);
}
