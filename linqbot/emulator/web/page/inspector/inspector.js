// The inspector: every webhook the emulator delivers, every API call it answers, every turn the bot reports, as they
// happen.

import { replayDelivery } from "../model/control.js";
import { h, icon, iconButton, reconcile, toast } from "../elements/dom.js";
import { preciseTime } from "../model/time.js";

const KINDS = { all: "All", delivery: "Webhooks", call: "Calls", observation: "Turns" };
const WIDE = matchMedia("(min-width: 1080px)");
const OPEN = "linqbot.inspector";

const lastAttempt = (data) => data.attempts?.at(-1);

function summary({ kind, data }) {
  if (kind === "delivery") {
    const attempt = lastAttempt(data);
    const tries = data.attempts?.length ?? 0;
    return {
      title: data.event_type,
      status: attempt?.status ?? "…",
      ms: attempt?.ms,
      extra: tries > 1 ? `${tries} attempts` : "",
    };
  }
  if (kind === "call") return { title: shortPath(data.path), method: data.method, status: data.status, ms: data.ms };
  const title = data.handler ?? data.name ?? data.kind ?? data.type ?? "turn";
  return { title: String(title), status: data.status ?? data.outcome ?? "", ms: data.ms, extra: data.event_type };
}

const UUID = /\b([0-9a-f]{4})[0-9a-f]{4}-[0-9a-f-]{27}\b/g;
const shortPath = (path) => path.replace(/^\/api\/partner/, "").replace(UUID, "$1…");

function tone(status) {
  const code = Number(status);
  if (Number.isNaN(code))
    return status === "…" || status === "" ? "" : /fail|error|drop|lost|timeout|refused/i.test(status) ? "bad" : "good";
  return code >= 200 && code < 300 ? "good" : code >= 400 || code === 0 ? "bad" : "";
}

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/g;

/** Indented JSON with coloured keys and values, as text nodes and spans. */
function json(data) {
  const text = JSON.stringify(data, null, 2);
  const pre = h("pre", { tabindex: "0" });
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [all, string, colon, literal] = match;
    pre.append(
      text.slice(at, match.index),
      h("span", { class: literal ? "json-literal" : colon ? "json-key" : "json-string" }, string ?? literal),
      colon ?? "",
    );
    at = match.index + all.length;
  }
  pre.append(text.slice(at));
  return pre;
}

function attempts(list) {
  return h(
    "ol",
    { class: "attempts" },
    list.map((attempt) =>
      h(
        "li",
        {},
        h("time", {}, attempt.at ? preciseTime(attempt.at) : ""),
        h("span", { class: `code ${tone(attempt.status)}` }, String(attempt.status)),
        h("span", { class: "ms" }, `${Math.round(attempt.ms ?? 0)} ms`),
      ),
    ),
  );
}

// The same bytes under the same id once more: what Linq does when an answer was lost. A good bot does nothing twice.
function replayButton({ event_id: eventId }) {
  return h(
    "button",
    {
      type: "button",
      class: "pill small",
      on: { click: () => replayDelivery(eventId).catch((error) => toast(error.message)) },
    },
    icon("replay"),
    "Deliver again",
  );
}

function traceRow(entry) {
  const { title, method, status, ms, extra } = summary(entry);
  const details = h(
    "details",
    { class: `trace ${entry.kind}` },
    h(
      "summary",
      {},
      h(
        "span",
        {
          class: "trace-mark",
          title: KINDS[entry.kind],
          role: "img",
          "aria-label": { delivery: "Webhook", call: "API call", observation: "Turn" }[entry.kind],
        },
        { delivery: "↓", call: "↑", observation: "●" }[entry.kind],
      ),
      h("span", { class: "trace-title" }, method && h("b", {}, method), " ", title, extra && h("small", {}, extra)),
      h("span", { class: `code ${tone(status)}` }, String(status)),
      h("span", { class: "ms" }, ms === undefined || ms === null ? "" : `${Math.round(ms)} ms`),
      h("time", {}, preciseTime(entry.at)),
    ),
  );
  // Built when it is first opened: most entries never are.
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const { attempts: tries, ...rest } = entry.data;
    if (tries?.length) details.append(attempts(tries));
    if (entry.kind === "delivery") details.append(replayButton(entry.data));
    details.append(json(rest));
  });
  return h("li", {}, details);
}

/** @returns `{toggle()}` */
export function mountInspector(root, store) {
  let kind = "all";
  const onlyThisChat = h("input", { type: "checkbox", on: { change: render } });
  const filters = h(
    "div",
    { class: "segments", role: "group", "aria-label": "Kind" },
    Object.entries(KINDS).map(([name, label]) =>
      h(
        "button",
        {
          type: "button",
          dataset: { kind: name },
          "aria-pressed": String(name === kind),
          on: {
            click: () => {
              kind = name;
              for (const button of filters.children)
                button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
              render();
            },
          },
        },
        label,
      ),
    ),
  );
  const list = h("ol", { class: "traces" });
  const empty = h("p", { class: "empty" }, "Webhooks to your bot and its API calls appear here as they happen.");
  root.append(
    h(
      "header",
      { class: "inspector-bar" },
      h("h2", {}, "Inspector"),
      iconButton("close", "Close the inspector", toggle),
    ),
    h(
      "div",
      { class: "inspector-filters" },
      filters,
      h("label", {}, onlyThisChat, "This chat only"),
      h("button", { type: "button", class: "text-button", on: { click: () => store.clearTraces() } }, "Clear"),
    ),
    h("div", { class: "inspector-scroll" }, list, empty),
  );

  function render() {
    if (root.hidden) return;
    const chatId = onlyThisChat.checked ? store.openChat?.id : null;
    const entries = store.traces.filter(
      (entry) => (kind === "all" || entry.kind === kind) && (!chatId || entry.chatId === chatId),
    );
    const open = new Set([...list.querySelectorAll("details[open]")].map((node) => node.parentElement.dataset.key));
    reconcile(
      list,
      entries
        .reverse()
        .map((entry) => ({ key: entry.key, version: JSON.stringify(entry.data), build: () => traceRow(entry) })),
    );
    // An entry that got another attempt was made anew; if it was open, it stays open.
    for (const item of list.children) if (open.has(item.dataset.key)) item.firstElementChild.open = true;
    empty.hidden = entries.length > 0;
  }

  function show(isOpen) {
    root.hidden = !isOpen;
    document.body.classList.toggle("inspecting", isOpen);
    if (isOpen) render();
  }

  function toggle() {
    show(root.hidden);
    localStorage.setItem(OPEN, root.hidden ? "closed" : "open");
  }

  show(WIDE.matches && localStorage.getItem(OPEN) !== "closed");
  store.onChange((topics) => (topics.has("traces") || topics.has("place")) && render());
  return { toggle };
}
