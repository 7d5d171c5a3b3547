// One exchange of the inspector: a head that says what the bot did with an event, over the webhooks, the calls and the
// receipts that belong to it.

import { fetchTest } from "../client/control.js";
import { run } from "../controls/message-actions.js";
import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { reconcile } from "../elements/reconcile.js";
import { WRITTEN } from "../model/exchanges.js";
import { preciseTime } from "../model/time.js";
import { copyButton } from "./clipboard.js";
import { latestTurn, outcomeOf, placeOf } from "./outcome.js";
import { titleOf } from "./titles.js";
import { jsonBlock } from "./json.js";
import { traceItem } from "./trace.js";

/** @import { Observation, RunStep, TriedHandler, TurnError } from "../client/types.d.ts" */
/** @import { Item } from "../elements/reconcile.js" */
/** @import { Exchange, Row } from "../model/exchanges.js" */
/** @import { Store } from "../model/store.js" */

/** The filters that did not fit which are shown without opening an exchange. */
const SHOWN_FILTERS = 3;

/**
 * What an exchange needs of the inspector.
 * @typedef {{ store: Store, showMessage: (messageId: string) => void }} ExchangeView
 */

/**
 * Return the item of an exchange. Its element stays while the exchange grows, so that what is open stays open.
 * @param {ExchangeView} view
 * @param {Exchange} exchange
 * @returns {Item}
 */
export function exchangeItem(view, exchange) {
  return {
    key: exchange.key,
    version: "",
    build: () => frame(exchange),
    update: (node) => fill(view, node, exchange),
  };
}

/** @type {WeakMap<Element, () => void>} Fills the body of an exchange; called when it is opened and when it changes. */
const fillers = new WeakMap();
/** @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/** @param {Exchange} exchange */
function frame(exchange) {
  const details = h("details", { class: "exchange" }, h("summary", {}), h("div", { class: "exchange-body" }));
  details.addEventListener("toggle", () => details.open && fillers.get(details)?.());
  return h("li", { class: "exchange-item", dataset: { exchange: exchange.key } }, details);
}

/**
 * @param {ExchangeView} view
 * @param {HTMLElement} node
 * @param {Exchange} exchange
 */
function fill(view, node, exchange) {
  const details = /** @type {HTMLDetailsElement} */ (node.firstElementChild);
  const [summary, body] = /** @type {HTMLElement[]} */ ([...details.children]);
  const { speaker, text } = titleOf(view.store, exchange);
  const outcome = outcomeOf(exchange);
  const version = `${versionOf(exchange)} ${speaker} ${text} ${outcome.sentence}`;
  if (shown.get(details) === version) return;
  shown.set(details, version);
  details.className = `exchange ${outcome.tone}`;
  summary.replaceChildren(
    h(
      "span",
      { class: "exchange-said" },
      speaker && h("b", {}, speaker),
      h("span", { class: "exchange-text", dir: "auto" }, text),
      h("time", {}, preciseTime(exchange.at)),
    ),
    factLine(outcome.facts),
    ...(outcome.sentence ? [h("span", { class: "sentence" }, outcome.sentence)] : []),
    ...(outcome.error ? [errorLine(outcome.error)] : []),
    ...adviceOn(exchange),
  );
  const fillBody = () => reconcileBody(view, body, exchange);
  fillers.set(details, fillBody);
  if (details.open) fillBody();
}

/** @param {Exchange} exchange */
const versionOf = ({ deliveries, turns, calls, receipts, isCutOff, joined, joinedTo, takenBy }) =>
  [deliveries, turns, calls, receipts].map((list) => list.map((trace) => trace.version).join()).join(";") +
  [
    isCutOff,
    joined.length,
    joinedTo?.joined.length,
    joinedTo?.turns.at(-1)?.version,
    takenBy?.turns.at(-1)?.version,
  ].join();

/** @param {string[]} facts */
const factLine = (facts) =>
  h(
    "span",
    { class: "exchange-facts" },
    facts.map((fact) => h("span", {}, fact)),
  );

/** @param {TurnError} error */
const errorLine = ({ type, message, file, line, code }) =>
  h(
    "span",
    { class: "error" },
    h("b", {}, message ? `${type}: ${message}` : type),
    h("span", { class: "error-code" }, h("span", {}, placeOf(file, line)), code && h("code", {}, code)),
  );

/**
 * Make the lines that say why no handler took a message, and the notes on the turn.
 * @param {Exchange} exchange
 */
function adviceOn(exchange) {
  const { outcome, tried = null, notes = [] } = latestTurn(exchange) ?? {};
  const missed = outcome === "not_handled" ? (tried ?? []).filter(({ fits }) => !fits) : [];
  const lines = missed.slice(0, SHOWN_FILTERS).map((one) => h("span", { class: "tried-line" }, triedParts(one)));
  const more = missed.length - lines.length;
  return [
    lines.length > 0 &&
      h("span", { class: "tried" }, lines, more > 0 && h("span", { class: "rest" }, `and ${more} more`)),
    ...notes.map(({ title, message, file, line }) => {
      const place = placeOf(file, line);
      const head = title ? h("b", {}, `${title}. `) : "";
      return h("span", { class: "turn-note" }, head, message, place && h("code", {}, place));
    }),
  ].filter((node) => node !== false);
}

/** @param {TriedHandler} tried */
const triedParts = ({ handler, file, line, filter, fits }) => [
  h("code", {}, handler),
  h("span", { class: "place" }, placeOf(file, line)),
  h("span", {}, filter ?? "no filter"),
  h("span", { class: "fit" }, fits ? "fits" : "does not fit"),
];

/**
 * @param {ExchangeView} view
 * @param {HTMLElement} body
 * @param {Exchange} exchange
 */
function reconcileBody(view, body, exchange) {
  const { store, showMessage } = view;
  const rows = [...exchange.deliveries, ...exchange.calls].sort((a, b) => a.ms - b.ms);
  const turns = exchange.turns.map((trace) => trace.version).join();
  /** @type {Item[]} */
  const items = [
    { key: "turn", version: turns, build: () => h("div", { class: "turn" }, turnContent(exchange)) },
    {
      key: "actions",
      version: `${exchange.messageId} ${store.lines.length} ${store.hasRunner}`,
      build: () => actions(view, exchange),
    },
    {
      key: "rows",
      version: "",
      build: () => h("ol", { class: "traces" }),
      update: (list) => showRows(list, rows, showMessage),
    },
  ];
  if (exchange.receipts.length > 0) {
    items.push({
      key: "receipts",
      version: "",
      build: receiptsFrame,
      update: (node) => showReceipts(node, exchange.receipts, showMessage),
    });
  }
  reconcile(body, items);
}

/**
 * @param {ExchangeView} view
 * @param {Exchange} exchange
 */
function actions({ store, showMessage }, exchange) {
  const { messageId, eventId, eventType } = exchange;
  const show = () => messageId && showMessage(messageId);
  const isWritten = WRITTEN.has(eventType ?? "") && messageId !== null;
  return h(
    "div",
    { class: "actions" },
    isWritten && store.hasRunner && buttonTo(() => run(messageId), { class: "pill small" }, icon("play"), "Run Again"),
    messageId && buttonTo(show, { class: "pill small" }, icon("reply"), "Show on the phone"),
    exchange.deliveries.some(({ data }) => data.repeatable) &&
      copyButton("Copy as pytest", () => fetchTest("deliveries", eventId ?? "")),
  );
}

/** @param {Exchange} exchange */
function turnContent(exchange) {
  const turn = latestTurn(exchange);
  if (!turn) return [];
  const { tried, error, outcome, steps = [] } = turn;
  return [
    (exchange.turns.length > 1 || steps.length > 0) && runsOf(exchange.turns.map((trace) => trace.data)),
    tried && tried.length > 0 && triedList(tried, outcome === "not_handled"),
    error?.traceback &&
      h(
        "details",
        { class: "fold" },
        h("summary", {}, "Traceback"),
        h("pre", { tabindex: "0" }, error.traceback.trim()),
      ),
  ].filter(Boolean);
}

/** @param {Observation[]} turns */
function runsOf(turns) {
  const items = turns.map(({ outcome, started_at: at, error, duration_ms: ms, steps = [], used }, index) => {
    const isCutOff = outcome === "running" && index < turns.length - 1;
    const words = [
      `Run ${index + 1}`,
      isCutOff ? "cut off" : outcome?.replace("_", "-"),
      error?.type,
      ms == null ? "" : `${Math.round(ms)} ms`,
      used,
    ];
    return h(
      "li",
      {},
      h("p", {}, h("time", {}, at ? preciseTime(at) : ""), h("span", {}, words.filter(Boolean).join(" · "))),
      steps.length > 0 && h("ol", { class: "run-steps", "aria-label": "Steps of the run" }, steps.map(stepItem)),
    );
  });
  return h("ol", { class: "turn-runs", "aria-label": "Runs of the turn" }, items);
}

/** @param {RunStep} step */
function stepItem({ name, said = "", remembered, failed, arguments: given, result }) {
  const hasArguments = given !== null && given !== undefined;
  const summary = h(
    "summary",
    {},
    h("code", {}, name),
    h("span", { class: [failed && "failed", remembered && "remembered"].filter(Boolean).join(" ") }, said),
    hasArguments && h("small", {}, typeof given === "string" ? given : JSON.stringify(given)),
  );
  const blocks = [hasArguments && jsonBlock("Arguments", given), jsonBlock("Result", result ?? null)];
  return h("li", {}, h("details", { class: "fold" }, summary, blocks));
}

/**
 * @param {TriedHandler[]} tried
 * @param {boolean} isOpen
 */
function triedList(tried, isOpen) {
  const items = tried.map((one) => h("li", { class: one.fits ? "fits" : "" }, triedParts(one)));
  return h(
    "details",
    { class: "fold", open: isOpen },
    h("summary", {}, `Filters tried (${tried.length})`),
    h("ul", { class: "tried" }, items),
  );
}

const receiptsFrame = () => h("details", { class: "fold receipts" }, h("summary", {}), h("ol", { class: "traces" }));

/**
 * @param {HTMLElement} node
 * @param {Row[]} receipts
 * @param {(messageId: string) => void} showMessage
 */
function showReceipts(node, receipts, showMessage) {
  const [summary, list] = /** @type {HTMLElement[]} */ ([...node.children]);
  summary.textContent = `Receipts and typing (${receipts.length})`;
  showRows(
    list,
    receipts.toSorted((a, b) => a.ms - b.ms),
    showMessage,
  );
}

/**
 * Show rows. An open row stays open when it is made again, as for a delivery with a new attempt.
 * @param {HTMLElement} list
 * @param {Row[]} traces
 * @param {(messageId: string) => void} showMessage
 */
export function showRows(list, traces, showMessage) {
  const open = new Set(
    /** @type {HTMLElement[]} */ ([...list.children])
      .filter((item) => item.querySelector("details")?.open)
      .map((item) => item.dataset.key),
  );
  reconcile(
    list,
    traces.map((trace) => ({
      key: trace.key,
      version: String(trace.version),
      build: () => {
        const item = traceItem(trace, showMessage);
        if (open.has(trace.key)) item.querySelector("details")?.setAttribute("open", "");
        return item;
      },
    })),
  );
}
