// The inspector: what the bot did with every message, with the webhooks and the calls behind it, as it happens.

import { buttonTo, h } from "../elements/dom.js";
import { iconButton } from "../elements/icons.js";
import { reconcile } from "../elements/reconcile.js";
import { exchangesOf } from "../model/exchanges.js";
import { exchangeItem, showRows } from "./exchange.js";
import { makeFilters } from "./filters.js";
import { linkWithPhone } from "./links.js";
import { keepOpen, movingFocus, showPanel } from "../elements/side-panel.js";
import { delayMs, isFailed } from "./outcome.js";
import { summaryOf, tone } from "./summary.js";
import { searchable, searchableRow } from "./titles.js";

/** @import { Exchange } from "../model/exchanges.js" */
/** @import { Store } from "../model/store.js" */
/** @import { Trace } from "../model/traces.js" */
/** @import { Filters } from "./filters.js" */

/** The entries shown before "Show more": many more would make each update slow. */
const PAGE = 60;
const SECOND_MS = 1000;
const EMPTY = "What the bot does with a message appears here as it happens: the handler, its calls, its errors.";
const NONE_FITS = "Nothing fits these filters.";

/**
 * Show the inspector in `root`, open if `root` is shown.
 * @param {HTMLElement} root
 * @param {Store} store
 * @returns {() => void} Opens the inspector or closes it.
 */
export function mountInspector(root, store) {
  let limit = PAGE;
  /** @type {Exchange[]} */
  let exchanges = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let countdown;
  const { element, filters, reset } = makeFilters(startOver, () => store.clearTraces());
  const list = h("ol", { class: "exchanges", "aria-label": "Exchanges" });
  const rows = h("ol", { class: "traces flat", "aria-label": "Webhooks and calls" });
  const empty = h("p", { class: "empty" });
  const more = buttonTo(showMore, { class: "text-button more" }, "");
  const scroll = h("div", { class: "inspector-scroll" }, list, rows, empty, more);
  const close = iconButton("close", "Close the inspector", toggle);
  const moveFocus = movingFocus(root, close);
  root.append(h("header", { class: "panel-bar" }, h("h2", {}, "Inspector"), close), element, scroll);
  const phone = linkWithPhone(store, { exchanges: () => exchanges, reveal });
  const view = { store, showMessage: phone.showMessage };

  function startOver() {
    limit = PAGE;
    scroll.scrollTop = 0;
    render();
  }

  function showMore() {
    limit += PAGE;
    render();
  }

  function update() {
    exchanges = exchangesOf(store.traces.list, store.bot?.status === "stopped" ? store.bot.at : null);
    showOutcomes();
  }

  /** Show the exchanges, and again each second while one of them is put off. */
  function showOutcomes() {
    phone.markMessages();
    render();
    clearTimeout(countdown);
    if (exchanges.some((exchange) => delayMs(exchange) > 0)) countdown = setTimeout(showOutcomes, SECOND_MS);
  }

  function render() {
    if (root.hidden) return;
    const isGrouped = filters.kind === "exchange";
    const isHere = chatFilter(store, filters);
    const fitting = isGrouped ? fittingExchanges(store, exchanges, filters, isHere) : [];
    const traces = isGrouped ? [] : fittingTraces(store.traces.list, filters, isHere);
    const count = fitting.length + traces.length;
    reconcile(
      list,
      latest(fitting, limit).map((exchange) => exchangeItem(view, exchange)),
    );
    showRows(rows, latest(traces, limit), phone.showMessage);
    list.hidden = !isGrouped;
    rows.hidden = isGrouped;
    empty.hidden = count > 0;
    empty.textContent = store.traces.list.length > 0 ? NONE_FITS : EMPTY;
    more.hidden = count <= limit;
    more.textContent = `Show ${Math.min(PAGE, count - limit)} more of ${count - limit}`;
  }

  /**
   * Open the inspector at an exchange.
   * @param {string} key
   */
  function reveal(key) {
    if (root.hidden) show(true);
    reset();
    const index = exchanges.findIndex((exchange) => exchange.key === key);
    limit = Math.max(limit, exchanges.length - index);
    render();
    return list.querySelector(`[data-exchange="${CSS.escape(key)}"]`);
  }

  /** @param {boolean} isOpen */
  function show(isOpen) {
    showPanel(root, isOpen);
    if (isOpen) render();
  }

  function toggle() {
    show(Boolean(root.hidden));
    keepOpen(!root.hidden);
    moveFocus();
  }

  update();
  store.onChange((topics) => {
    if (["traces", "me", "bot"].some((topic) => topics.has(/** @type {"me"} */ (topic)))) update();
    else if (topics.has("chats") || topics.has("place")) showOutcomes();
  });
  return toggle;
}

/**
 * Return the last entries, latest first.
 * @template Entry
 * @param {Entry[]} entries
 * @param {number} limit
 */
const latest = (entries, limit) => entries.slice(-limit).reverse();

/**
 * Return a function that tells whether the entries of a chat are listed. "This chat only" lists those of the open chat, so
 * none before it has begun. While the list of chats is open, it lists all.
 * @param {Store} store
 * @param {Filters} filters
 * @returns {(chatId: string | null) => boolean}
 */
function chatFilter({ place, openChat }, { here }) {
  return here && place.view !== "list" ? (chatId) => chatId === openChat?.id : () => true;
}

/**
 * @param {Store} store
 * @param {Exchange[]} exchanges
 * @param {Filters} filters
 * @param {ReturnType<typeof chatFilter>} isHere
 */
const fittingExchanges = (store, exchanges, { query, failed }, isHere) =>
  exchanges.filter(
    (exchange) =>
      isHere(exchange.chatId) &&
      (!failed || isFailed(exchange)) &&
      (!query || searchable(store, exchange).includes(query)),
  );

/**
 * @param {Trace[]} traces
 * @param {Filters} filters
 * @param {ReturnType<typeof chatFilter>} isHere
 */
const fittingTraces = (traces, { kind, query, failed }, isHere) =>
  traces
    .filter((trace) => trace.kind !== "observation")
    .filter(
      (trace) =>
        trace.kind === kind &&
        isHere(trace.chatId) &&
        (!failed || tone(summaryOf(trace).status) === "bad") &&
        (!query || searchableRow(trace).includes(query)),
    );
