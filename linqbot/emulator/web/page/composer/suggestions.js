// Suggestions of members while the person types "@…" in a group.

import { avatarIn } from "../elements/avatars.js";
import { h } from "../elements/dom.js";
import { membersToMention } from "../model/mentions.js";
import { nameIn } from "../model/names.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/**
 * Make a button for each member that fits the text before the caret.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {HTMLTextAreaElement} field
 * @param {() => void} onInsert Called after a name was put into the field.
 */
export function mentionSuggestions(store, chat, field, onInsert) {
  const caret = field.selectionStart;
  const { from, handles } = membersToMention(store, chat, field.value.slice(0, caret));
  return handles.map((handle) => {
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
  });
}
