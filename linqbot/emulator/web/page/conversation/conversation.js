// The open conversation: its bar, the transcript, and telling the emulator what has been read.

import { h, icon, iconButton, reconcile } from "../elements/dom.js";
import * as control from "../model/control.js";
import { messageArticle, statusLine, typingBubble } from "./bubble.js";
import { chatAvatar, chatTitle, others, shownChat } from "../model/chat.js";
import { mountComposer } from "../composer/composer.js";
import { openDetails } from "../chats/details.js";
import { playOnArrival } from "../effects/effects.js";
import { formatHandle } from "../model/people.js";
import { messagesOf } from "../model/store.js";
import { clockTime, dayName } from "../model/time.js";

const PAGE = 200; // bubbles shown before "Earlier messages"
const PAUSE_MS = 60 * 60 * 1000; // a longer silence gets a time above the next bubble
const RUN_MS = 5 * 60 * 1000; // within it, bubbles of one sender stand together

const SERVICE_NAMES = { iMessage: "iMessage", SMS: "Text Message · SMS", RCS: "Text Message · RCS" };
const senderOf = (message) => message.from_handle?.handle ?? message.from ?? "";

export function mountConversation(root, store, { toggleInspector }) {
  const screen = document.getElementById("screen");
  const bar = h("header", { class: "chat-bar" });
  const log = h("div", { class: "log", role: "log", "aria-label": "Messages" });
  const scroller = h("div", { class: "transcript", tabindex: "0", "aria-label": "Conversation" }, log);
  const composerSlot = h("div", { class: "composer-slot" });
  root.append(bar, scroller, composerSlot);
  const composer = mountComposer(composerSlot, root, store);

  let shownKey = null;
  let limit = PAGE;
  let sticks = true; // the transcript follows its end unless the person scrolled up
  const effectsDue = new Map(); // message id → effect name: arrived, not played yet
  const arrived = new Set(); // ids not shown yet: they enter with a motion
  const reported = new Set(); // ids the emulator was told are read

  const toEnd = () => {
    scroller.scrollTop = scroller.scrollHeight;
  };
  scroller.addEventListener(
    "scroll",
    () => {
      sticks = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    },
    { passive: true },
  );
  // A picture that loads late, a growing composer: the end must stay in sight.
  const resized = new ResizeObserver(() => sticks && toEnd());
  resized.observe(log);
  resized.observe(scroller);

  function jumpTo(id) {
    const article = log.querySelector(`[data-id="${CSS.escape(id)}"]`);
    article?.scrollIntoView({ block: "center", behavior: "smooth" });
    article?.classList.add("found");
    setTimeout(() => article?.classList.remove("found"), 1600);
  }

  function renderBar(chat) {
    const title = chatTitle(store, chat);
    const waiting = store.myChats().filter((other) => other.id !== chat.id && store.unread(other) > 0).length;
    const back = h(
      "button",
      {
        type: "button",
        class: "back",
        "aria-label": waiting ? `Back, ${waiting} unread conversations` : "Back",
        on: { click: () => store.go({ view: "list" }) },
      },
      icon("back"),
      waiting ? h("span", { class: "badge" }, String(waiting)) : null,
    );
    const who = h(
      "button",
      {
        type: "button",
        class: "who",
        "aria-label": `Details of ${title}`,
        on: { click: () => openDetails(store, chat) },
      },
      chatAvatar(store, chat),
      h("span", { class: "who-name" }, h("span", {}, title), icon("down")),
    );
    bar.replaceChildren(back, who, iconButton("inspect", "Show webhooks and calls", toggleInspector, "bar-inspect"));
  }

  function greeting(chat) {
    const people = others(store, chat);
    const names = people.map((member) => formatHandle(member.handle)).join(", ");
    return h(
      "div",
      { class: "greeting" },
      chatAvatar(store, chat),
      h("h2", {}, chatTitle(store, chat)),
      h("p", { class: "number" }, names),
      store.place.first &&
        h("p", {}, "This is the number your bot answers. Press ", h("kbd", {}, "return"), " to say hello."),
    );
  }

  // What an article is made from; a difference makes it anew. Receipts are not in it: a bubble must go on playing its
  // effect, its voice or its film while it is delivered and read.
  function versionOf(chat, message) {
    const { parts, effect, reply_to: replyTo, edits, poll, service } = message;
    const quoted = replyTo && chat.messages.get(replyTo.message_id);
    return JSON.stringify([parts, effect, replyTo, edits, poll, service, quoted?.parts, chat.is_group, store.me]);
  }

  function build(view, message) {
    const article = messageArticle(view, message);
    if (arrived.delete(message.id)) {
      article.classList.add("arriving");
      article.addEventListener("animationend", () => article.classList.remove("arriving"), { once: true });
    }
    return article;
  }

  function items(view) {
    const { chat } = view;
    const messages = messagesOf(chat);
    const shown = messages.slice(-limit);
    const lastOwn = messages.findLast((message) => store.isOwn(message));
    const list = [];
    if (!chat.id)
      list.push({
        key: "greeting",
        version: `${chatTitle(store, chat)} ${store.place.first}`,
        build: () => greeting(chat),
      });
    if (shown.length < messages.length) {
      list.push({
        key: "earlier",
        version: "",
        build: () =>
          h(
            "button",
            {
              type: "button",
              class: "text-button earlier",
              on: {
                click: () => {
                  limit += PAGE;
                  sticks = false;
                  render();
                },
              },
            },
            "Earlier messages",
          ),
      });
    }
    const gapBefore = (i) => (i > 0 ? Date.parse(shown[i].created_at) - Date.parse(shown[i - 1].created_at) : Infinity);
    const startsRun = (i) =>
      i >= shown.length || gapBefore(i) > RUN_MS || senderOf(shown[i]) !== senderOf(shown[i - 1]);
    shown.forEach((message, i) => {
      if (gapBefore(i) > PAUSE_MS) {
        const service = i === 0 ? (SERVICE_NAMES[message.service ?? chat.service] ?? "") : "";
        const at = message.created_at;
        list.push({
          key: `time ${message.id}`,
          version: `${service}${dayName(at)}`,
          build: () =>
            h(
              "p",
              { class: "time" },
              service && h("span", {}, service),
              h("span", {}, h("strong", {}, dayName(at)), ` ${clockTime(at)}`),
            ),
        });
      }
      list.push({
        key: message.id,
        version: versionOf(chat, message),
        build: () => build(view, message),
        place: (article) => {
          article.classList.toggle("first", startsRun(i));
          article.classList.toggle("last", startsRun(i + 1));
        },
      });
      const isSms = (message.service ?? chat.service) === "SMS";
      if (message.delivery_status === "failed" || (message === lastOwn && !isSms)) {
        const { delivery_status: status, read_at: readAt } = message;
        list.push({
          key: `status ${message.id}`,
          version: `${status} ${readAt}`,
          build: () => statusLine(store, message),
        });
      }
    });
    for (const handle of chat.typing) {
      if (handle !== store.me)
        list.push({ key: `typing ${handle}`, version: "", build: () => typingBubble(view, handle) });
    }
    return list;
  }

  function render() {
    const chat = shownChat(store);
    if (!chat) return;
    const key = `${store.me} ${chat.id ?? "draft"}`;
    const isOther = key !== shownKey;
    if (isOther) {
      log.replaceChildren();
      shownKey = key;
      limit = PAGE;
      sticks = true;
    }
    renderBar(chat);
    reconcile(log, items({ store, chat, composer, screen, jumpTo }));
    if (sticks) toEnd();
    playDue(chat);
    reportRead(chat);
  }

  function playDue(chat) {
    for (const [id, name] of effectsDue) {
      if (!chat.messages.has(id)) continue;
      effectsDue.delete(id);
      const article = log.querySelector(`[data-id="${CSS.escape(id)}"]`);
      if (article) playOnArrival(name, article, screen);
    }
  }

  async function reportRead(chat) {
    if (!chat.id || store.place.view !== "chat" || document.visibilityState !== "visible" || !document.hasFocus())
      return;
    store.markSeen(chat);
    const unread = messagesOf(chat).filter(
      (message) => message.is_from_me && message.delivery_status === "delivered" && !reported.has(message.id),
    );
    if (unread.length === 0) return;
    for (const message of unread) reported.add(message.id);
    try {
      await control.markRead(store.me, chat.id);
    } catch {
      for (const message of unread) reported.delete(message.id); // said again with the next change
    }
  }

  store.onArrival((message) => {
    arrived.add(message.id);
    if (message.effect?.name) effectsDue.set(message.id, message.effect.name);
    if (store.isOwn(message)) sticks = true;
  });
  store.onChange(render);
  window.addEventListener("focus", render);
  document.addEventListener("visibilitychange", render);
  return { composer };
}
