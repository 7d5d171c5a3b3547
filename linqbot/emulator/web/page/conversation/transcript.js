// The transcript as items of `reconcile`: times, messages, their status, typing dots.

import { chatAvatar } from "../elements/avatars.js";
import { h } from "../elements/dom.js";
import { messagesBetween, messagesOf, nextService, others } from "../model/chats.js";
import { formatHandle } from "../model/handles.js";
import { chatTitle } from "../model/names.js";
import { clockTime, dayName } from "../model/time.js";
import { showReactions, versionOf } from "../messages/changes.js";
import { messageArticle, statusLine, typingBubble } from "../messages/message.js";
import { breaksOf } from "./runs.js";

/** @import { Item } from "../elements/reconcile.js" */
/** @import { Message } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Arrivals } from "./arrivals.js" */
/** @import { MessageView } from "../messages/message.js" */
/** @import { TranscriptWindow } from "./window.js" */

const SERVICE_NAMES = { iMessage: "iMessage", SMS: "Text Message · SMS", RCS: "Text Message · RCS" };

/**
 * @param {MessageView} view
 * @param {{ shown: TranscriptWindow, showEarlier: () => void, showLater: () => void, arrivals: Arrivals }} options
 */
export function transcriptItems(view, { shown: part, showEarlier, showLater, arrivals }) {
  const { store, chat } = view;
  const messages = messagesOf(chat);
  const shown = messagesBetween(chat, part.start, part.end);
  const breaks = breaksOf(shown);
  const lastOwn = messages.findLast((message) => store.isOwn(message));
  /** @type {Item[]} */
  const items = [];
  if (!chat.id) items.push(greetingItem(store, chat));
  if (part.hasEarlier) items.push(moreItem("earlier", "Earlier messages", showEarlier));
  for (const [i, message] of shown.entries()) {
    const { hasTime, isFirst, isLast } = breaks[i];
    const service = serviceOf(chat, message);
    const isSwitched = i === 0 || service !== serviceOf(chat, shown[i - 1]);
    if (hasTime || isSwitched) items.push(timeItem(message, isSwitched ? service : null));
    items.push({
      key: message.id,
      version: versionOf(view, message),
      build: () => {
        const article = messageArticle(view, message);
        arrivals.enter(article, message.id);
        return article;
      },
      update: (article) => {
        article.classList.toggle("first", isFirst);
        article.classList.toggle("last", isLast);
        showReactions(view, message, article);
      },
    });
    // An SMS has no receipts.
    const hasReceipt = message === lastOwn && serviceOf(chat, message) !== "SMS";
    if (hasReceipt || message.delivery_status === "failed") items.push(statusItem(store, message));
  }
  if (!part.atEnd) return [...items, moreItem("later", "Later messages", showLater)];
  return [...items, ...switchItems(view), ...typingItems(view)];
}

/**
 * Return the note that the next message changes the chat's service.
 * @param {MessageView} view
 * @returns {Item[]}
 */
function switchItems({ store, chat }) {
  const [before, next] = [chat.service ?? "iMessage", nextService(store.place, chat)];
  if (!chat.id || before === next) return [];
  const text = `Linq has one chat for each person and line. Your next message changes it from ${before} to ${next}.`;
  return [{ key: "switch", version: text, build: () => h("p", { class: "system", role: "status" }, text) }];
}

/**
 * @param {ShownChat} chat
 * @param {Message} message
 */
const serviceOf = (chat, message) => message.service ?? chat.service;

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @returns {Item}
 */
function greetingItem(store, chat) {
  const title = chatTitle(store, chat);
  const build = () => {
    const numbers = others(store, chat).map((member) => formatHandle(member.handle));
    return h(
      "div",
      { class: "greeting" },
      chatAvatar(store, chat),
      h("h2", {}, title),
      h("p", { class: "number" }, numbers.join(", ")),
      store.isFirst &&
        h("p", {}, "This is the number your bot answers. Press ", h("kbd", {}, "return"), " to say hello."),
    );
  };
  return { key: "greeting", version: `${title} ${store.isFirst}`, build };
}

/**
 * Make the button at an end of the window. Scrolling near it does the same.
 * @param {string} key
 * @param {string} label
 * @param {() => void} click
 * @returns {Item}
 */
function moreItem(key, label, click) {
  const props = { type: "button", class: "text-button earlier", on: { click } };
  return { key, version: "", build: () => h("button", props, label) };
}

/**
 * @param {Message} message
 * @param {keyof typeof SERVICE_NAMES | null | undefined} service Shown over the time.
 * @returns {Item}
 */
function timeItem({ id, created_at: at }, service) {
  const name = service ? SERVICE_NAMES[service] : "";
  const day = dayName(at);
  const build = () =>
    h("p", { class: "time" }, name && h("span", {}, name), h("span", {}, h("strong", {}, day), ` ${clockTime(at)}`));
  return { key: `time ${id}`, version: `${name}${day}`, build };
}

/**
 * @param {Store} store
 * @param {Message} message
 * @returns {Item}
 */
function statusItem(store, message) {
  const version = `${message.delivery_status} ${message.read_at}`;
  return { key: `status ${message.id}`, version, build: () => statusLine(store, message) };
}

/**
 * @param {MessageView} view
 * @returns {Item[]}
 */
function typingItems(view) {
  const handles = [...view.chat.typing].filter((handle) => handle !== view.store.me);
  return handles.map((handle) => ({
    key: `typing ${handle}`,
    version: "",
    build: () => typingBubble(view, handle),
  }));
}
