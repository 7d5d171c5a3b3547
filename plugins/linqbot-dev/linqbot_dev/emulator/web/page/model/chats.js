// Chats as the page keeps them, and the functions that need nothing but a chat.

/** @import { ChatData, Member, Message, Notice, Service } from "../client/types.d.ts" */
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
 * @param {Message | Notice} message
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
 * Return true if a person's messages reach the bot: both are in the chat.
 * @param {ShownChat} chat
 * @param {string} me
 */
export const canWrite = (chat, me) => isMember(chat, me) && isMember(chat, lineOf(chat) ?? "");

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

/**
 * Return the number of messages that come before a notice.
 * @param {Notice} notice
 * @param {Message[]} messages In the order they were written.
 */
export function placeOf(notice, messages) {
  const at = writtenAt(notice);
  let place = messages.length;
  while (place > 0 && writtenAt(messages[place - 1]) > at) place -= 1;
  // Of the messages of the same instant, the notice names the last one before it.
  const isAfter = (/** @type {Message} */ { id }) => notice.after === undefined || id === notice.after;
  while (place > 0 && writtenAt(messages[place - 1]) === at && !isAfter(messages[place - 1])) place -= 1;
  return place;
}

const COMING = ["joined", "added"];
const GOING = ["left", "removed"];

/**
 * Return the notices of a person's own coming and going, oldest first.
 * @param {ShownChat} chat
 * @param {string} me
 */
function ownMoves({ notices = [], handles = [] }, me) {
  const moves = notices.filter(({ kind, handle }) => handle === me && [...COMING, ...GOING].includes(kind));
  const member = handles.find(({ handle }) => handle === me);
  // A state that was written by hand has no notices.
  if (moves.length > 0 || !member?.left_at || isActive(member)) return moves;
  return [/** @type {Notice} */ ({ kind: "left", created_at: member.left_at, by: me, handle: me })];
}

/** @type {WeakMap<Message[], { key: string, chat: Pick<ShownChat, "messages" | "sorted" | "earlier" | "notices"> }>} */
const seenBefore = new WeakMap();

/**
 * Return a chat as a person has it on their phone: without what was written before they came and after they had left.
 * @template {ShownChat} Kind
 * @param {Kind} chat
 * @param {string} me
 * @returns {Kind}
 */
export function asSeenBy(chat, me) {
  const moves = ownMoves(chat, me);
  if (moves.length === 0) return chat;
  const all = messagesOf(chat);
  const key = JSON.stringify([me, chat.earlier, chat.notices, moves]);
  let seen = seenBefore.get(all);
  if (seen?.key !== key) {
    seen = { key, chat: seenWith(moves, chat, all) };
    seenBefore.set(all, seen);
  }
  const typing = isMember(chat, me) ? chat.typing : new Set();
  return { ...chat, ...seen.chat, typing };
}

/**
 * @param {Notice[]} moves At least one.
 * @param {ShownChat} chat
 * @param {Message[]} all The chat's messages.
 */
function seenWith(moves, { earlier, notices = [] }, all) {
  const places = moves.map((move) => placeOf(move, all));
  const isInAfter = (/** @type {number} */ count) =>
    count === 0 ? GOING.includes(moves[0].kind) : COMING.includes(moves[count - 1].kind);
  const sorted = all.filter((_, i) => isInAfter(places.filter((place) => place <= i).length));
  const seen = notices.filter((notice, i) => {
    const before = notices.slice(0, i).filter((one) => moves.includes(one));
    return moves.includes(notice) || isInAfter(before.length);
  });
  const messages = new Map(sorted.map((message) => [message.id, message]));
  return { messages, sorted, notices: seen, earlier: isInAfter(0) || places[0] === 0 ? earlier : 0 };
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
