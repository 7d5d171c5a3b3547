// The picker over a bubble: tapbacks, emoji, and the menu with reply, sticker, copy, edit and undo.

import { buttonTo, byId, find, h } from "../elements/dom.js";
import { rememberFocus } from "../elements/focus.js";
import { icon } from "../elements/icons.js";
import { listenForMenuKeys } from "../elements/menu-keys.js";
import { openOverlay } from "../elements/overlay.js";
import { succeeds, toast } from "../elements/toast.js";
import { react } from "../client/control.js";
import { isMember } from "../model/chats.js";
import { messageActions } from "../controls/message-actions.js";
import { isMine, TAPBACKS } from "./tapbacks.js";

/** @import { Message, Part } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

/** @typedef {{ type: string, custom_emoji?: string }} Choice */
/**
 * The menu offers the acts that are given.
 * @typedef {{ onReply?: () => void, onSticker?: () => void, onEdit?: () => void, onUndo?: () => void }} MenuActions
 */
/** @typedef {(run: () => unknown) => () => void} Closing Makes a listener that closes the picker, then runs. */

const EMOJI = ["😂", "🔥", "🎉", "👏", "😍", "🙏", "💯", "😮", "😢", "👀", "✅", "🤝"];

// The space, in pixels, that is kept around the lifted bubble.
const ROOM_ABOVE = 120;
const ROOM_BELOW = 40;
const MARGIN = 16;

/**
 * Open the picker over the bubble in `wrap`.
 * @param {Store} store
 * @param {HTMLElement} wrap
 * @param {Message} message
 * @param {number} partIndex
 * @param {MenuActions} actions
 */
export function openTapbackPicker(store, wrap, message, partIndex, actions) {
  const part = partOf(message, partIndex);
  if (!part) return;
  const screen = byId("screen");
  const at = find(wrap, ".bubble").getBoundingClientRect();
  /** @type {Closing} */
  const closing = (run) => () => {
    close();
    run();
  };
  // A person who has left the group can copy a message, and no more.
  const chat = store.chats.get(message.chat_id);
  const isIn = chat !== undefined && isMember(chat, store.me);
  const choose = (/** @type {Choice} */ choice) => closing(() => toggle(store, message, partIndex, choice));
  const picker = tapbackRow(myTapbacks(store, part), choose);
  const menu = contextMenu(part, closing, isIn ? actions : {}, messageActions(store, message));
  if (!isIn && menu.childElementCount === 0) return;
  listenForMenuKeys(menu);
  const copy = liftedCopy(wrap);
  const overlay = {
    class: `tapback-overlay${store.isOwn(message) ? " own" : ""}`,
    role: "dialog",
    "aria-modal": "true",
    "aria-label": "Tapback",
  };
  // With the keyboard, a person goes on from the message; with a pointer, they go on writing.
  const byKeyboard = document.activeElement?.matches(":is(.react-button, .msg):focus-visible");
  const giveFocusBack = rememberFocus();
  const close = openOverlay(overlay, [copy, isIn && picker, menu], () => {
    if (byKeyboard) giveFocusBack();
    else screen.querySelector(/** @type {"textarea"} */ (".composer textarea"))?.focus({ preventScroll: true });
  });
  arrange(copy, picker, menu, at, screen.getBoundingClientRect());
  find(isIn ? picker : menu, "button").focus({ preventScroll: true });
}

/**
 * Return a part with its reactions. A poll counts as one part.
 * @param {Message} message
 * @param {number} index
 * @returns {Part | undefined}
 */
const partOf = ({ parts, poll }, index) => (poll ? { type: "poll", reactions: poll.reactions ?? [] } : parts?.[index]);

/**
 * Return the tapbacks that the person has put on a part.
 * @param {Store} store
 * @param {Part} part
 */
const myTapbacks = (store, part) => (part.reactions ?? []).filter((reaction) => isMine(store, reaction));

/**
 * Add a tapback, or remove it if the person has put it there.
 * @param {Store} store
 * @param {Message} message
 * @param {number} partIndex
 * @param {Choice} choice
 */
function toggle(store, message, partIndex, choice) {
  const isSet = myTapbacks(store, partOf(message, partIndex) ?? { type: "" }).some(
    ({ type, custom_emoji: emoji }) => type === choice.type && (emoji ?? null) === (choice.custom_emoji ?? null),
  );
  const operation = isSet ? "remove" : "add";
  return succeeds(react({ from: store.me, message_id: message.id, part_index: partIndex, operation, ...choice }));
}

/**
 * Make the row of tapbacks, and the emoji that its last button shows.
 * @param {{ type: string }[]} mine
 * @param {(choice: Choice) => () => void} choose
 */
function tapbackRow(mine, choose) {
  const more = h(
    "div",
    { class: "emoji-row", hidden: true },
    EMOJI.map((emoji) =>
      buttonTo(choose({ type: "custom", custom_emoji: emoji }), { "aria-label": `React with ${emoji}` }, emoji),
    ),
  );
  const showMore = () => {
    more.hidden = !more.hidden;
    moreButton.setAttribute("aria-expanded", String(!more.hidden));
  };
  const buttons = Object.entries(TAPBACKS).map(([type, label]) =>
    buttonTo(
      choose({ type }),
      {
        class: type,
        "aria-label": label,
        title: label,
        "aria-pressed": String(mine.some((reaction) => reaction.type === type)),
      },
      icon(type),
    ),
  );
  const moreButton = buttonTo(
    showMore,
    { class: "more", "aria-label": "More emoji", "aria-expanded": "false" },
    icon("smile"),
  );
  return h("div", { class: "tapback-picker" }, h("div", { class: "tapback-row" }, buttons, moreButton), more);
}

/**
 * @param {Part} part
 * @param {Closing} closing
 * @param {MenuActions} actions
 * @param {ReturnType<typeof messageActions>} more
 */
function contextMenu({ value }, closing, { onReply, onSticker, onEdit, onUndo }, more) {
  /** @type {(name: string, label: string, run: () => unknown, about?: string) => HTMLElement} */
  const entry = (name, label, run, about) => {
    const words = h("span", {}, label, about && h("small", {}, about));
    return buttonTo(closing(run), { role: "menuitem" }, words, icon(name));
  };
  return h(
    "div",
    { class: "context-menu", role: "menu" },
    onReply && entry("reply", "Reply", onReply),
    onSticker && entry("sticker", "Add Sticker", onSticker),
    value && entry("copy", "Copy", () => copyText(value)),
    onEdit && entry("pencil", "Edit", onEdit),
    onUndo && entry("undo", "Undo Send", onUndo),
    more.map(({ icon: name, label, run, about }) => entry(name, label, run, about)),
  );
}

/**
 * Copy a text. Without a secure context the browser has no clipboard, and the entry does nothing.
 * @param {string} text
 */
const copyText = (text) =>
  navigator.clipboard?.writeText(text).catch(() => toast("The browser did not allow copying."));

/**
 * Make the copy of a bubble that is shown over the screen.
 * @param {HTMLElement} wrap
 */
function liftedCopy(wrap) {
  const copy = /** @type {HTMLElement} */ (wrap.cloneNode(true));
  const message = wrap.closest(".msg");
  const classes = ["own", "other", "imessage"].filter((cls) => message?.classList.contains(cls));
  copy.classList.add("lifted", ...classes);
  copy.setAttribute("aria-hidden", "true");
  return copy;
}

/**
 * Put the copy over its bubble, the picker over it and the menu under it. The copy moves only as far as the picker and
 * the menu need to stay on the screen.
 * @param {HTMLElement} copy
 * @param {HTMLElement} picker
 * @param {HTMLElement} menu
 * @param {DOMRect} at The place of the bubble.
 * @param {DOMRect} frame The place of the screen.
 */
function arrange(copy, picker, menu, at, frame) {
  const below = ROOM_BELOW + menu.offsetHeight;
  const height = Math.min(at.height, frame.height - ROOM_ABOVE - below - MARGIN);
  const top = Math.max(ROOM_ABOVE, Math.min(at.top - frame.top, frame.height - below - height));
  copy.style.setProperty("top", `${top}px`);
  copy.style.setProperty("left", `${at.left - frame.left}px`);
  copy.style.setProperty("width", `${at.width}px`);
  copy.style.setProperty("max-height", `${height}px`);
  picker.style.setProperty("bottom", `${frame.height - top + 12}px`);
  menu.style.setProperty("top", `${top + height + 14}px`);
}
