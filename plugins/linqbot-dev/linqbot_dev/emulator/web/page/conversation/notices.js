// The notices between the messages, as a phone writes them: who came and went, the group's name and picture, the background.

import { nameIn } from "../model/names.js";

/** @import { Notice } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/**
 * Return the words of a notice.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Notice} notice
 */
export function noticeText(store, chat, { kind, by, handle, value }) {
  const who = unbroken(nameIn(store, chat, by));
  const whom = handle === store.me ? "you" : unbroken(nameIn(store, chat, handle ?? ""));
  switch (kind) {
    case "joined":
    case "left":
      return `${who} ${kind} the conversation.`;
    case "added":
      return `${who} added ${whom} to the conversation.`;
    case "removed":
      return `${who} removed ${whom} from the conversation.`;
    case "named":
      return value ? `${who} named the conversation “${value}”.` : `${who} removed the name from the conversation.`;
    case "icon":
      return `${who} ${value ? "changed" : "removed"} the group photo.`;
    case "background":
      return `${who} ${value ? "changed" : "removed"} the background.`;
  }
}

/**
 * Return a name that a line does not break, such as a number.
 * @param {string} name
 */
const unbroken = (name) => name.replaceAll(" ", "\u00a0");
