// The list of conversations.

import { h, icon, iconButton, reconcile } from "../elements/dom.js";
import { chatAvatar, chatPreview, chatTitle } from "../model/chat.js";
import { openNewChat } from "./new-chat.js";
import { mountSwitcher } from "./switcher.js";
import { messagesOf } from "../model/store.js";
import { listTime } from "../model/time.js";

function row(store, chat, { title, preview, time, unread }) {
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: `chat-row${unread ? " unread" : ""}`,
        on: { click: () => store.go({ view: "chat", chatId: chat.id }) },
      },
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

export function mountChatList(root, store, { toggleInspector }) {
  const switcher = h("div", { class: "list-person" });
  const search = h("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search conversations",
    on: { input: render },
  });
  const list = h("ul", { class: "chat-rows" });
  const empty = h("p", { class: "empty" });
  root.append(
    h(
      "header",
      { class: "list-bar" },
      switcher,
      h(
        "span",
        { class: "list-tools" },
        iconButton("inspect", "Show webhooks and calls", toggleInspector, "bar-inspect"),
        iconButton("compose", "New message", () => openNewChat(store), "new-message"),
      ),
    ),
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
      const last = messagesOf(chat).at(-1);
      const at = last?.created_at ?? chat.created_at;
      const shown = {
        title: chatTitle(store, chat),
        preview: chat.typing.size > 0 && !chat.typing.has(store.me) ? "typing…" : chatPreview(store, chat),
        time: at ? listTime(at) : "",
        unread: store.unread(chat),
      };
      if (words && !`${shown.title} ${shown.preview}`.toLowerCase().includes(words)) continue;
      const version = JSON.stringify([shown, chat.handles, store.me]);
      items.push({ key: chat.id, version, build: () => row(store, chat, shown) });
    }
    reconcile(list, items);
    empty.hidden = items.length > 0;
    empty.textContent = words
      ? "No conversation matches."
      : store.loaded
        ? "No conversations yet. Press the pencil to write to your bot."
        : "";
  }

  store.onChange((topics) => (topics.has("chats") || topics.has("me")) && render());
}
