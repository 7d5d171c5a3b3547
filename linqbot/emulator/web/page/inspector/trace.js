// One entry of the inspector: a line that opens to show all of its data.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { succeeds } from "../elements/toast.js";
import { replayDelivery } from "../client/control.js";
import { preciseTime } from "../model/time.js";
import { attemptStatus, jsonPieces, summaryOf, tone } from "./summary.js";

/** @import { Attempt, Delivery } from "../client/types.d.ts" */
/** @import { Trace } from "../model/traces.js" */

export const KINDS = { delivery: "Webhooks", call: "Calls", observation: "Turns" };
const MARKS = { delivery: "↓", call: "↑", observation: "●" };
const LABELS = { delivery: "Webhook", call: "API call", observation: "Turn" };

/** @param {Trace} trace */
export function traceItem(trace) {
  const details = h("details", { class: `trace ${trace.kind}` }, summaryLine(trace));
  // The content is made when the entry is first opened: most entries never are.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...content(trace));
  });
  return h("li", {}, details);
}

/** @param {Trace} trace */
function summaryLine(trace) {
  const { title, method, status, ms, extra } = summaryOf(trace);
  const mark = { class: "trace-mark", title: KINDS[trace.kind], role: "img", "aria-label": LABELS[trace.kind] };
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

/** @param {Trace} trace */
function content(trace) {
  if (trace.kind !== "delivery") return [jsonBlock(trace.data)];
  const { attempts = [], ...rest } = trace.data;
  const tries = attempts.length > 0 ? [attemptList(attempts)] : [];
  return [...tries, replayButton(trace.data), jsonBlock(rest)];
}

/** @param {Attempt[]} attempts */
function attemptList(attempts) {
  const items = attempts.map((attempt) =>
    h(
      "li",
      {},
      h("time", {}, attempt.at ? preciseTime(attempt.at) : ""),
      statusCode(attemptStatus(attempt)),
      h("span", { class: "ms" }, duration(attempt.ms ?? 0)),
    ),
  );
  return h("ol", { class: "attempts" }, items);
}

/**
 * Make the button that delivers a webhook again, as Linq does when a response was lost. A good bot does nothing twice.
 * @param {Delivery} delivery
 */
function replayButton({ event_id: eventId }) {
  const click = () => succeeds(replayDelivery(eventId));
  return h("button", { type: "button", class: "pill small", on: { click } }, icon("replay"), "Deliver again");
}

/** @param {object} data */
function jsonBlock(data) {
  const pieces = jsonPieces(data).map(({ text, cls }) => (cls ? h("span", { class: cls }, text) : text));
  return h("pre", { tabindex: "0" }, pieces);
}
