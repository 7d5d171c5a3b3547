// The steps of a conversation for its pytest: an exchange, and those before it that it refers to.

import { fetchDeliveries } from "../client/control.js";
import { WRITTEN } from "../model/exchanges.js";
import { canRepeat, createsPayment, pytestOf } from "./pytest.js";

/** @import { Call, Observation } from "../client/types.d.ts" */
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
const NEEDS_CHAT = new Set(["poll.received", "location.sharing.started"]);

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
  const chatId = exchange.chatId ?? told[0].exchange.chatId ?? "";
  const steps = told.map(({ exchange: one, data }) => stepOf(store, chatId, one, data));
  const handles = store.chats.get(chatId)?.handles ?? [];
  const line = handles.find((member) => member.is_me)?.handle ?? "";
  const people = handles.filter((one) => !one.is_me).map((one) => one.handle);
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
    open.push(...origins(store, exchange, data, all));
  }
  return all.filter((one) => needed.has(one)).map((exchange) => ({ exchange, data: needed.get(exchange) }));
}

/** @param {Exchange} exchange */
async function dataOf({ eventId }) {
  const [delivery] = await fetchDeliveries(eventId ?? "");
  return JSON.parse(delivery.body).data;
}

/**
 * Return the exchanges that an exchange refers to: the one of the message with the tapback, the vote or the reply; the
 * one before that it takes back; the one that began the chat, or that asked for the payment.
 * @param {Store} store
 * @param {Exchange} exchange
 * @param {any} data
 * @param {Exchange[]} all
 */
function origins(store, exchange, data, all) {
  const { eventType, messageId, chatId } = exchange;
  const type = eventType ?? "";
  const before = all.slice(0, all.indexOf(exchange)).filter((one) => one.chatId === chatId);
  const found = [];
  if (type in TAKES_BACK) {
    const isSame = (/** @type {Exchange} */ one) => one.eventType === TAKES_BACK[type] && one.messageId === messageId;
    found.push(before.findLast(isSame));
  }
  if (NEEDS_CHAT.has(type)) found.push(before.findLast((one) => one.eventType === "message.received"));
  if (type.startsWith("payment.")) found.push(all.find((one) => one.calls.some((call) => asksFor(call.data, data.id))));
  const id = referredMessage(store, exchange);
  if (id) found.push(all.find((one) => writes(one, id)));
  if (found.includes(undefined)) {
    throw new Error("What this exchange refers to, such as an earlier message, is no longer in the inspector.");
  }
  return found.filter((one) => one !== undefined);
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
    turns: turns.map((turn) => turn.data),
    // An edited message is expected as it was first sent.
    messages: new Map(messages.filter((message) => !message.edits).map((message) => [message.id, message])),
    poll: chat?.messages.get(messageId ?? "")?.poll ?? null,
    place: placeIn(made, data.shared_by) ?? chat?.locations?.find((one) => one.handle === data.shared_by) ?? null,
  };
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
