// Suggestions of members while the person types "@…" in a group.

import { avatarIn } from "../elements/avatars.js";
import { h } from "../elements/dom.js";
import { showVersion } from "../elements/reconcile.js";
import { membersToMention } from "../model/mentions.js";
import { nameIn } from "../model/names.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/**
 * Show a button for each member that fits the text before the caret.
 * @param {{ list: HTMLElement, status: HTMLElement }} places For the buttons, and for what a screen reader says.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {HTMLTextAreaElement} field
 * @param {() => void} onInsert Called after a name was put into the field.
 */
export function showSuggestions({ list, status }, store, chat, field, onInsert) {
  const caret = field.selectionStart;
  const { from, handles } = membersToMention(store, chat, field.value.slice(0, caret));
  const button = (/** @type {string} */ handle) => {
    const name = nameIn(store, chat, handle);
    const click = () => {
      field.setRangeText(`@${name} `, from, caret, "end");
      onInsert();
    };
    // A press would take the focus from the field, and with it the caret.
    const pointerdown = (/** @type {Event} */ event) => event.preventDefault();
    return h(
      "button",
      { type: "button", class: "mention-choice", on: { pointerdown, click } },
      avatarIn(store, chat, handle),
      name,
    );
  };
  showVersion(list, JSON.stringify([handles, from, caret, field.value]), () => handles.map(button));
  list.hidden = handles.length === 0;
  const hint = handles.length > 0 ? `${handles.length} to mention. Press the up arrow to choose.` : "";
  if (status.textContent !== hint) status.textContent = hint;
}

/**
 * Let the arrow keys move from the field to the suggestions, and among them.
 * @param {HTMLElement} list
 * @param {HTMLTextAreaElement} field
 */
export function listenForArrows(list, field) {
  const buttons = () => /** @type {HTMLElement[]} */ ([...list.children]);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" || event.isComposing || buttons().length === 0) return;
    event.preventDefault();
    buttons()[0].focus();
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Escape: 0 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = step && buttons()[buttons().indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step];
    (next || field).focus();
  });
}
