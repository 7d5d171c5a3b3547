// The panel "Time and faults": it moves the clock, switches faults on, shows what the bot stores, and starts again.

import { h } from "../elements/dom.js";
import { iconButton } from "../elements/icons.js";
import { markOpeners, movingFocus } from "../elements/side-panel.js";
import { mountClock } from "./clock.js";
import { mountFaults } from "./faults.js";
import { mountReset } from "./reset.js";
import { mountStored } from "./stored.js";
import { StoredFacts } from "./stored-facts.js";

/** @import { Store } from "../model/store.js" */

/**
 * Show the panel in `root`, closed.
 * @param {HTMLElement} root
 * @param {Store} store
 * @returns {() => void} Opens the panel or closes it.
 */
export function mountControls(root, store) {
  const facts = new StoredFacts(store);
  const close = iconButton("close", "Close time and faults", toggle);
  const moveFocus = movingFocus(root, close);
  const clock = h("section", { "aria-label": "Clock" });
  const faults = h("section", { "aria-label": "Faults" });
  const stored = h("section", { "aria-label": "What the bot stores" });
  const reset = h("section", { "aria-label": "Start again" });
  root.append(
    h("header", { class: "panel-bar" }, h("h2", {}, "Time and faults"), close),
    h("div", { class: "controls-scroll" }, clock, faults, stored, reset),
  );
  mountClock(clock, store, facts);
  mountFaults(faults, store);
  mountStored(stored, store, facts);
  mountReset(reset, store);

  function toggle() {
    root.hidden = !root.hidden;
    document.body.classList.toggle("controlling", !root.hidden);
    facts.follow(!root.hidden);
    markOpeners(root);
    moveFocus();
  }

  return toggle;
}
