// Faults: a form that switches one on, the list of those that are on, and the switches for opt-out and flagged lines.

import { addFault, setFlagged, setOptOut } from "../client/conditions.js";
import { formTo, h } from "../elements/dom.js";
import { reconcile } from "../elements/reconcile.js";
import { succeeds } from "../elements/toast.js";
import { CALLS, conditionNotes, EVENTS, FAULT_KINDS, newFault } from "../model/conditions.js";
import { formatHandle } from "../model/handles.js";
import { noteElement } from "./chips.js";

/** @import { Store } from "../model/store.js" */

const GROUPS = { "The bot's calls to Linq": "calls", "Linq's webhooks to the bot": "events", "Sent messages": null };
const OTHER = "other";
const SENDING = "chats.messages.send";

/**
 * @param {HTMLElement} root
 * @param {Store} store
 */
export function mountFaults(root, store) {
  const on = h("ul", { class: "notes", "aria-label": "Switched on" });
  const switches = h("div", { class: "switches" });
  root.append(h("h3", {}, "Faults"), faultForm(), on, switches);

  function render() {
    const notes = conditionNotes(store.conditions).filter(({ key }) => key !== "clock");
    const items = notes.map((note) => ({
      key: note.key,
      version: note.text,
      build: () => h("li", {}, noteElement(note)),
    }));
    reconcile(on, items);
    const shown = [personSwitch(store), ...store.lines.map(({ phone_number: line }) => lineSwitch(store, line))];
    reconcile(switches, shown);
  }

  render();
  store.onChange((topics) => (topics.has("conditions") || topics.has("me")) && render());
}

function faultForm() {
  const kind = h("select", { "aria-label": "What goes wrong", on: { change: render } }, kindOptions());
  const about = h("p", { class: "hint" });
  const which = h("select", { "aria-label": "Which", on: { change: render } });
  const other = h("input", { type: "text", "aria-label": "Part of the method and path, or of the type", hidden: true });
  const secondsLabel = h("span");
  const seconds = h("input", { type: "number", min: "0", max: "3600", step: "any", "aria-label": "Seconds" });
  const secondsField = h("label", { class: "seconds" }, secondsLabel, seconds);
  const often = h(
    "select",
    { "aria-label": "How often", on: { change: render } },
    option("once", "Once"),
    option("times", "Several times"),
    option("always", "Until switched off"),
  );
  const times = h("input", { type: "number", min: "1", max: "1000", value: "3", "aria-label": "Number of times" });
  let shownKind = "";

  function render() {
    const chosen = FAULT_KINDS[kind.value];
    about.textContent = chosen.about;
    if (kind.value !== shownKind) {
      shownKind = kind.value;
      const choices = Object.entries(chosen.which === "events" ? EVENTS : CALLS);
      which.replaceChildren(...choices.map(([match, label]) => option(match, label)), option(OTHER, "Other …"));
      // With "any call", once, the read receipt would use up the fault, and nothing could be seen.
      if (chosen.which === "calls") which.value = SENDING;
      secondsLabel.textContent = chosen.seconds ?? "";
      seconds.value = String(chosen.start ?? 0);
    }
    which.hidden = chosen.which === null;
    other.hidden = which.hidden || which.value !== OTHER;
    other.placeholder = chosen.which === "events" ? "message.failed" : "POST /v3/chats";
    secondsField.hidden = !chosen.seconds;
    times.hidden = often.value !== "times";
  }

  function submit() {
    const counts = { once: 1, times: times.valueAsNumber || 1, always: null };
    succeeds(
      addFault(
        newFault(kind.value, {
          match: which.value === OTHER ? other.value.trim() : which.value,
          times: counts[/** @type {keyof typeof counts} */ (often.value)],
          seconds: seconds.valueAsNumber || 0,
        }),
      ),
    );
  }

  render();
  return formTo(
    submit,
    { class: "fault-form" },
    kind,
    about,
    h("div", { class: "row" }, which, other, secondsField),
    h("div", { class: "row" }, often, times, h("button", { type: "submit", class: "pill" }, "Switch on")),
  );
}

const kindOptions = () =>
  Object.entries(GROUPS).map(([label, which]) =>
    h(
      "optgroup",
      { label },
      Object.entries(FAULT_KINDS)
        .filter(([, kind]) => kind.which === which)
        .map(([value, kind]) => option(value, kind.label)),
    ),
  );

/**
 * @param {string} value
 * @param {string} label
 */
const option = (value, label) => h("option", { value }, label);

/** @param {Store} store */
function personSwitch(store) {
  const isOn = store.conditions?.opted_out.includes(store.me) ?? false;
  return switchItem("out", `You have opted out (STOP), ${onOneLine(store.me)}`, isOn, (next) =>
    setOptOut(store.me, next),
  );
}

/**
 * @param {Store} store
 * @param {string} line
 */
function lineSwitch(store, line) {
  const isOn = store.conditions?.flagged_lines.includes(line) ?? false;
  return switchItem(line, `Linq has flagged ${onOneLine(line)}: it cannot send`, isOn, (next) =>
    setFlagged(line, next),
  );
}

/** @param {string} handle */
const onOneLine = (handle) => formatHandle(handle).replaceAll(" ", "\u00a0");

/**
 * @param {string} key
 * @param {string} label
 * @param {boolean} isOn
 * @param {(isOn: boolean) => Promise<unknown>} change
 */
function switchItem(key, label, isOn, change) {
  const build = () => {
    const box = h("input", { type: "checkbox", checked: isOn, on: { change: () => flip() } });
    const flip = async () => {
      if (!(await succeeds(change(box.checked)))) box.checked = isOn;
    };
    return h("label", { class: "switch" }, box, h("span", {}, label));
  };
  return { key, version: JSON.stringify([label, isOn]), build };
}
