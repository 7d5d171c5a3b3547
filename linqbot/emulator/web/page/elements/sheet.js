// A sheet slides up over the phone's screen and takes the keyboard until it is closed.

import { h } from "./dom.js";

/**
 * Open a sheet in the phone.
 * @param content The sheet's body; `close()` is also returned for it to call.
 * @param action Optional `{label, run}`: the button at the right; `run` returning false keeps the sheet open.
 */
export function openSheet(title, content, action) {
  const screen = document.getElementById("screen");
  const before = document.activeElement;
  const panes = screen.querySelector(".panes");
  const sheet = h(
    "div",
    { class: "sheet", role: "dialog", "aria-modal": "true", "aria-label": title },
    h(
      "header",
      { class: "sheet-head" },
      h("button", { type: "button", class: "text-button", on: { click: close } }, action ? "Cancel" : "Close"),
      h("h2", {}, title),
      action
        ? h(
            "button",
            { type: "button", class: "text-button strong", on: { click: () => action.run() !== false && close() } },
            action.label,
          )
        : h("span"),
    ),
    h("div", { class: "sheet-body" }, content),
  );
  const backdrop = h(
    "div",
    {
      class: "backdrop",
      on: {
        click: (event) => event.target === backdrop && close(),
        keydown: (event) => event.key === "Escape" && (event.stopPropagation(), close()),
      },
    },
    sheet,
  );

  function close() {
    if (!backdrop.isConnected) return;
    panes.inert = false;
    backdrop.remove();
    before?.focus?.({ preventScroll: true });
  }

  panes.inert = true;
  screen.append(backdrop);
  (sheet.querySelector("[autofocus]") ?? sheet.querySelector("button")).focus({ preventScroll: true });
  return close;
}
