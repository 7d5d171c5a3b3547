// The transcript as items of `reconcile`: times, messages, their status, typing dots.

import { chatAvatar } from "../elements/avatars.js";
import { buttonTo, h } from "../elements/dom.js";
import { messagesBetween, messagesOf, nextService, others, placeOf } from "../model/chats.js";
import { formatHandle } from "../model/handles.js";
import { chatTitle } from "../model/names.js";
import { clockTime, dayName } from "../model/time.js";
import { showReactions, versionOf } from "../messages/changes.js";
import { messageArticle, statusLine, typingBubble } from "../messages/message.js";
import { noticeText } from "./notices.js";
import { breaksOf } from "./runs.js";

/** @import { Item } from "../elements/reconcile.js" */
/** @import { Message, Notice } from "../client/types.d.ts" */
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
  const entries = withNotices(shown, chat, part);
  const breaks = breaksOf(entries);
  const services = servicesOf(chat, entries);
  const lastOwn = messages.findLast((message) => store.isOwn(message));
  /** @type {Item[]} */
  const items = [];
  if (!chat.id) items.push(greetingItem(store, chat));
  if (part.hasEarlier) items.push(moreItem("earlier", "Earlier messages", showEarlier));
  for (const [i, entry] of entries.entries()) {
    const key = "id" in entry ? entry.id : `notice ${chat.notices?.indexOf(entry)}`;
    const isSwitched = services[i] !== services[i - 1];
    if (breaks[i].hasTime || isSwitched) items.push(timeItem(key, entry, isSwitched ? services[i] : null));
    if ("id" in entry) items.push(...messageItems(view, entry, breaks[i], arrivals, lastOwn));
    else items.push(noticeItem(key, noticeText(store, chat, entry)));
  }
  if (!part.atEnd) return [...items, moreItem("later", "Later messages", showLater)];
  return [...items, ...switchItems(view), ...typingItems(view)];
}

/**
 * Return a message, and the line under it.
 * @param {MessageView} view
 * @param {Message} message
 * @param {{ isFirst: boolean, isLast: boolean }} run Whether the message begins and ends a run of one sender.
 * @param {Arrivals} arrivals
 * @param {Message} [lastOwn] The person's last message.
 * @returns {Item[]}
 */
function messageItems(view, message, { isFirst, isLast }, arrivals, lastOwn) {
  const { store, chat } = view;
  const item = {
    key: message.id,
    version: versionOf(view, message),
    build: () => {
      const article = messageArticle(view, message);
      arrivals.enter(article, message.id);
      return article;
    },
    update: (/** @type {HTMLElement} */ article) => {
      article.classList.toggle("first", isFirst);
      article.classList.toggle("last", isLast);
      showReactions(view, message, article);
    },
  };
  // An SMS has no receipts.
  const hasReceipt = message === lastOwn && serviceOf(chat, message) !== "SMS";
  return hasReceipt || message.delivery_status === "failed" ? [item, statusItem(store, message)] : [item];
}

/**
 * Return the messages that are shown, with the notices between them.
 * @param {Message[]} shown
 * @param {ShownChat} chat
 * @param {TranscriptWindow} part
 */
function withNotices(shown, { notices = [] }, { hasEarlier, atEnd }) {
  /** @type {(Message | Notice)[]} */
  const entries = [...shown];
  // From the last one, so that the places of the others stay.
  for (const notice of [...notices].reverse()) {
    const place = placeOf(notice, shown);
    const isOutside = (place === 0 && hasEarlier) || (place === shown.length && !atEnd);
    if (!isOutside) entries.splice(place, 0, notice);
  }
  return entries;
}

/**
 * @param {string} key
 * @param {string} text
 * @returns {Item}
 */
const noticeItem = (key, text) => ({ key, version: text, build: () => h("p", { class: "system" }, text) });

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
 * Return the service of each entry. A notice switches none.
 * @param {ShownChat} chat
 * @param {(Message | Notice)[]} entries
 */
function servicesOf(chat, entries) {
  let service = chat.service;
  return entries.map((entry) => {
    if ("id" in entry) service = serviceOf(chat, entry);
    return service;
  });
}

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
      store.suggestsMessage &&
        h("p", {}, "This is the number your bot answers. Press ", h("kbd", {}, "return"), " to say hello."),
    );
  };
  return { key: "greeting", version: `${title} ${store.suggestsMessage}`, build };
}

/**
 * Make the button at an end of the window. Scrolling near it does the same.
 * @param {string} key
 * @param {string} label
 * @param {() => void} click
 * @returns {Item}
 */
const moreItem = (key, label, click) => ({
  key,
  version: "",
  build: () => buttonTo(click, { class: "text-button earlier" }, label),
});

/**
 * @param {string} key The key of what the time stands over.
 * @param {Message | Notice} entry
 * @param {keyof typeof SERVICE_NAMES | null | undefined} service Shown over the time.
 * @returns {Item}
 */
function timeItem(key, { created_at: at }, service) {
  const name = service ? SERVICE_NAMES[service] : "";
  const day = dayName(at);
  const build = () =>
    h("p", { class: "time" }, name && h("span", {}, name), h("span", {}, h("strong", {}, day), ` ${clockTime(at)}`));
  return { key: `time ${key}`, version: `${name}${day}`, build };
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
