// The panel "Time and faults": it moves the clock, switches faults on, shows what the bot stores, and starts again.

import { resetAll } from "../client/conditions.js";
import { buttonTo, h } from "../elements/dom.js";
import { iconButton } from "../elements/icons.js";
import { markOpeners, movingFocus } from "../elements/side-panel.js";
import { succeeds } from "../elements/toast.js";
import { mountClock } from "./clock.js";
import { mountFaults } from "./faults.js";
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

/**
 * Show the button that empties the emulator and, under `linqbot dev`, the bot's storage. It asks before.
 * @param {HTMLElement} root
 * @param {Store} store
 */
function mountReset(root, store) {
  const ask = buttonTo(() => show(true), { class: "danger" }, "Empty everything …");
  const question = h("p");
  const yes = buttonTo(empty, { class: "danger strong" }, "Empty");
  const no = buttonTo(() => show(false), { class: "pill" }, "Cancel");
  const confirm = h("div", { class: "confirm", role: "alertdialog", "aria-label": "Empty everything", hidden: true });
  confirm.append(question, h("div", { class: "row" }, yes, no));
  const hint = h("p", { class: "hint" });
  root.append(h("h3", {}, "Start again"), hint, ask, confirm);

  /** @param {boolean} isAsking */
  function show(isAsking) {
    question.textContent = store.hasRunner
      ? "This deletes all conversations, faults and everything that the bot stores, and returns to real time."
      : "This deletes all conversations and faults, and returns to real time. The bot's storage stays as it is.";
    confirm.hidden = !isAsking;
    ask.hidden = isAsking;
    (isAsking ? no : ask).focus();
  }

  async function empty() {
    yes.disabled = true;
    await succeeds(resetAll());
    yes.disabled = false;
    show(false);
  }

  function render() {
    hint.textContent = store.hasRunner
      ? "Hold a message of yours, or double-click it, to deliver it again, to run it again, or to " +
        "restart from it. Restarting needs one of the latest 20 messages. It rewinds the emulator, the bot's storage and the " +
        "clock; it does not rewind a database of your own."
      : "Hold a message of yours, or double-click it, to deliver it again.";
  }

  store.onChange((topics) => topics.has("conditions") && render());
  render();
}
