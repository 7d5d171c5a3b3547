// The chips that show at all times what makes the emulator differ from an ordinary Linq: a moved clock and faults.

import { removeFault, setFlagged, setOptOut } from "../client/conditions.js";
import { buttonTo, h } from "../elements/dom.js";
import { iconButton } from "../elements/icons.js";
import { reconcile } from "../elements/reconcile.js";
import { succeeds } from "../elements/toast.js";
import { conditionNotes } from "../model/conditions.js";

/** @import { ConditionNote } from "../model/conditions.js" */
/** @import { Store } from "../model/store.js" */

/** @type {Record<"fault" | "opt-out" | "line", (id: string) => Promise<unknown>>} */
const END = {
  fault: removeFault,
  "opt-out": (handle) => setOptOut(handle, false),
  line: (line) => setFlagged(line, false),
};

/**
 * Show the chips in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {() => void} toggleControls
 */
export function mountChips(root, store, toggleControls) {
  const list = h("ul", { class: "conditions-list" });
  root.append(list);

  function render() {
    const notes = conditionNotes(store.conditions);
    const items = notes.map((note) => ({
      key: note.key,
      version: note.text,
      build: () => h("li", {}, noteElement(note, toggleControls)),
    }));
    reconcile(list, items);
    root.hidden = notes.length === 0;
  }

  render();
  store.onChange((topics) => topics.has("conditions") && render());
}

/**
 * Make a chip, with a button that ends the condition if there is a way.
 * @param {ConditionNote} note
 * @param {() => void} [onOpen] Called when the text is pressed; without it the text cannot be pressed.
 */
export function noteElement({ key, text, off }, onOpen) {
  const label = onOpen
    ? buttonTo(onOpen, { class: "condition-text" }, text)
    : h("span", { class: "condition-text" }, text);
  const end = off && iconButton("close", off.label, () => succeeds(END[off.kind](off.id)));
  return h("span", { class: `condition${key === "clock" ? " clock" : ""}` }, label, end);
}
