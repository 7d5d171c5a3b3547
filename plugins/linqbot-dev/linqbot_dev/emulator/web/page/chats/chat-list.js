// The list of conversations.

import { chatAvatar } from "../elements/avatars.js";
import { buttonTo, byId, find, h } from "../elements/dom.js";
import { icon, iconButton } from "../elements/icons.js";
import { later } from "../elements/later.js";
import { reconcile } from "../elements/reconcile.js";
import { messagesOf } from "../model/chats.js";
import { chatTitle } from "../model/names.js";
import { draftKey } from "../model/drafts.js";
import { chatPreview, messagePreview } from "../model/previews.js";
import { excerpt, search as findIn } from "../model/search.js";
import { listTime } from "../model/time.js";
import { mountSwitcher } from "./switcher.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { DraftTexts } from "../model/drafts.js" */
/** @import { Chat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const openNewChat = later(async () => (await import("./new-chat.js")).openNewChat);

/** @typedef {{ title: string, preview: string, time: string, unread: number, service: string }} Row */

/**
 * @param {Store} store
 * @param {DraftTexts} texts
 * @param {Chat} chat
 * @returns {Row}
 */
function rowOf(store, texts, chat) {
  const at = messagesOf(chat).at(-1)?.created_at ?? chat.created_at;
  const isTyping = chat.typing.size > 0 && !chat.typing.has(store.me);
  return {
    title: chatTitle(store, chat),
    preview: isTyping ? "typing…" : draftPreview(store, texts, chat) || chatPreview(store, chat),
    time: at ? listTime(at) : "",
    unread: store.unread(chat),
    service: chat.service ?? "iMessage",
  };
}

/**
 * @param {Store} store
 * @param {Chat} chat
 * @param {Row} row
 */
function rowElement(store, chat, { title, preview, time, unread, service }) {
  const open = () => store.go({ view: "chat", chatId: chat.id });
  return h(
    "li",
    {},
    buttonTo(
      open,
      { class: `chat-row${unread ? " unread" : ""}` },
      h("span", { class: "dot", role: unread ? "img" : null, "aria-label": unread ? `${unread} unread` : null }),
      chatAvatar(store, chat),
      h(
        "span",
        { class: "chat-text" },
        h("span", { class: "chat-head" }, h("strong", {}, title), h("time", {}, time), icon("down")),
        h("span", { class: "chat-foot" }, h("span", { class: "chat-preview" }, preview), serviceTag(service)),
      ),
    ),
  );
}

/**
 * Return the text that the person has begun to write, if the chat is not open.
 * @param {Store} store
 * @param {DraftTexts} texts
 * @param {Chat} chat
 */
function draftPreview(store, texts, chat) {
  const text = texts.get(draftKey(store.me, chat.id)).trim();
  return text && store.openChat?.id !== chat.id ? `Draft: ${text}` : "";
}

/** @param {string} service */
const serviceTag = (service) => h("span", { class: `service-tag ${service.toLowerCase()}` }, service);

/**
 * Show the list in `root`, with a search field over it.
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {DraftTexts} texts
 * @param {() => void} toggleInspector
 * @param {() => void} toggleControls
 */
export function mountChatList(root, store, texts, toggleInspector, toggleControls) {
  const switcher = h("div", { class: "list-person" });
  const search = h("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search conversations and messages",
    on: { input: render },
  });
  const list = h("ul", { class: "chat-rows" });
  const hitsTitle = h("h2", { class: "hits-title", hidden: true }, "Messages found");
  const hits = h("ul", { class: "hits" });
  const empty = h("p", { class: "empty" });
  const tools = h(
    "span",
    { class: "list-tools" },
    iconButton("clock", "Time and faults", toggleControls, "bar-inspect"),
    iconButton("inspect", "Show webhooks and calls", toggleInspector, "bar-inspect"),
    iconButton("compose", "New message", () => openNewChat(store), "new-message"),
  );
  root.append(
    h("header", { class: "list-bar" }, switcher, tools),
    h(
      "div",
      { class: "list-scroll" },
      h("h2", {}, "Messages"),
      h("label", { class: "search" }, icon("search"), search),
      list,
      hitsTitle,
      hits,
      empty,
    ),
  );
  mountSwitcher(switcher, store);

  function render() {
    const words = search.value.trim();
    const found = words ? findIn(store, words) : { chats: store.myChats(), messages: [] };
    reconcile(
      list,
      found.chats.map((chat) => {
        const row = rowOf(store, texts, chat);
        const version = JSON.stringify([row, chat.handles, chat.group_chat_icon, chat.card, store.me]);
        return { key: chat.id, version, build: () => rowElement(store, chat, row) };
      }),
    );
    reconcile(
      hits,
      found.messages.map(({ chat, message }) => hitItem(store, chat, message, words)),
    );
    hitsTitle.hidden = found.messages.length === 0;
    empty.hidden = found.chats.length + found.messages.length > 0;
    empty.textContent = words ? "Nothing matches." : noChats(store);
  }

  store.onChange((topics) => (topics.has("chats") || topics.has("me")) && render());
  texts.onChange(render);
  focusOnReturn(root, store);
}

/**
 * When the person comes back from a conversation, move the focus to its row.
 * @param {HTMLElement} root The list.
 * @param {Store} store
 */
function focusOnReturn(root, store) {
  let before = store.place;
  store.onChange(() => {
    const from = before;
    before = store.place;
    if (store.place.view !== "list" || from.view === "list") return;
    const chatId = from.view === "chat" ? from.chatId : "";
    // Later: the list is still inert, and the conversation not yet.
    setTimeout(() => {
      const isLost = document.activeElement === document.body || byId("chat").contains(document.activeElement);
      const row = root.querySelector(`[data-key="${CSS.escape(chatId)}"] button`) ?? find(root, ".new-message");
      if (isLost && row instanceof HTMLElement) row.focus({ preventScroll: true });
    });
  });
}

/**
 * Make the row of a message that was found; pressed, it opens the chat there.
 * @param {Store} store
 * @param {Chat} chat
 * @param {Message} message
 * @param {string} words
 */
function hitItem(store, chat, message, words) {
  const hit = { ...excerpt(messagePreview(message), words), title: chatTitle(store, chat) };
  const time = listTime(message.created_at);
  const build = () => hitElement(store, chat, message, hit, time);
  return { key: message.id, version: JSON.stringify([hit, time]), build };
}

/**
 * @param {Store} store
 * @param {Chat} chat
 * @param {Message} message
 * @param {ReturnType<typeof excerpt> & { title: string }} hit
 * @param {string} time
 */
function hitElement(store, chat, message, { title, before, match, after }, time) {
  const open = () => store.go({ view: "chat", chatId: chat.id, messageId: message.id });
  return h(
    "li",
    {},
    buttonTo(
      open,
      { class: "hit" },
      h("span", { class: "chat-head" }, h("strong", {}, title), h("time", {}, time)),
      h("span", { class: "chat-preview" }, before, h("mark", {}, match), after),
    ),
  );
}

/** @param {Store} store */
const noChats = (store) => (store.loaded ? "No conversations yet. Press the pencil to write to your bot." : "");
