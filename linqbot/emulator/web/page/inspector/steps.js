// The steps of a conversation for its pytest: an exchange, and those before it that it refers to; or a whole chat.

import { fetchDeliveries } from "../client/control.js";
import { messagesOf } from "../model/chats.js";
import { WRITTEN } from "../model/exchanges.js";
import { canRepeat, comesWithTime, createsPayment, isCharge, pytestOf, senderOf } from "./pytest.js";

/** @import { Call, Member, Observation } from "../client/types.d.ts" */
/** @import { Exchange } from "../model/exchanges.js" */
/** @import { Store } from "../model/store.js" */
/** @import { Step } from "./pytest.js" */

/** What an event takes back: its test needs the event before. */
/** @type {Record<string, string>} */
const TAKES_BACK = {
  "reaction.removed": "reaction.added",
  "poll.vote.removed": "poll.vote.added",
  "location.sharing.stopped": "location.sharing.started",
};
/** A phone can do these only in a chat that exists. */
const NEEDS_CHAT = new Set(["poll.received", "location.sharing.started", "participant.added", "participant.removed"]);

/**
 * Return the pytest of an exchange.
 * @param {Store} store
 * @param {string} key The exchange. Since its button was made, it may have grown.
 * @param {Exchange[]} all
 * @throws {Error} An exchange that the test needs is no longer kept.
 */
export async function pytestOfExchange(store, key, all) {
  const exchange = all.find((one) => one.key === key);
  if (!exchange) throw new Error("This exchange is no longer in the inspector.");
  const told = await withReferred(store, exchange, all);
  // A payment belongs to no chat; the exchange with its request does.
  const chatId = exchange.chatId ?? told[0].exchange.chatId ?? directChat(store, told[0].data)?.id ?? "";
  const steps = told.map(({ exchange: one, data }) => stepOf(store, chatId, { ...one, ...answersTo(one) }, data));
  return sourceOf(store, chatId, steps, told[0].exchange.ms, all);
}

/**
 * Return the pytest of everything that happened in a chat, with the time that passed.
 * @param {Store} store
 * @param {string} chatId
 * @param {Exchange[]} all
 * @throws {Error} The inspector does not have the whole conversation.
 */
export async function pytestOfChat(store, chatId, all) {
  const belongs = await Promise.all(all.map((one) => isIn(store, chatId, one, all)));
  const exchanges = all.filter((_, index) => belongs[index]);
  const begun = new Set(exchanges.map((one) => one.messageId));
  const chat = store.chats.get(chatId);
  const said = chat ? messagesOf(chat).filter((message) => !message.is_from_me) : [];
  if (chat?.earlier || said.length === 0 || said.some(({ id }) => !begun.has(id))) {
    throw new Error("The inspector does not have the webhooks of all messages here, which the test needs.");
  }
  const steps = await Promise.all(
    exchanges.map(async (one) => ({
      ...stepOf(store, chatId, { ...one, ...answersTo(one) }, one.deliveries.length > 0 ? await dataOf(one) : {}),
      ms: one.ms,
    })),
  );
  return sourceOf(store, chatId, steps, exchanges[0].ms, all);
}

/**
 * Return true if the test of a chat repeats an exchange, or lets the time pass for it. A payment and a contact card belong
 * to no chat: what they refer to does.
 * @param {Store} store
 * @param {string} chatId
 * @param {Exchange} exchange
 * @param {Exchange[]} all
 */
async function isIn(store, chatId, exchange, all) {
  const { eventType, messageId, deliveries, calls } = exchange;
  if (comesWithTime(eventType)) return exchange.chatId === chatId || calls.some(({ data }) => data.chat_id === chatId);
  if (!canRepeat(eventType) || deliveries.every(({ data }) => data.by_bot)) return false;
  if (exchange.chatId === null) {
    const found = await origins(store, exchange, await dataOf(exchange), all).catch(() => []);
    return found.some((one) => one.chatId === chatId);
  }
  const isKept = !WRITTEN.has(eventType ?? "") || store.chats.get(chatId)?.messages.has(messageId ?? "");
  return exchange.chatId === chatId && Boolean(isKept);
}

/**
 * @param {Store} store
 * @param {string} chatId
 * @param {Step[]} steps
 * @param {number} at The time of the first step.
 * @param {Exchange[]} all
 */
function sourceOf(store, chatId, steps, at, all) {
  const handles = store.chats.get(chatId)?.handles ?? [];
  const line = handles.find((member) => member.is_me)?.handle ?? steps[0].data.owner_handle ?? "";
  const people = peopleAtFirst(handles, at, steps);
  const turns = [...steps.flatMap((step) => step.turns), ...all.flatMap((one) => one.turns.map((turn) => turn.data))];
  return pytestOf(steps, { line, people, module: moduleOf(turns) });
}

/**
 * Return an exchange with those that it refers to, in order, each with the data of its event.
 * @param {Store} store
 * @param {Exchange} last
 * @param {Exchange[]} all
 */
async function withReferred(store, last, all) {
  /** @type {Map<Exchange, any>} */
  const needed = new Map();
  const open = [last];
  for (let exchange = open.pop(); exchange; exchange = open.pop()) {
    if (needed.has(exchange)) continue;
    const data = await dataOf(exchange);
    needed.set(exchange, data);
    open.push(...(await origins(store, exchange, data, all)));
  }
  return all.filter((one) => needed.has(one)).map((exchange) => ({ exchange, data: needed.get(exchange) }));
}

/**
 * Return what a test expects after the message of an exchange: the answer to several messages comes after the last one.
 * @param {Exchange} exchange
 * @returns {Pick<Exchange, "calls" | "turns" | "sent">}
 */
function answersTo(exchange) {
  const first = exchange.joinedTo ?? exchange;
  return (first.joined.at(-1) ?? first) === exchange ? first : { calls: [], turns: [], sent: [] };
}

/** @param {Exchange} exchange */
async function dataOf({ eventId }) {
  const [delivery] = await fetchDeliveries(eventId ?? "");
  return JSON.parse(delivery.body).data;
}

/**
 * Return the exchanges that an exchange refers to: the one of the message with the tapback, the vote or the reply; the
 * one before that it takes back; the one that began the chat, or that asked for the payment; the connection of a customer
 * who is charged.
 * @param {Store} store
 * @param {Exchange} exchange
 * @param {any} data
 * @param {Exchange[]} all
 */
async function origins(store, exchange, data, all) {
  const { eventType, messageId, chatId } = exchange;
  const type = eventType ?? "";
  const earlier = all.slice(0, all.indexOf(exchange));
  const before = earlier.filter((one) => one.chatId === chatId);
  /** @type {(Exchange | undefined)[]} */
  const found = [...exchange.joined, ...(exchange.joinedTo ? [exchange.joinedTo] : [])];
  if (type in TAKES_BACK) {
    const isSame = (/** @type {Exchange} */ one) => one.eventType === TAKES_BACK[type] && one.messageId === messageId;
    found.push(before.findLast(isSame));
  }
  if (NEEDS_CHAT.has(type)) found.push(before.findLast((one) => one.eventType === "message.received"));
  if (type.startsWith("payment.")) found.push(...(await originsOfPayment(data, type, earlier)));
  if (type === "connection.created") found.push(earlier.findLast((one) => charges(one, data.metadata?.handle)));
  if (type === "contact_card.received") {
    const chat = directChat(store, data);
    found.push(...earlier.filter((one) => chat && isWrittenIn(one, chat.id)).slice(-1));
  }
  const id = referredMessage(store, exchange);
  if (id) found.push(all.find((one) => writes(one, id)));
  if (found.includes(undefined)) {
    throw new Error("What this exchange refers to, such as an earlier message, is no longer in the inspector.");
  }
  return found.filter((one) => one !== undefined);
}

/**
 * Return the exchanges that a payment refers to. A charge is of a customer who has connected, and is collected after it was
 * authorized.
 * @param {any} data
 * @param {string} type
 * @param {Exchange[]} earlier
 */
async function originsOfPayment({ id }, type, earlier) {
  const asked = earlier.find((one) => one.calls.some((call) => asksFor(call.data, id)));
  if (!asked || !isCharge(id)) return [asked];
  const handle = asked.calls.find((call) => asksFor(call.data, id))?.data.body?.handle;
  const found = [asked];
  for (const one of earlier) {
    const isConnection = one.eventType === "connection.created";
    if (!isConnection && !(type === "payment.succeeded" && one.eventType === "payment.authorized")) continue;
    const data = await dataOf(one);
    if (isConnection ? data.metadata?.handle === handle : data.id === id) found.push(one);
  }
  return found;
}

/**
 * Return true if the bot charged a customer in an exchange.
 * @param {Exchange} exchange
 * @param {string | undefined} handle
 */
const charges = ({ calls }, handle) =>
  calls.some(({ data }) => createsPayment(data) && isCharge(data.answer.id) && data.body?.handle === handle);

/**
 * @param {Exchange} exchange
 * @param {string} chatId
 */
const isWrittenIn = (exchange, chatId) => exchange.eventType === "message.received" && exchange.chatId === chatId;

/**
 * Return the direct chat of a person and a line: a contact card belongs to no chat.
 * @param {Store} store
 * @param {any} data
 */
const directChat = (store, { sender_handle: person, owner_handle: line }) =>
  [...store.chats.values()].find(
    ({ is_group: isGroup, handles }) =>
      !isGroup && [person, line].every((handle) => handles?.some((member) => member.handle === handle)),
  );

/**
 * Return the people who are in the chat when the test begins: without those who came later or had left.
 * @param {Member[]} handles
 * @param {number} at The time of the first step.
 * @param {Step[]} steps
 */
function peopleAtFirst(handles, at, steps) {
  const isThere = (/** @type {Member} */ { joined_at: joined, left_at: left }) =>
    !(joined && Date.parse(joined) > at) && !(left && Date.parse(left) < at);
  const people = new Set(handles.filter((one) => !one.is_me && isThere(one)).map((one) => one.handle));
  const sender = senderOf(steps[0].data);
  if (sender) people.add(sender);
  /** @type {Set<string>} */
  const added = new Set();
  for (const { eventType, data } of steps) {
    if (eventType === "participant.added") added.add(data.handle);
    const isPerson = handles.some((one) => !one.is_me && one.handle === data.handle);
    if (eventType === "participant.removed" && isPerson && !added.has(data.handle)) people.add(data.handle);
  }
  return [...people];
}

/**
 * @param {Call} call
 * @param {string} paymentId
 */
const asksFor = (call, paymentId) => createsPayment(call) && call.answer.id === paymentId;

/**
 * @param {Exchange} exchange
 * @param {string} messageId
 */
const writes = (exchange, messageId) =>
  exchange.sent.includes(messageId) || (WRITTEN.has(exchange.eventType ?? "") && exchange.messageId === messageId);

/**
 * Return the message that the event of an exchange refers to: the one with the tapback, or the one replied to.
 * @param {Store} store
 * @param {Exchange} exchange
 */
function referredMessage(store, { eventType, messageId, chatId }) {
  if (!WRITTEN.has(eventType ?? "")) return canRepeat(eventType) ? messageId : null;
  return store.chats.get(chatId ?? "")?.messages.get(messageId ?? "")?.reply_to?.message_id ?? null;
}

/**
 * @param {Store} store
 * @param {string} chatId
 * @param {Exchange} exchange
 * @param {any} data
 * @returns {Step}
 */
function stepOf(store, chatId, { eventType, messageId, calls, turns, sent }, data) {
  const chat = store.chats.get(chatId);
  const messages = sent.flatMap((id) => chat?.messages.get(id) ?? []);
  const made = calls.map((call) => call.data).filter((call) => call.chat_id === chatId || createsPayment(call));
  return {
    eventType: eventType ?? "",
    data,
    calls: made,
    turns: withoutOldFailures(
      turns.map((turn) => turn.data),
      store.bot?.at,
    ),
    // An edited message is expected as it was first sent.
    messages: new Map(messages.filter((message) => !message.edits).map((message) => [message.id, message])),
    poll: chat?.messages.get(messageId ?? "")?.poll ?? null,
    place: placeIn(made, data.shared_by) ?? chat?.locations?.find((one) => one.handle === data.shared_by) ?? null,
  };
}

/**
 * Return the turns without those that failed before the bot's file was last loaded, if a later one succeeded: the file has
 * been corrected since, and a test runs it as it is now.
 * @param {Observation[]} turns
 * @param {string | undefined} loadedAt
 */
function withoutOldFailures(turns, loadedAt) {
  const last = turns.at(-1);
  const loaded = Date.parse(loadedAt ?? "");
  if (last?.outcome !== "acked" || !(Date.parse(last.started_at ?? "") >= loaded)) return turns;
  return turns.filter((turn) => turn === last || Date.parse(turn.started_at ?? "") >= loaded);
}

/**
 * Return the location that the bot was answered; null if it did not ask.
 * @param {Call[]} calls
 * @param {string} handle
 */
function placeIn(calls, handle) {
  for (const { answer } of calls) {
    const features = answer?.data?.features ?? [];
    const feature = features.find((/** @type {any} */ one) => one.properties?.handle === handle);
    if (feature) {
      const [longitude, latitude] = feature.geometry.coordinates;
      return { latitude, longitude };
    }
  }
  return null;
}

/**
 * Return the module of the bot, from the first of these turns that names a handler.
 * @param {Observation[]} turns
 */
function moduleOf(turns) {
  const handlers = turns.flatMap((turn) => [turn.handler, ...(turn.tried ?? []).map((one) => one.handler)]);
  return handlers.find(Boolean)?.split(":")[0] ?? "bot";
}
