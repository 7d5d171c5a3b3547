// The menu of the plus button: files, a voice memo, a poll, stickers, a location, a contact card.

import { buttonTo, byId, h } from "../elements/dom.js";
import { rememberFocus } from "../elements/focus.js";
import { icon } from "../elements/icons.js";
import { listenForMenuKeys } from "../elements/menu-keys.js";
import { openOverlay } from "../elements/overlay.js";
import { nextService } from "../model/chats.js";
import { openCardSheet } from "./card.js";
import { openLocationSheet } from "./location.js";
import { openPollSheet } from "./poll.js";
import { openStickerTray } from "./stickers.js";
import { recordVoice } from "./voice-recorder.js";

/** @import { Store } from "../model/store.js" */
/** @import { ShownChat } from "../model/chats.js" */

/** @typedef {{ icon: string, label: string, run: () => unknown }} Entry */

/**
 * Open the menu.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {{ chooseFiles: (accept: string) => void, addFiles: (files: File[]) => void }} files
 */
export function openAttachMenu(store, chat, files) {
  const giveFocusBack = rememberFocus();
  const menu = h("div", { class: "attach-menu", role: "menu", "aria-label": "Attach" });
  const close = openOverlay({ class: "attach-overlay" }, [menu], giveFocusBack);
  const button = (/** @type {Entry} */ { icon: name, label, run }) => {
    const click = () => {
      close();
      run();
    };
    const face = h("span", { class: `attach-face ${name}` }, icon(name));
    return buttonTo(click, { role: "menuitem" }, face, label);
  };
  listenForMenuKeys(menu);
  menu.append(...entriesOf(store, chat, files).map(button));
  /** @type {HTMLElement | null} */ (menu.firstElementChild)?.focus({ preventScroll: true });
}

/**
 * Return what can be attached. Polls, stickers and locations need a chat that exists, and iMessage.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {{ chooseFiles: (accept: string) => void, addFiles: (files: File[]) => void }} files
 * @returns {Entry[]}
 */
function entriesOf(store, chat, { chooseFiles, addFiles }) {
  const { id } = chat;
  const isImessage = nextService(store.place, chat) === "iMessage";
  const record = () => recordVoice(addFiles, () => chooseFiles("audio/*"));
  const entries = [
    { icon: "camera", label: "Photos and Videos", run: () => chooseFiles("image/*,video/*") },
    { icon: "doc", label: "Files", run: () => chooseFiles("") },
    { icon: "mic", label: "Voice Memo", run: record },
    { icon: "card", label: "Contact Card", run: () => openCardSheet(store, chat, addFiles) },
  ];
  if (!id || !isImessage) return entries;
  return [
    ...entries,
    { icon: "sticker", label: "Stickers", run: () => openStickerTray(store, byId("screen"), null) },
    { icon: "poll", label: "Poll", run: () => openPollSheet(store, id) },
    { icon: "pin", label: "Location", run: () => openLocationSheet(store, id) },
  ];
}
