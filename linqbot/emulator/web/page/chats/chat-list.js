// The list of conversations.

import { chatAvatar } from "../elements/avatars.js";
import { h } from "../elements/dom.js";
import { icon, iconButton } from "../elements/icons.js";
import { reconcile } from "../elements/reconcile.js";
import { messagesOf } from "../model/chats.js";
import { chatTitle } from "../model/names.js";
import { chatPreview } from "../model/previews.js";
import { listTime } from "../model/time.js";
import { openNewChat } from "./new-chat.js";
import { mountSwitcher } from "./switcher.js";

/** @import { Chat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/** @typedef {{ title: string, preview: string, time: string, unread: number }} Row */

/**
 * @param {Store} store
 * @param {Chat} chat
 * @returns {Row}
 */
function rowOf(store, chat) {
  const at = messagesOf(chat).at(-1)?.created_at ?? chat.created_at;
  const isTyping = chat.typing.size > 0 && !chat.typing.has(store.me);
  return {
    title: chatTitle(store, chat),
    preview: isTyping ? "typing…" : chatPreview(store, chat),
    time: at ? listTime(at) : "",
    unread: store.unread(chat),
  };
}

/**
 * @param {Store} store
 * @param {Chat} chat
 * @param {Row} row
 */
function rowElement(store, chat, { title, preview, time, unread }) {
  const open = () => store.go({ view: "chat", chatId: chat.id });
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: `chat-row${unread ? " unread" : ""}`, on: { click: open } },
      h("span", { class: "dot", role: unread ? "img" : null, "aria-label": unread ? `${unread} unread` : null }),
      chatAvatar(store, chat),
      h(
        "span",
        { class: "chat-text" },
        h("span", { class: "chat-head" }, h("strong", {}, title), h("time", {}, time), icon("down")),
        h("span", { class: "chat-preview" }, preview),
      ),
    ),
  );
}

/**
 * Show the list in `root`, with a search field over it.
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {() => void} toggleInspector
 */
export function mountChatList(root, store, toggleInspector) {
  const switcher = h("div", { class: "list-person" });
  const search = h("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search conversations",
    on: { input: render },
  });
  const list = h("ul", { class: "chat-rows" });
  const empty = h("p", { class: "empty" });
  const tools = h(
    "span",
    { class: "list-tools" },
    iconButton("inspect", "Show webhooks and calls", toggleInspector, "bar-inspect"),
    iconButton("compose", "New message", () => openNewChat(store), "new-message"),
  );
  root.append(
    h("header", { class: "list-bar" }, switcher, tools),
    h(
      "div",
      { class: "list-scroll" },
      h("h1", {}, "Messages"),
      h("label", { class: "search" }, icon("search"), search),
      list,
      empty,
    ),
  );
  mountSwitcher(switcher, store);

  function render() {
    const words = search.value.trim().toLowerCase();
    const items = [];
    for (const chat of store.myChats()) {
      const row = rowOf(store, chat);
      if (words && !`${row.title} ${row.preview}`.toLowerCase().includes(words)) continue;
      const version = JSON.stringify([row, chat.handles, store.me]);
      items.push({ key: chat.id, version, build: () => rowElement(store, chat, row) });
    }
    reconcile(list, items);
    empty.hidden = items.length > 0;
    empty.textContent = words ? "No conversation matches." : noChats(store);
  }

  store.onChange((topics) => (topics.has("chats") || topics.has("me")) && render());
}

/** @param {Store} store */
const noChats = (store) => (store.loaded ? "No conversations yet. Press the pencil to write to your bot." : "");
