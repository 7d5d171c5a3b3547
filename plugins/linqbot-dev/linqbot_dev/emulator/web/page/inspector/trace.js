// One row of the inspector: a webhook or a call, in a line that opens to show everything that was sent and answered.

import { fetchDeliveries } from "../client/control.js";
import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { messageOf } from "../elements/toast.js";
import { sentMessageId } from "../model/exchanges.js";
import { preciseTime } from "../model/time.js";
import { copyButton } from "./clipboard.js";
import { jsonBlock, labelled } from "./json.js";
import { reasonOf } from "./outcome.js";
import { curlOfCall, curlOfDelivery, triggerOf } from "./shell.js";
import { attemptStatus, summaryOf, tone } from "./summary.js";

/** @import { Attempt, Call, SentDelivery } from "../client/types.d.ts" */
/** @import { CallTrace, DeliveryTrace, Row } from "../model/exchanges.js" */

const MARKS = { delivery: "↓", call: "↑" };
const LOST = {
  answer: "Linq did what was asked. The answer below was lost on the way, so the bot does not know it.",
  request: "The request was lost on the way: Linq did nothing.",
  connection: "Linq did nothing, and closed the connection without an answer.",
};
const LABELS = { delivery: "Webhook", call: "API call" };

/**
 * @param {Row} trace
 * @param {(messageId: string) => void} showMessage Shows a message on the phone.
 */
export function traceItem(trace, showMessage) {
  const details = h("details", { class: `trace ${trace.kind}` }, summaryLine(trace));
  // The content is made when the row is first opened: most rows never are.
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const content = trace.kind === "call" ? callContent(trace) : deliveryContent(trace);
    details.append(h("div", { class: "trace-body" }, content));
  });
  // The message that was received, delivered, read or sent.
  const messageId = trace.kind === "call" ? sentMessageId(trace.data) : trace.data.message_id;
  if (!messageId) return h("li", {}, details);
  const label = "Show the message on the phone";
  const click = () => showMessage(messageId);
  const button = buttonTo(click, { class: "to-message", "aria-label": label, title: label });
  button.append(icon("reply"));
  return h("li", {}, details, button);
}

/** @param {Row} trace */
function summaryLine(trace) {
  const { title, method, status, ms, extra } = summaryOf(trace);
  const mark = { class: "trace-mark", title: LABELS[trace.kind], role: "img", "aria-label": LABELS[trace.kind] };
  return h(
    "summary",
    {},
    h("span", mark, MARKS[trace.kind]),
    h("span", { class: "trace-title" }, method && h("b", {}, method), " ", title, extra && h("small", {}, extra)),
    statusCode(status),
    h("span", { class: "ms" }, duration(ms)),
    h("time", {}, preciseTime(trace.at)),
  );
}

/** @param {string} status */
const statusCode = (status) => h("span", { class: `code ${tone(status)}` }, status);

/** @param {number | null | undefined} ms */
const duration = (ms) => (ms === undefined || ms === null ? "" : `${Math.round(ms)} ms`);

/** @param {DeliveryTrace} trace */
function deliveryContent({ data }) {
  const { attempts = [], event_id: eventId, subscription_id: subscriptionId } = data;
  const sent = h("div", { role: "status" }, "Loading…");
  fetchDeliveries(eventId).then(
    (all) => {
      const own = all.find((one) => one.subscription_id === subscriptionId) ?? all[0];
      sent.removeAttribute("role");
      sent.replaceChildren(...sentContent(own));
    },
    (error) => {
      sent.textContent = `The webhook could not be loaded: ${messageOf(error)}`;
    },
  );
  return [attemptList(attempts), sent];
}

/** @param {SentDelivery} delivery */
function sentContent(delivery) {
  const { body, headers, target_url: url } = delivery;
  const payload = JSON.parse(body);
  const hasHeaders = Object.keys(headers).length > 0;
  return [
    h(
      "div",
      { class: "actions" },
      copyButton("Copy as JSON", () => `${JSON.stringify(payload, null, 2)}\n`),
      hasHeaders && copyButton("Copy as curl", () => curlOfDelivery(delivery)),
      copyButton("Copy as linqbot trigger", () => triggerOf(delivery)),
    ),
    jsonBlock("Payload", payload),
    labelled(
      "Headers, as sent",
      hasHeaders
        ? h(
            "dl",
            { class: "headers" },
            Object.entries(headers).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
          )
        : h("p", {}, "Not sent yet."),
    ),
    labelled("Sent to", h("p", { class: "address" }, url ?? "a subscription that was deleted")),
  ];
}

/** @param {CallTrace} trace */
function callContent({ data }) {
  const { body, answer, lost } = data;
  const blocks = [];
  if (lost) blocks.push(h("p", { class: "reason" }, LOST[lost]));
  if (body) blocks.push(jsonBlock("Request", body));
  const answered = data.status === null ? "None" : `${data.status}, without a body`;
  blocks.push(answer ? jsonBlock("Answer", answer) : labelled("Answer", h("p", {}, answered)));
  return [callActions(data), ...blocks];
}

/** @param {Call} call */
function callActions(call) {
  const { method, path, query, body = null, status, lost = null, answer = null } = call;
  const json = { request: { method, path, query, body }, answer: { status, lost, body: answer } };
  return h(
    "div",
    { class: "actions" },
    copyButton("Copy as JSON", () => `${JSON.stringify(json, null, 2)}\n`),
    copyButton("Copy as curl", () => curlOfCall(call, location.origin)),
  );
}

/** @param {Attempt[]} attempts */
function attemptList(attempts) {
  const items = attempts.map((attempt) => {
    const isBad = tone(attemptStatus(attempt)) !== "good";
    return h(
      "li",
      {},
      h("time", {}, attempt.at ? preciseTime(attempt.at) : ""),
      statusCode(attemptStatus(attempt)),
      h("span", { class: "ms" }, duration(attempt.ms ?? 0)),
      isBad && h("p", { class: "reason" }, reasonOf(attempt)),
      attempt.answer && h("pre", { tabindex: "0", "aria-label": "The answer’s beginning" }, attempt.answer),
    );
  });
  return h("ol", { class: "attempts", "aria-label": "Attempts" }, items);
}
