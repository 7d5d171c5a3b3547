// Exchanges: an event, what the bot did with it, and the receipts that followed. The emulator knows none of these
// connections except ids of events and messages. The rest follows from the times.

/** @import { Call, Observation } from "../client/types.d.ts" */
/** @import { Trace } from "./traces.js" */

/** @typedef {Extract<Trace, { kind: "delivery" }>} DeliveryTrace */
/** @typedef {Extract<Trace, { kind: "call" }>} CallTrace */
/** @typedef {Extract<Trace, { kind: "observation" }>} TurnTrace */
/** @typedef {DeliveryTrace | CallTrace} Row What the inspector shows in a row of its own. */

/**
 * An exchange. `deliveries` are the webhooks of its event, one for each subscription; `calls` are what the bot did;
 * `receipts` are receipts and typing, of both sides, and
 * events that the bot itself caused; `sent` are the ids of the bot's messages. It waits `behind` the earlier event of the
 * chat that the bot handles first, one that still runs or runs again. It `isCutOff` if the bot's process has ended since, and the bot has not handled it.
 * `joined` are those of further messages which its turn handled as one with the
 * first, and each of these is `joinedTo` it. A message that the handler of another took while it ran is `takenBy` that one's
 * exchange. Without an event, the exchange holds what belongs to no other.
 * @typedef {{ key: string, at: string, ms: number, chatId: string | null, eventId: string | null, eventType: string | null,
 *   messageId: string | null, deliveries: DeliveryTrace[], turns: TurnTrace[], calls: CallTrace[], receipts: Row[],
 *   sent: string[], behind: Exchange | null, isCutOff: boolean, joined: Exchange[],
 *   joinedTo: Exchange | null, takenBy: Exchange | null }} Exchange
 */

const RECEIPT = /^(?:message\.(?:sent|delivered|read|failed)|poll\.(?:sent|delivered|read))$/;
/** The events of a person's message: it is theirs, and not one that the event refers to. */
export const WRITTEN = new Set(["message.received", "poll.received"]);
const BEFORE = /^(?:chat\.created|chat\.typing_indicator\.(?:started|stopped))$/;
const QUIET_CALL = /\/(?:read|typing)$/;
/** A call that no turn accounts for belongs to the exchange before it for this long. */
const NEAR_MS = 60_000;

/**
 * Return true if Linq did what a call asked for, also if the answer was then lost.
 * @param {Call["status"]} status
 */
export const isDone = (status) => status !== null && status < 400;

/**
 * Return the id of the message that a call has sent; null for another call and for one that failed.
 * @param {Call} call
 * @returns {string | null}
 */
export function sentMessageId({ answer, status, method, path }) {
  if (!isDone(status) || method !== "POST") return null;
  if (path.endsWith("/polls")) return answer?.message_id ?? null;
  return answer?.message?.id ?? answer?.chat?.message?.id ?? answer?.voice_memo?.id ?? null;
}

/**
 * Return the records as exchanges, oldest first.
 * @param {Trace[]} traces
 * @param {string | null} [stoppedAt] The time at which the bot's process has ended by itself, if it has not started since.
 */
export const exchangesOf = (traces, stoppedAt = null) =>
  new Grouping(
    traces.toSorted((a, b) => a.ms - b.ms),
    stoppedAt === null ? null : Date.parse(stoppedAt),
  ).exchanges();

class Grouping {
  /** @type {Map<string, Exchange>} By event id. */
  #byEvent = new Map();
  /** @type {Map<string, Exchange>} By the id of a message: the person's, and those that the bot sent. */
  #byMessage = new Map();
  /** @type {Map<string | null, Exchange[]>} By chat, oldest first. */
  #byChat = new Map();
  /** @type {Map<string, Exchange>} */
  #all = new Map();
  /** @type {Exchange[]} */
  #withTurns = [];

  /**
   * @param {Trace[]} traces Oldest first.
   * @param {number | null} stoppedMs
   */
  constructor(traces, stoppedMs) {
    const deliveries = traces.filter((trace) => trace.kind === "delivery");
    const byBot = new Set(deliveries.filter(({ data }) => data.by_bot).map(({ data }) => data.event_id));
    const turns = traces.filter((trace) => trace.kind === "observation").filter(({ data }) => says(data, byBot));
    const handled = new Set(turns.map(({ data }) => data.event_id));
    /** @param {DeliveryTrace} trace */
    const begins = ({ data }) => !(data.by_bot || isReceipt(data.event_type)) || handled.has(data.event_id);
    for (const trace of deliveries) if (begins(trace)) this.#begin(trace);
    for (const trace of turns) this.#addTurn(trace);
    for (const list of this.#byChat.values()) list.sort((a, b) => a.ms - b.ms);
    this.#withTurns = this.exchanges().filter((exchange) => exchange.turns.length > 0);
    for (const trace of traces) if (trace.kind === "call") this.#addCall(trace);
    for (const trace of deliveries) if (!begins(trace)) this.#addReceipt(trace);
    this.#join();
    this.#markWaiting();
    if (stoppedMs !== null) this.#markCutOff(stoppedMs);
  }

  exchanges() {
    return [...this.#all.values()].sort((a, b) => a.ms - b.ms);
  }

  /** Join the exchanges of messages that were handled as one, and of those that a running handler took. */
  #join() {
    for (const exchange of this.#withTurns) {
      exchange.takenBy = this.#byEvent.get(exchange.turns.at(-1)?.data.taken_by ?? "") ?? null;
      for (const id of exchange.turns.at(-1)?.data.joined ?? []) {
        const other = this.#byMessage.get(id);
        if (!other || other === exchange || other.turns.length > 0) continue;
        exchange.joined.push(other);
        other.joinedTo = exchange;
      }
    }
  }

  /** A bot handles the events of a chat one after the other. */
  #markWaiting() {
    /** @type {Map<string, Exchange>} By chat. */
    const blocked = new Map();
    for (const exchange of this.exchanges()) {
      const { chatId, joinedTo, turns } = exchange;
      if (chatId === null) continue;
      const { outcome = "" } = turns.at(-1)?.data ?? {};
      if (turns.length === 0 && !joinedTo) exchange.behind = blocked.get(chatId) ?? null;
      if (["retried", "deferred", "running"].includes(outcome)) blocked.set(chatId, exchange);
    }
  }

  /** @param {number} stoppedMs */
  #markCutOff(stoppedMs) {
    for (const exchange of this.exchanges()) {
      const { outcome } = exchange.turns.at(-1)?.data ?? {};
      const isOpen = (!outcome && !exchange.joinedTo) || outcome === "running";
      const reached = exchange.deliveries.some(({ data }) => (data.attempts?.at(-1)?.status ?? 500) < 300);
      exchange.isCutOff = isOpen && reached && WRITTEN.has(exchange.eventType ?? "") && exchange.ms <= stoppedMs;
    }
  }

  /** @param {DeliveryTrace} trace */
  #begin(trace) {
    const { event_id: eventId, event_type: eventType, message_id: messageId } = trace.data;
    const known = this.#byEvent.get(eventId);
    if (known) {
      known.deliveries.push(trace);
      return;
    }
    const exchange = this.#new(`event ${eventId}`, trace, { eventId, eventType, messageId: messageId ?? null });
    exchange.deliveries.push(trace);
    this.#byEvent.set(eventId, exchange);
    if (WRITTEN.has(eventType) && messageId) this.#byMessage.set(messageId, exchange);
    this.#inChat(trace.chatId).push(exchange);
  }

  /** @param {TurnTrace} trace */
  #addTurn(trace) {
    const { event_id: eventId, message_id: messageId, event_type: eventType } = trace.data;
    let exchange = this.#byEvent.get(eventId ?? "") ?? this.#byMessage.get(messageId ?? "");
    if (!exchange) {
      // The webhook is no longer kept, or the report is not about one.
      const ids = { eventId: eventId ?? null, eventType: eventType ?? null, messageId: messageId ?? null };
      exchange = this.#new(`turn ${eventId ?? trace.key}`, trace, ids);
      if (eventId) this.#byEvent.set(eventId, exchange);
      this.#inChat(trace.chatId).push(exchange);
    }
    exchange.turns.push(trace);
  }

  /** @param {CallTrace} trace */
  #addCall(trace) {
    const exchange = this.#ofCall(trace) ?? this.#new(trace.key, trace);
    const sent = sentMessageId(trace.data);
    if (QUIET_CALL.test(trace.data.path)) exchange.receipts.push(trace);
    else exchange.calls.push(trace);
    if (sent) {
      // A call that is repeated after a lost answer is answered with the same message.
      if (!exchange.sent.includes(sent)) exchange.sent.push(sent);
      this.#byMessage.set(sent, exchange);
    }
  }

  /**
   * Return the exchange of a call: that of the turn during which it was made; else that of the message which it names;
   * else the one before it in its chat. A call without a chat, such as an upload, has only the first; if Linq refused it, it
   * may be the failed answer to a message whose turn nothing reports. The turn of an event without a chat, such as a
   * payment, may call into any chat.
   * @param {CallTrace} trace
   */
  #ofCall(trace) {
    const inChat = trace.chatId ? this.#inChat(trace.chatId) : [];
    const candidates = trace.chatId ? [...this.#inChat(null), ...inChat] : this.#withTurns;
    const during = candidates.findLast(({ turns }) =>
      turns.some((turn) => covers(turn, trace.ms, turn === turns.at(-1))),
    );
    const named = this.#byMessage.get(namedMessage(trace.data) ?? "");
    if (during ?? named) return during ?? named;
    const isRefused = (trace.data.status ?? 0) >= 400;
    const before = trace.chatId || !isRefused ? inChat : this.exchanges().filter(isOfMessage);
    const near = before.filter(({ ms }) => ms <= trace.ms && trace.ms - ms <= NEAR_MS);
    return near.findLast((exchange) => exchange.turns.length === 0) ?? (trace.chatId ? near.at(-1) : undefined);
  }

  /** @param {DeliveryTrace} trace */
  #addReceipt(trace) {
    const inChat = this.#inChat(trace.chatId);
    const { event_type: eventType, message_id: messageId } = trace.data;
    const next = () => inChat.find(({ ms }) => ms >= trace.ms && ms - trace.ms <= NEAR_MS);
    const last = () => inChat.findLast(({ ms }) => ms <= trace.ms);
    const found = BEFORE.test(eventType) ? (next() ?? last()) : (this.#byMessage.get(messageId ?? "") ?? last());
    const exchange = found ?? this.#new(`chat ${trace.chatId}`, trace);
    exchange.receipts.push(trace);
  }

  /**
   * Return a new exchange, or the known one of this key.
   * @param {string} key
   * @param {Trace} first
   * @param {Partial<Exchange>} [more]
   * @returns {Exchange}
   */
  #new(key, first, more = {}) {
    const known = this.#all.get(key);
    if (known) return known;
    /** @type {Exchange} */
    const exchange = {
      ...{ key, at: first.at, ms: first.ms, chatId: first.chatId, eventId: null, eventType: null, messageId: null },
      ...{ deliveries: [], turns: [], calls: [], receipts: [], sent: [], behind: null, isCutOff: false, ...more },
      ...{ joined: [], joinedTo: null, takenBy: null },
    };
    this.#all.set(key, exchange);
    return exchange;
  }

  /** @param {string | null} chatId */
  #inChat(chatId) {
    let list = this.#byChat.get(chatId);
    if (!list) {
      list = [];
      this.#byChat.set(chatId, list);
    }
    return list;
  }
}

/** @param {string} eventType */
const isReceipt = (eventType) => RECEIPT.test(eventType) || BEFORE.test(eventType);

/**
 * Return true if a turn belongs into the list. Bots handle no receipts and no events of their own, as a rule: that no
 * handler took one says nothing.
 * @param {Observation} turn
 * @param {Set<string>} byBot The events that the bot caused.
 */
const says = ({ event_id: id, event_type: eventType, outcome }, byBot) =>
  outcome !== "not_handled" || !(byBot.has(id ?? "") || isReceipt(eventType ?? ""));

/** @param {Exchange} exchange */
const isOfMessage = ({ eventType }) => WRITTEN.has(eventType ?? "");

/**
 * Return true if a call at `at` was made during a turn.
 * @param {TurnTrace} turn
 * @param {number} at
 * @param {boolean} isLast Only the last run of a turn still runs: one before it was cut off.
 */
const covers = ({ ms, data }, at, isLast) =>
  at >= ms && ((isLast && data.outcome === "running") || at <= ms + (data.duration_ms ?? 0));

/**
 * Return the id of the message that a call reacts to or replies to.
 * @param {Call} call
 * @returns {string | undefined}
 */
const namedMessage = ({ path, body }) =>
  /\/v3\/messages\/([0-9a-f-]{36})/.exec(path)?.[1] ?? body?.message?.reply_to?.message_id;
