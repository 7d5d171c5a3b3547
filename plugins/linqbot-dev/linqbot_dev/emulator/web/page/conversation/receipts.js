// Reports to the emulator that the person has read the bot's messages.

import { markRead } from "../client/control.js";
import { isMember, messagesOf } from "../model/chats.js";

/** @import { Chat, ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

export class ReadReceipts {
  #store;
  /** @type {Set<string>} The ids of messages that were reported. */
  #reported = new Set();

  /** @param {Store} store */
  constructor(store) {
    this.#store = store;
  }

  /**
   * Mark a chat as seen, and report its unread messages, if the person is looking at it.
   * @param {ShownChat} chat
   */
  async report(chat) {
    const { openChat, me } = this.#store;
    if (!openChat || openChat.id !== chat.id || document.visibilityState !== "visible" || !document.hasFocus()) return;
    this.#store.markSeen(openChat);
    if (!isMember(openChat, me)) return;
    const unread = this.#unreported(openChat);
    if (unread.length === 0) return;
    for (const id of unread) this.#reported.add(id);
    try {
      await markRead(me, openChat.id);
    } catch {
      for (const id of unread) this.#reported.delete(id); // reported again with the next change
    }
  }

  /** @param {Chat} chat */
  #unreported(chat) {
    return messagesOf(chat)
      .filter((message) => message.is_from_me && message.delivery_status === "delivered")
      .map((message) => message.id)
      .filter((id) => !this.#reported.has(id));
  }
}
