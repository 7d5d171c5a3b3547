// Chats, messages and stores for the tests of the page.

import { Store } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/store.js";

/** @import { ChatData, Member, Message } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */
/** @import { ShownChat } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/chats.js" */

export const ME = "+14155550142";
export const FRIEND = "+14155550187";
export const LINE = "+12025550100";
export const OTHER_LINE = "+12025550101";

/** @param {string} handle */
export const person = (handle) => ({ handle, is_me: false });
export const bot = { handle: LINE, is_me: true };

/** Keeps what a tab's storage keeps. */
export function memory() {
  /** @type {Map<string, string>} */
  const items = new Map();
  return {
    getItem: (/** @type {string} */ key) => items.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => {
      items.set(key, value);
    },
  };
}

let count = 0;

/**
 * Return a message of the person in the chat `chat`, one second after the message before.
 * @param {string} text
 * @param {Partial<Message>} [more]
 * @returns {Message}
 */
export function message(text, more = {}) {
  count += 1;
  const created_at = new Date(Date.UTC(2026, 0, 1) + count * 1000).toISOString();
  const parts = [{ type: "text", value: text }];
  return { id: `m${count}`, chat_id: "chat", created_at, from_handle: person(ME), parts, ...more };
}

/**
 * Return a message of the bot.
 * @param {string} text
 * @param {Partial<Message>} [more]
 */
export const reply = (text, more = {}) => message(text, { is_from_me: true, from_handle: bot, ...more });

/**
 * Return a chat as the emulator's state holds it.
 * @param {Message[]} messages
 * @param {Member[]} [handles]
 */
export const chatData = (messages = [], handles = [bot, person(ME)]) => ({
  id: "chat",
  handles,
  is_group: handles.length > 2,
  messages,
});

/**
 * Return a store that has loaded these chats.
 * @param {ChatData[]} chats
 */
export function storeWith(...chats) {
  const store = new Store(ME, memory());
  store.load({ now: new Date().toISOString(), lines: [{ phone_number: LINE }, { phone_number: OTHER_LINE }], chats });
  return store;
}

/**
 * Return the chat of a store, or fail.
 * @param {Store} store
 * @param {string} [id]
 */
export function chatIn(store, id = "chat") {
  const chat = store.chats.get(id);
  if (!chat) throw new Error(`The store has no chat ${id}`);
  return chat;
}

/**
 * Return a group of the person, the friend and the bot that no message was sent to.
 * @returns {ShownChat}
 */
export const group = () => ({
  id: "group",
  handles: [bot, person(ME), person(FRIEND)],
  is_group: true,
  messages: new Map(),
  sorted: null,
  typing: new Set(),
});
