// The filters of the inspector: what to list, a search, only failures, only the open chat.

import { buttonTo, h } from "../elements/dom.js";

/** @typedef {"exchange" | "delivery" | "call"} Kind */
/** @typedef {{ kind: Kind, query: string, failed: boolean, here: boolean }} Filters */

/** @type {Record<Kind, string>} */
const KINDS = { exchange: "Exchanges", delivery: "Webhooks", call: "Calls" };

/**
 * Make the filters.
 * @param {() => void} onChange
 * @param {() => void} onClear
 */
export function makeFilters(onChange, onClear) {
  /** @type {Filters} */
  const filters = { kind: "exchange", query: "", failed: false, here: false };
  const set = (/** @type {Partial<Filters>} */ change) => {
    Object.assign(filters, change);
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.kind === filters.kind));
    onChange();
  };
  const buttons = Object.entries(KINDS).map(([kind, label]) => {
    const props = { type: "button", dataset: { kind }, "aria-pressed": String(kind === filters.kind) };
    return h("button", { ...props, on: { click: () => set({ kind: /** @type {Kind} */ (kind) }) } }, label);
  });
  /** @type {HTMLInputElement} */
  const search = h("input", {
    type: "search",
    class: "inspector-search",
    placeholder: "Search",
    "aria-label": "Search the inspector",
    on: { input: () => set({ query: search.value.trim().toLowerCase() }) },
  });
  /** @type {HTMLInputElement} */
  const failed = h("input", { type: "checkbox", on: { change: () => set({ failed: failed.checked }) } });
  /** @type {HTMLInputElement} */
  const here = h("input", { type: "checkbox", on: { change: () => set({ here: here.checked }) } });
  const element = h(
    "div",
    { class: "inspector-filters" },
    h(
      "div",
      { class: "inspector-kinds" },
      h("div", { class: "segments", role: "group", "aria-label": "Kind" }, buttons),
      buttonTo(onClear, { class: "text-button" }, "Clear"),
    ),
    search,
    h("label", {}, failed, "Failed only"),
    h("label", {}, here, "This chat only"),
  );

  /** Show everything again. */
  function reset() {
    search.value = "";
    failed.checked = false;
    here.checked = false;
    set({ kind: "exchange", query: "", failed: false, here: false });
  }

  return { element, filters, reset };
}
