// The state of the page: the emulator's chats and traces, which the stream keeps current, and the place that the person
// looks at. The state changes only through the methods here. Listeners are called once per batch of changes.

import {
  activeMembers,
  asSeenBy,
  lastActivity,
  messagesOf,
  senderOf,
  sortedBehind,
  sortedWith,
  writtenAt,
} from "./chats.js";
import { declarePeople, FIRST_PERSON, firstPerson, keepPerson } from "./people.js";
import { setNow } from "./time.js";
import { Traces } from "./traces.js";

/** @import { BotReport, Call, ChatData, Conditions, Delivery, Line, Message, Observation, Payment, PreviewedSend, Service, State } from "../client/types.d.ts" */
/** @import { Chat, Recipients } from "./chats.js" */
/** @import { Memory } from "./people.js" */

/**
 * The list of chats, an open chat, or a chat whose first message is not sent yet. `service` is the service of the next
 * message, if that is not the chat's own; `messageId` is a message to scroll to. `first` marks the conversation that
 * is offered to a person without chats.
 * @typedef {{ view: "list" } | { view: "chat", chatId: string, service?: Service, messageId?: string } |
 *   ({ view: "draft", first?: boolean } & Recipients)} Place
 */

/** @typedef {"chats" | "traces" | "place" | "me" | "conditions" | "bot"} Topic */

const SEEN = "linqbot.seen";
const VIEW = "linqbot.view";

export class Store {
  /** @type {Line[]} The bot's numbers. */
  lines = [];
  /** @type {Map<string, Chat>} */
  chats = new Map();
  /** @type {Map<string, Payment>} */
  payments = new Map();
  traces = new Traces();
  /** @type {Conditions | null} */
  conditions = null;
  /** True if a program runs the bot that can look into its storage. */
  hasRunner = false;
  /** @type {BotReport | null} Whether the bot's file was loaded; null when no program has reported it. */
  bot = null;
  /** @type {Place} */
  place = { view: "list" };
  /** False until the emulator's state has arrived. */
  loaded = false;

  /** @type {((topics: Set<Topic>) => void)[]} */
  #listeners = [];
  /** @type {((message: Message) => void)[]} */
  #arrivalListeners = [];
  /** @type {((messageId: string) => void)[]} */
  #inspectListeners = [];
  /** @type {string | null} What the person has asked for before the inspector was there. */
  #inspected = null;
  /** @type {Set<Topic>} */
  #topics = new Set();
  /** @type {Map<string, PreviewedSend>} By the ids of their messages. */
  #previews = new Map();
  #memory;
  #runSoon;
  /** @type {Record<string, number>} The time of the last message that a person has seen in a chat. */
  #seen;

  /**
   * @param {string} me The handle of the person whose phone this is.
   * @param {Memory} memory Keeps the person, the place and the seen messages over a reload.
   * @param {(run: () => void) => void} [runSoon] Runs the listeners' part of a batch.
   */
  constructor(me, memory, runSoon = (run) => queueMicrotask(run)) {
    this.me = me;
    this.#memory = memory;
    this.#runSoon = runSoon;
    this.#seen = JSON.parse(memory.getItem(SEEN) ?? "{}");
  }

  /**
   * Call `listener` after changes, with their topics.
   * @param {(topics: Set<Topic>) => void} listener
   * @returns {() => void} Ends the calls.
   */
  onChange(listener) {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((one) => one !== listener);
    };
  }

  /**
   * Call `listener` for each new message; not for the messages of the first load.
   * @param {(message: Message) => void} listener
   */
  onArrival(listener) {
    this.#arrivalListeners.push(listener);
  }

  /**
   * Call `listener` when the person asks for what happened to a message.
   * @param {(messageId: string) => void} listener
   */
  onInspect(listener) {
    this.#inspectListeners.push(listener);
    const asked = this.#inspected;
    this.#inspected = null;
    // The listener's part is still being made.
    if (asked) queueMicrotask(() => listener(asked));
  }

  /**
   * Show what happened to a message.
   * @param {string} messageId
   */
  inspect(messageId) {
    if (this.#inspectListeners.length === 0) this.#inspected = messageId;
    for (const listener of this.#inspectListeners) listener(messageId);
  }

  /** @param {Topic[]} topics */
  #changed(...topics) {
    if (this.#topics.size === 0) {
      this.#runSoon(() => {
        const batch = this.#topics;
        this.#topics = new Set();
        for (const listener of this.#listeners) listener(batch);
      });
    }
    for (const topic of topics) this.#topics.add(topic);
  }

  // --- the emulator's events --------------------------------------------------------------------------------------

  /**
   * Replace everything by the emulator's state.
   * @param {State} state
   */
  load(state) {
    setNow(state.now, state.conditions?.is_frozen);
    this.lines = state.lines ?? [];
    declarePeople(state.people ?? []);
    if (!this.loaded) this.me = firstPerson(this.#memory, this.me);
    const known = this.chats;
    this.chats = new Map();
    for (const chat of state.chats ?? []) {
      const messages = chat.messages ?? [];
      this.#upsertChat(chat);
      const before = known.get(chat.id);
      for (const message of messages) this.#put(message);
      // A new message ends its sender's dots, and these messages are older than the dots.
      this.#upsertChat(chat);
      // Messages that came during an outage are new to the person: their effects play.
      if (before) this.#announce(messages.filter((message) => !before.messages.has(message.id)));
    }
    this.payments = new Map((state.payments ?? []).map((payment) => [payment.id, payment]));
    this.#loadTraces(state);
    this.conditions = state.conditions ?? null;
    this.hasRunner = state.has_runner ?? false;
    this.bot = state.bot ?? null;
    this.loaded = true;
    this.#choosePlace(this.#keptPlace());
    this.#changed("chats", "traces", "place", "me", "conditions", "bot");
  }

  /** @param {State} state */
  #loadTraces(state) {
    this.traces.clear();
    this.#previews.clear();
    for (const delivery of state.deliveries ?? []) this.traces.addDelivery(delivery);
    for (const call of state.calls ?? []) this.traces.addCall(call);
    for (const observation of state.observations ?? []) this.#addTurn(observation);
    this.traces.sort();
  }

  /** @param {ChatData} chat */
  upsertChat(chat) {
    this.#upsertChat(chat);
    this.#changed("chats");
  }

  /**
   * @param {ChatData} data
   * @returns {Chat}
   */
  #upsertChat({ messages: _, typing, ...facts }) {
    const known = this.chats.get(facts.id);
    const chat = {
      ...known,
      ...facts,
      messages: known?.messages ?? new Map(),
      sorted: known?.sorted ?? null,
      typing: typing ? new Set(typing) : (known?.typing ?? new Set()),
    };
    this.chats.set(chat.id, chat);
    return chat;
  }

  /** @param {Message} message */
  upsertMessage(message) {
    const chat = this.chats.get(message.chat_id);
    const isEarlier = chat?.earlier && lastActivity(chat) > writtenAt(message);
    const isNew = this.#put(message);
    if (isNew && !isEarlier) this.#announce([message]);
    this.#changed("chats");
  }

  /**
   * Add the messages before those that the page has.
   * @param {string} chatId
   * @param {{ earlier: number, messages: Message[] }} found
   */
  addEarlier(chatId, { earlier, messages }) {
    const chat = this.chats.get(chatId);
    if (!chat) return;
    // An event that came meanwhile has the newer record.
    const missing = messages.filter(({ id }) => !chat.messages.has(id));
    chat.sorted = sortedBehind(missing, messagesOf(chat));
    for (const message of missing) chat.messages.set(message.id, message);
    chat.earlier = earlier;
    this.#changed("chats");
  }

  /**
   * Keep a message; return true if it is new.
   * @param {Message} message
   */
  #put(message) {
    const sender = message.from_handle;
    // The event of the chat itself may come after its first message.
    const chat =
      this.chats.get(message.chat_id) ?? this.#upsertChat({ id: message.chat_id, handles: sender ? [sender] : [] });
    const isNew = !chat.messages.has(message.id);
    chat.messages.set(message.id, message);
    chat.sorted = sortedWith(chat.sorted, message, isNew);
    if (isNew && sender) chat.typing.delete(sender.handle);
    return isNew;
  }

  /** @param {Message[]} messages */
  #announce(messages) {
    for (const message of messages) for (const listener of this.#arrivalListeners) listener(message);
  }

  /** @param {{ chat_id: string, id: string }} event */
  deleteMessage({ chat_id: chatId, id }) {
    const chat = this.chats.get(chatId);
    if (!chat) return;
    chat.messages.delete(id);
    chat.sorted = null;
    this.#changed("chats");
  }

  /** @param {Payment} payment */
  setPayment(payment) {
    this.payments.set(payment.id, payment);
    this.#changed("chats");
  }

  /** @param {{ chat_id: string, handle: string, state: "started" | "stopped" }} event */
  setTyping({ chat_id: chatId, handle, state }) {
    const typing = this.chats.get(chatId)?.typing;
    if (state === "started") typing?.add(handle);
    else typing?.delete(handle);
    this.#changed("chats");
  }

  /** @param {Delivery} delivery */
  addDelivery(delivery) {
    this.traces.addDelivery(delivery);
    this.#changed("traces");
  }

  /** @param {Call} call */
  addCall(call) {
    this.traces.addCall(call);
    this.#changed("traces");
  }

  /** @param {Observation} observation */
  addObservation(observation) {
    if (observation.kind === "bot") {
      this.bot = observation;
      this.#changed("bot");
      return;
    }
    this.#addTurn(observation);
    this.#changed("traces");
  }

  /** @param {Observation} turn */
  #addTurn(turn) {
    this.traces.addObservation(turn);
    for (const send of turn.previews ?? []) for (const id of send.message_ids) this.#previews.set(id, send);
  }

  /**
   * Return a message of the bot as it looks on each service, if the bot's program has reported it.
   * @param {string} messageId
   */
  previewOf(messageId) {
    return this.#previews.get(messageId);
  }

  /** @param {Conditions} conditions */
  setConditions(conditions) {
    setNow(conditions.now, conditions.is_frozen);
    this.conditions = conditions;
    this.#changed("conditions", "chats");
  }

  clearTraces() {
    this.traces.clear();
    this.#changed("traces");
  }

  // --- the person and the place -----------------------------------------------------------------------------------

  /**
   * Make this the phone of another person.
   * @param {string} handle
   */
  switchPerson(handle) {
    this.me = handle;
    keepPerson(this.#memory, handle);
    this.place = { view: "list" };
    this.#choosePlace(null);
    this.#changed("me", "chats", "place");
  }

  /** @param {Place} place */
  go(place) {
    this.place = place;
    this.#memory.setItem(VIEW, JSON.stringify(place));
    this.#changed("place", "chats");
  }

  /** @returns {Place | null} The place before a reload. */
  #keptPlace() {
    return JSON.parse(this.#memory.getItem(VIEW) ?? "null");
  }

  /**
   * Stay at an open conversation. Else go to the kept place, to the only chat, or to the list. For a person without
   * chats, open a first conversation.
   * @param {Place | null} kept
   */
  #choosePlace(kept) {
    if (this.openChat || this.place.view === "draft") return;
    const chats = this.myChats();
    if (chats.length === 0 && this.lines.length > 0) {
      this.place = { view: "draft", line: this.lines[0].phone_number, others: [], service: "iMessage", first: true };
    } else if (kept?.view === "chat" && chats.some((chat) => chat.id === kept.chatId)) this.place = kept;
    else if (!kept && chats.length === 1) this.place = { view: "chat", chatId: chats[0].id };
    else this.place = { view: "list" };
  }

  // --- queries ----------------------------------------------------------------------------------------------------

  get openChat() {
    return this.place.view === "chat" ? this.chats.get(this.place.chatId) : undefined;
  }

  /** True in the first conversation of a person without chats, before its first message. */
  get isFirst() {
    return this.place.view === "draft" && Boolean(this.place.first);
  }

  /** True before the first message of all, which the page suggests. */
  get suggestsMessage() {
    return this.isFirst && this.chats.size === 0 && this.me === FIRST_PERSON;
  }

  /** Return the chats that the person is or was in, as the person has them, latest first. */
  myChats() {
    return [...this.chats.values()]
      .filter((chat) => chat.handles?.some((member) => member.handle === this.me && !member.is_me))
      .map((chat) => asSeenBy(chat, this.me))
      .sort((a, b) => lastActivity(b) - lastActivity(a));
  }

  /**
   * Return the person's chat with exactly these members.
   * @param {string} line
   * @param {string[]} others
   */
  findChat(line, others) {
    const wanted = keyOf([line, this.me, ...others]);
    return this.myChats().find((chat) => keyOf(activeMembers(chat).map((member) => member.handle)) === wanted);
  }

  /** @param {Message} message */
  isOwn(message) {
    return !message.is_from_me && senderOf(message) === this.me;
  }

  /** @param {string | undefined} handle */
  isLine(handle) {
    return this.lines.some((line) => line.phone_number === handle);
  }

  /**
   * Return the number of messages that the person has not seen. Messages before the person's own last one count as
   * seen.
   * @param {Chat} chat
   */
  unread(chat) {
    const seen = this.#seen[this.#seenKey(chat)] ?? 0;
    const messages = messagesOf(chat);
    return messages
      .slice(messages.findLastIndex((message) => this.isOwn(message)) + 1)
      .filter((message) => writtenAt(message) > seen && message.delivery_status !== "read").length;
  }

  /** @param {Chat} chat */
  markSeen(chat) {
    const last = messagesOf(chat).at(-1);
    const key = this.#seenKey(chat);
    if (!last || (this.#seen[key] ?? 0) >= writtenAt(last)) return;
    this.#seen[key] = writtenAt(last);
    this.#memory.setItem(SEEN, JSON.stringify(this.#seen));
    this.#changed("chats");
  }

  /** @param {Chat} chat */
  #seenKey(chat) {
    return `${this.me} ${chat.id}`;
  }

  /**
   * Return the people this phone could belong to: the person, the remembered ones, and the members of every chat.
   * @param {string[]} remembered
   */
  people(remembered) {
    const members = [...this.chats.values()].flatMap((chat) => chat.handles ?? []);
    const people = members.filter((member) => !member.is_me && !this.isLine(member.handle));
    return [...new Set([this.me, ...remembered, ...people.map((member) => member.handle)])];
  }
}

/** @param {string[]} handles */
const keyOf = (handles) => [...handles].sort().join();
