// The clock: what it shows, and the buttons that move it forward.

import { moveClock } from "../client/conditions.js";
import { buttonTo, formTo, h } from "../elements/dom.js";
import { succeeds, toast } from "../elements/toast.js";
import { clockDifference, isMoved, span } from "../model/conditions.js";
import { fullTime, now, toInputValue } from "../model/time.js";

/** @import { Store } from "../model/store.js" */
/** @import { StoredFacts } from "./stored-facts.js" */

const HOUR_S = 3600;
const DAY_S = 86_400;
const TICK_MS = 1000;

/**
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {StoredFacts} facts
 */
export function mountClock(root, store, facts) {
  const time = h("output", { class: "clock-time" });
  const difference = h("p", { class: "clock-difference" });
  const note = h("p", { class: "hint" });
  const next = button("Next send", () => nextDue() && move({ to: /** @type {string} */ (nextDue()) }));
  const date = h("input", { type: "datetime-local", step: "1", "aria-label": "Date and time to move to" });
  const go = h("button", { type: "submit", class: "pill" }, "Go");
  const form = formTo(goToDate, { class: "row" }, date, go);
  const plusHour = button("+1 hour", () => move({ advance_s: HOUR_S }));
  const plusDay = button("+1 day", () => move({ advance_s: DAY_S }));
  root.append(h("h3", {}, "Clock"), time, difference, h("div", { class: "row" }, plusHour, plusDay, next), form, note);
  let isMoving = false;

  /** The earliest scheduled send that is not due yet. */
  const nextDue = () => facts.value.scheduled?.find(({ due }) => Date.parse(due) > now().getTime())?.due;

  function goToDate() {
    if (date.value) move({ to: new Date(date.value).toISOString() });
  }

  /** @param {{ advance_s: number } | { to: string }} to */
  async function move(to) {
    isMoving = true;
    render();
    await succeeds(
      moveClock(to).then(({ stopped }) => {
        if (stopped) toast(stopped);
      }),
    );
    isMoving = false;
    render();
  }

  function render() {
    if (!store.conditions) return;
    const due = nextDue();
    const inS = due ? (Date.parse(due) - now().getTime()) / 1000 : 0;
    time.textContent = fullTime(now());
    difference.textContent = isMoving ? "Moving …" : clockDifference(store.conditions);
    difference.classList.toggle("moved", isMoved(store.conditions));
    next.textContent = due ? `Next send (in ${span(inS)})` : "Next send";
    for (const each of [plusHour, plusDay, go]) each.disabled = isMoving;
    next.disabled = isMoving || !due;
    next.title = due ? "" : "No send is scheduled";
    date.min = toInputValue(now());
    note.textContent = noteFor(store.hasRunner);
  }

  store.onChange((topics) => topics.has("conditions") && render());
  facts.onChange(render);
  setInterval(render, TICK_MS);
  render();
}

/** @param {boolean} hasRunner */
const noteFor = (hasRunner) =>
  hasRunner
    ? "The bot's clock moves along: retries and scheduled sends on the way happen at their time. The clock moves only " +
      "forward. To return to real time, empty everything below."
    : "Only the emulator's clock moves; your bot's own does not. linqbot dev moves both.";

/**
 * @param {string} label
 * @param {() => unknown} onClick
 */
const button = (label, onClick) => buttonTo(onClick, { class: "pill" }, label);
