// The head of an exchange in words: who said what, or what happened.

import { senderOf } from "../model/chats.js";
import { sentMessageId } from "../model/exchanges.js";
import { nameIn } from "../model/names.js";
import { messagePreview } from "../model/previews.js";
import { callStatus, summaryOf } from "./summary.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { Exchange, Row } from "../model/exchanges.js" */
/** @import { Store } from "../model/store.js" */

/**
 * @param {Store} store
 * @param {Exchange} exchange
 * @returns {{ speaker: string, text: string }}
 */
export function titleOf(store, exchange) {
  const { chatId, eventType, calls, turns, receipts } = exchange;
  const chat = store.chats.get(chatId ?? "");
  const id = subjectOf(exchange);
  const message = id ? chat?.messages.get(id) : undefined;
  if (chat && message) {
    const speaker = nameIn(store, chat, senderOf(message));
    const text = messagePreview(message);
    if (!eventType || eventType === "message.received") return { speaker, text };
    const vote = exchange.deliveries[0]?.data.vote;
    if (!vote) return { speaker: eventType, text: `on “${text}”` };
    return {
      speaker: eventType,
      text: `${nameIn(store, chat, vote.by)} ${voteText(exchange, vote.option_id, message)}`,
    };
  }
  const name = eventType ?? turns[0]?.data.handler;
  if (name) return { speaker: "", text: name };
  const first = calls[0] ?? receipts[0];
  if (!first) return { speaker: "", text: "" };
  const { method = "", title } = summaryOf(first);
  return { speaker: method, text: title };
}

/**
 * Return the id of the message that an exchange is about.
 * @param {Exchange} exchange
 */
function subjectOf({ messageId, eventType, calls: [call] }) {
  // A scheduled send is about the message that it sends. An event of Linq is not about the answer to it.
  const isOwn = !eventType || eventType.startsWith("linqbot.");
  return messageId ?? (isOwn && call ? sentMessageId(call.data) : null);
}

/**
 * Return a vote in words, with the choice and the question. A poll has no title: the question is known if the bot asked it.
 * @param {Exchange} exchange
 * @param {string} optionId
 * @param {Message} message The poll.
 */
function voteText({ eventType, turns }, optionId, message) {
  const option = message.poll?.options.find(({ option_id: id }) => id === optionId)?.text ?? "";
  const question = turns.at(-1)?.data.question?.text.replace(/\s+/g, " ").trim();
  const does = eventType === "poll.vote.removed" ? "took back the vote for" : "voted for";
  return `${does} “${option}” in “${question || messagePreview(message)}”`;
}

/**
 * Return everything of an exchange that a search looks at, in lower case.
 * @param {Store} store
 * @param {Exchange} exchange
 */
export function searchable(store, exchange) {
  const { speaker, text } = titleOf(store, exchange);
  const messages = store.chats.get(exchange.chatId ?? "")?.messages;
  const sent = exchange.sent.map((id) => messages?.get(id)).map((message) => (message ? messagePreview(message) : ""));
  const turns = exchange.turns.map(({ data }) => [
    data.handler,
    data.outcome,
    data.reason,
    data.error?.type,
    data.error?.message,
  ]);
  const rows = [...exchange.deliveries, ...exchange.calls, ...exchange.receipts].map(searchableRow);
  return [speaker, text, exchange.eventType, exchange.eventId, ...sent, ...turns.flat(), ...rows]
    .join("\n")
    .toLowerCase();
}

/** @param {Row} trace */
export function searchableRow(trace) {
  if (trace.kind === "call") return `${trace.data.method} ${trace.data.path} ${callStatus(trace.data)}`.toLowerCase();
  const { event_type: type, event_id: id, attempts = [] } = trace.data;
  return [type, id, ...attempts.map(({ status, reason }) => `${status} ${reason ?? ""}`)].join(" ").toLowerCase();
}
