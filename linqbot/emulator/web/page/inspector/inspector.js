// The inspector: every webhook that the emulator delivers, every API call that it answers, and every turn that the bot
// reports, as they happen.

import { h } from "../elements/dom.js";
import { iconButton } from "../elements/icons.js";
import { reconcile } from "../elements/reconcile.js";
import { KINDS, traceItem } from "./trace.js";

/** @import { Store } from "../model/store.js" */

const ALL = "all";
const WIDE = matchMedia("(min-width: 1080px)");
const OPEN = "linqbot.inspector";
const EMPTY = "Webhooks to your bot and its API calls appear here as they happen.";

/**
 * Make the buttons that choose a kind of trace.
 * @param {(kind: string) => void} onChoose
 */
function kindButtons(onChoose) {
  const choose = (/** @type {string} */ kind) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    onChoose(kind);
  };
  const buttons = Object.entries({ [ALL]: "All", ...KINDS }).map(([kind, label]) =>
    h(
      "button",
      {
        type: "button",
        dataset: { kind },
        "aria-pressed": String(kind === ALL),
        on: { click: () => choose(kind) },
      },
      label,
    ),
  );
  return h("div", { class: "segments", role: "group", "aria-label": "Kind" }, buttons);
}

/**
 * Show the inspector in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 * @returns {() => void} Opens the inspector or closes it.
 */
export function mountInspector(root, store) {
  let kind = ALL;
  const onlyThisChat = h("input", { type: "checkbox", on: { change: render } });
  const filter = kindButtons((chosen) => {
    kind = chosen;
    render();
  });
  const clear = h(
    "button",
    { type: "button", class: "text-button", on: { click: () => store.clearTraces() } },
    "Clear",
  );
  const list = h("ol", { class: "traces" });
  const empty = h("p", { class: "empty" }, EMPTY);
  root.append(
    h(
      "header",
      { class: "inspector-bar" },
      h("h2", {}, "Inspector"),
      iconButton("close", "Close the inspector", toggle),
    ),
    h("div", { class: "inspector-filters" }, filter, h("label", {}, onlyThisChat, "This chat only"), clear),
    h("div", { class: "inspector-scroll" }, list, empty),
  );

  function chosenTraces() {
    const chatId = onlyThisChat.checked ? store.openChat?.id : null;
    return store.traces.list.filter(
      (trace) => (kind === ALL || trace.kind === kind) && (!chatId || trace.chatId === chatId),
    );
  }

  function render() {
    if (root.hidden) return;
    const traces = chosenTraces();
    const items = traces.map((trace) => ({
      key: trace.key,
      version: JSON.stringify(trace.data),
      build: () => traceItem(trace),
    }));
    keepOpen(list, () => reconcile(list, items.reverse()));
    empty.hidden = traces.length > 0;
  }

  /** @param {boolean} isOpen */
  function show(isOpen) {
    root.hidden = !isOpen;
    document.body.classList.toggle("inspecting", isOpen);
    if (isOpen) render();
  }

  function toggle() {
    show(Boolean(root.hidden));
    localStorage.setItem(OPEN, root.hidden ? "closed" : "open");
  }

  show(WIDE.matches && localStorage.getItem(OPEN) !== "closed");
  store.onChange((topics) => (topics.has("traces") || topics.has("place")) && render());
  return toggle;
}

/**
 * Keep open entries open while `update` changes the list: a delivery with a new attempt gets a new element.
 * @param {HTMLElement} list
 * @param {() => void} update
 */
function keepOpen(list, update) {
  const isOpen = (/** @type {HTMLElement} */ item) => item.querySelector("details")?.open;
  const itemsOf = () => /** @type {HTMLElement[]} */ ([...list.children]);
  const keys = new Set(
    itemsOf()
      .filter(isOpen)
      .map((item) => item.dataset.key),
  );
  update();
  for (const item of itemsOf()) {
    if (keys.has(item.dataset.key)) item.querySelector("details")?.setAttribute("open", "");
  }
}
