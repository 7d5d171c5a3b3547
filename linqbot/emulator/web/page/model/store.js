// What the phone knows: the emulator's state, kept current by the stream, and what the person is looking at.
// It changes only through the methods here; each tells its listeners which topics changed, once per batch.

import { initialPerson, keepPerson } from "./people.js";
import { setNow } from "./time.js";

const SEEN = "linqbot.seen";
const VIEW = "linqbot.view";
const MAX_TRACES = 500;

export class Store {
  lines = [];
  chats = new Map();
  traces = []; // inspector entries, oldest first: {kind: "delivery" | "call" | "observation", key, at, chatId, data}
  me = initialPerson();
  /** `{view: "list"}`, `{view: "chat", chatId}` or `{view: "draft", line, others, service}` */
  place = { view: "list" };
  loaded = false;

  #listeners = [];
  #arrivalListeners = [];
  #topics = new Set();
  #seen = JSON.parse(sessionStorage.getItem(SEEN) ?? "{}");
  #traceCount = 0;

  /** Call `listener(topics)` after changes: a set of `chats`, `traces`, `place`, `me`. */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** Call `listener(message)` for each message that was not there before; not for those found at the first load. */
  onArrival(listener) {
    this.#arrivalListeners.push(listener);
  }

  #changed(...topics) {
    if (this.#topics.size === 0) {
      queueMicrotask(() => {
        const batch = this.#topics;
        this.#topics = new Set();
        for (const listener of this.#listeners) listener(batch);
      });
    }
    for (const topic of topics) this.#topics.add(topic);
  }

  // --- what the emulator tells ------------------------------------------------------------------------------------

  load(state) {
    setNow(state.now);
    this.lines = state.lines ?? [];
    const known = this.chats;
    this.chats = new Map();
    for (const chat of state.chats ?? []) {
      this.upsertChat(chat);
      const before = known.get(chat.id);
      for (const message of chat.messages ?? []) this.#put(message);
      // After a reconnect, messages that came meanwhile still arrive: their effects are due.
      if (before) this.#announce((chat.messages ?? []).filter((message) => !before.messages.has(message.id)));
    }
    this.traces = [];
    for (const delivery of state.deliveries ?? []) this.addDelivery(delivery);
    for (const call of state.calls ?? []) this.addCall(call);
    for (const observation of state.observations ?? []) this.addObservation(observation);
    this.traces.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    this.loaded = true;
    this.#arriveSomewhere();
    this.#changed("chats", "traces", "place", "me");
  }

  upsertChat(chat) {
    const known = this.chats.get(chat.id);
    const { messages: _messages, typing, ...facts } = chat;
    this.chats.set(chat.id, {
      ...known,
      ...facts,
      messages: known?.messages ?? new Map(),
      sorted: known?.sorted ?? null,
      typing: typing ? new Set(typing) : (known?.typing ?? new Set()),
    });
    this.#changed("chats");
  }

  upsertMessage(message) {
    const isNew = this.#put(message);
    if (isNew) this.#announce([message]);
    this.#changed("chats");
  }

  /** Keep a message; true when it is new. */
  #put(message) {
    let chat = this.chats.get(message.chat_id);
    if (!chat) {
      // The chat's own event may come after its first message.
      this.upsertChat({ id: message.chat_id, handles: [message.from_handle].filter(Boolean) });
      chat = this.chats.get(message.chat_id);
    }
    const isNew = !chat.messages.has(message.id);
    chat.messages.set(message.id, message);
    chat.sorted = null;
    if (isNew && message.from_handle) chat.typing.delete(message.from_handle.handle);
    return isNew;
  }

  #announce(messages) {
    for (const message of messages) for (const listener of this.#arrivalListeners) listener(message);
  }

  deleteMessage({ chat_id: chatId, id }) {
    const chat = this.chats.get(chatId);
    if (!chat) return;
    chat.messages.delete(id);
    chat.sorted = null;
    this.#changed("chats");
  }

  setTyping({ chat_id: chatId, handle, state }) {
    const typing = this.chats.get(chatId)?.typing;
    if (state === "started") typing?.add(handle);
    else typing?.delete(handle);
    this.#changed("chats");
  }

  addDelivery(data) {
    const key = `delivery ${data.event_id} ${data.subscription_id}`;
    this.#trace({ kind: "delivery", key, at: data.at ?? data.created_at ?? data.attempts?.[0]?.at, data });
  }

  addCall(data) {
    this.#trace({ kind: "call", key: `call ${this.#traceCount}`, at: data.at, data });
  }

  addObservation(data) {
    this.#trace({ kind: "observation", key: `observation ${this.#traceCount}`, at: data.at, data });
  }

  #trace(entry) {
    this.#traceCount += 1;
    entry.chatId = entry.data.chat_id ?? null;
    const index = this.traces.findLastIndex((known) => known.key === entry.key);
    entry.at = (index >= 0 ? this.traces[index].at : entry.at) ?? new Date().toISOString();
    if (index >= 0) this.traces[index] = entry;
    else this.traces.push(entry);
    if (this.traces.length > MAX_TRACES) this.traces.splice(0, this.traces.length - MAX_TRACES);
    this.#changed("traces");
  }

  clearTraces() {
    this.traces = [];
    this.#changed("traces");
  }

  // --- where the person is ----------------------------------------------------------------------------------------

  become(handle) {
    this.me = handle;
    keepPerson(handle);
    this.place = { view: "list" };
    this.#arriveSomewhere({ afterSwitch: true });
    this.#changed("me", "chats", "place");
  }

  go(place) {
    this.place = place;
    sessionStorage.setItem(VIEW, JSON.stringify(place));
    this.#changed("place", "chats");
  }

  /** After loading: where the person was; for a person without chats, a first conversation already open. */
  #arriveSomewhere({ afterSwitch = false } = {}) {
    if (this.place.view === "chat" && this.chats.has(this.place.chatId)) return;
    if (this.place.view === "draft") return;
    const kept = afterSwitch ? null : JSON.parse(sessionStorage.getItem(VIEW) ?? "null");
    const chats = this.myChats();
    if (chats.length === 0 && this.lines.length > 0) {
      this.place = { view: "draft", line: this.lines[0].phone_number, others: [], service: "iMessage", first: true };
    } else if (kept?.view === "chat" && chats.some((chat) => chat.id === kept.chatId)) this.place = kept;
    else if (!kept && chats.length === 1) this.place = { view: "chat", chatId: chats[0].id };
    else this.place = { view: "list" };
  }

  // --- questions --------------------------------------------------------------------------------------------------

  get openChat() {
    return this.place.view === "chat" ? this.chats.get(this.place.chatId) : undefined;
  }

  /** This person's chats that have messages or are open, latest first. */
  myChats() {
    return [...this.chats.values()]
      .filter((chat) => chat.handles?.some((member) => member.handle === this.me && !member.is_me))
      .sort((a, b) => lastActivity(b) - lastActivity(a));
  }

  findChat(line, others) {
    const wanted = [line, this.me, ...others].sort().join();
    return this.myChats().find(
      (chat) =>
        activeHandles(chat)
          .map((member) => member.handle)
          .sort()
          .join() === wanted,
    );
  }

  isOwn(message) {
    return !message.is_from_me && (message.from_handle?.handle ?? message.from) === this.me;
  }

  isLine(handle) {
    return this.lines.some((line) => line.phone_number === handle);
  }

  /** How many messages this person has not seen; whoever answers has seen what came before. */
  unread(chat) {
    const seen = this.#seen[`${this.me} ${chat.id}`] ?? 0;
    const messages = messagesOf(chat);
    return messages
      .slice(messages.findLastIndex((message) => this.isOwn(message)) + 1)
      .filter((message) => writtenAt(message) > seen && message.delivery_status !== "read").length;
  }

  markSeen(chat) {
    const last = messagesOf(chat).at(-1);
    if (!last || (this.#seen[`${this.me} ${chat.id}`] ?? 0) >= writtenAt(last)) return;
    this.#seen[`${this.me} ${chat.id}`] = writtenAt(last);
    sessionStorage.setItem(SEEN, JSON.stringify(this.#seen));
    this.#changed("chats");
  }

  /** Everybody this phone could belong to: remembered people and all who are in a chat. */
  people(remembered) {
    const people = new Set([this.me, ...remembered]);
    for (const chat of this.chats.values()) {
      for (const member of chat.handles ?? [])
        if (!member.is_me && !this.isLine(member.handle)) people.add(member.handle);
    }
    return [...people];
  }
}

/** A chat's messages in the order they were written; sorted once per change, not once per question. */
export function messagesOf(chat) {
  chat.sorted ??= [...chat.messages.values()].sort((a, b) => writtenAt(a) - writtenAt(b));
  return chat.sorted;
}

// Parsed, not compared as text: one instant has several spellings.
const writtenAt = (message) => Date.parse(message.created_at);

export const activeHandles = (chat) =>
  (chat.handles ?? []).filter((member) => (member.status ?? "active") === "active");
export const lineOf = (chat) => chat.handles?.find((member) => member.is_me)?.handle;

const lastActivity = (chat) => Date.parse(messagesOf(chat).at(-1)?.created_at ?? chat.created_at ?? 0);
