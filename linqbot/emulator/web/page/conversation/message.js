// One message as elements: its sender, the message it replies to, a bubble for each part, and the small print under it.

import { effectCaption, play } from "../effects/play.js";
import { avatarIn } from "../elements/avatars.js";
import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { succeeds } from "../elements/toast.js";
import * as control from "../client/control.js";
import { senderOf } from "../model/chats.js";
import { nameIn } from "../model/names.js";
import { messagePreview } from "../model/previews.js";
import { isJumbo } from "../model/text.js";
import { clockTime } from "../model/time.js";
import { appCard, appClipCard, linkCard, pollCard, unknownPart } from "./cards.js";
import { isVisual, mediaContent } from "./media.js";
import { openTapbackPicker } from "./tapback-picker.js";
import { listenForTapback, tapbackBadges } from "./tapbacks.js";
import { richText } from "./text.js";

/** @import { Composer } from "../composer/composer.js" */
/** @import { Message, Part, Poll, PollOption } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/**
 * The things that building a message needs, next to the message. `jumpTo` scrolls to another message.
 * @typedef {{ store: Store, chat: ShownChat, composer: Composer, screen: HTMLElement,
 *   jumpTo: (id: string) => void }} MessageView
 */

/** @param {Part} part */
function content(part) {
  switch (part.type) {
    case "text":
      return richText(part);
    case "media":
      return mediaContent(part);
    case "link":
      return linkCard(part);
    case "imessage_app":
      return appCard(part);
    case "app_clip":
      return appClipCard(part);
    default:
      return unknownPart(part);
  }
}

/**
 * Return the class of a part's bubble.
 * @param {Part} part
 */
function shape(part) {
  if (isJumbo(part)) return "jumbo";
  if (part.type === "text") return "text";
  if (isVisual(part)) return part.sticker ? "bare" : "visual";
  return part.type === "media" ? "text" : "card-bubble";
}

/**
 * @param {MessageView} view
 * @param {Message} message
 * @param {Part} part
 * @param {number} index
 */
function bubbleRow({ store, chat, composer }, message, part, index) {
  const bubble = h("div", { class: `bubble ${shape(part)}` }, content(part));
  if (message.effect?.name === "invisible") coverWithInk(bubble);
  const wrap = h("div", { class: "wrap", dataset: { part: String(index) } }, bubble, tapbackBadges(store, chat, part));
  const mayEdit = store.isOwn(message) && part.type === "text";
  const open = () =>
    openTapbackPicker(store, wrap, message, index, {
      onReply: () => composer.replyTo(message, index),
      onEdit: mayEdit ? () => composer.edit(message, index) : undefined,
    });
  listenForTapback(wrap, open);
  const label = "React or reply";
  const button = h(
    "button",
    { type: "button", class: "react-button", "aria-label": label, title: label, on: { click: open } },
    icon("smile"),
  );
  return h("div", { class: "row" }, wrap, button);
}

/**
 * Hide a bubble under invisible ink. CSS reveals it under the pointer, the finger, or with the focus.
 * @param {HTMLElement} bubble
 */
function coverWithInk(bubble) {
  bubble.classList.add("ink");
  bubble.tabIndex = 0;
  bubble.setAttribute("aria-description", "Invisible ink: hover or press to reveal");
}

/**
 * Make the quote over a reply; pressed, it scrolls to the quoted message.
 * @param {MessageView} view
 * @param {NonNullable<Message["reply_to"]>} replyTo
 */
function quote({ store, chat, jumpTo }, { message_id: id, part_index: index = 0 }) {
  const original = chat.messages.get(id);
  const author = original ? nameIn(store, chat, senderOf(original)) : "";
  const side = original && store.isOwn(original) ? "from-own" : "from-other";
  const text = original ? quotedText(original, index) : "Message not available";
  return h(
    "button",
    {
      type: "button",
      class: `quote ${side}`,
      "aria-label": `Reply to ${author}: ${text}`,
      on: { click: () => jumpTo(id) },
    },
    h("span", { class: "quote-author" }, author),
    h("span", { class: "quote-text" }, text),
  );
}

/**
 * @param {Message} message
 * @param {number} index
 */
function quotedText(message, index) {
  const part = message.parts?.[index];
  return messagePreview(part ? { ...message, parts: [part] } : message);
}

/**
 * @param {Store} store
 * @param {Message} message
 * @param {Poll} poll
 */
function pollRow(store, message, poll) {
  const vote = (/** @type {PollOption} */ { option_id }, /** @type {boolean} */ isMine) =>
    succeeds(control.vote({ from: store.me, message_id: message.id, option_id, operation: isMine ? "remove" : "add" }));
  const bubble = h("div", { class: "bubble card-bubble" }, pollCard(poll, store.me, vote));
  return h("div", { class: "row" }, h("div", { class: "wrap" }, bubble));
}

/**
 * Make the line under a message: delivered, read, or failed.
 * @param {Store} store
 * @param {Message} message
 */
export function statusLine(store, message) {
  const { delivery_status: status, read_at: readAt } = message;
  const side = store.isOwn(message) ? "own" : "other";
  if (status === "failed") return h("p", { class: `fine status failed ${side}` }, "Not Delivered");
  const time = status === "read" && readAt ? ` ${clockTime(readAt)}` : "";
  return h("p", { class: `fine status ${side}` }, h("strong", {}, status === "read" ? "Read" : "Delivered"), time);
}

/**
 * Make the `<article>` of a message. It always has the sender, the avatar and the tail; CSS shows them where the
 * classes `first` and `last` mark the ends of a run of one sender.
 * @param {MessageView} view
 * @param {Message} message
 */
export function messageArticle(view, message) {
  const { store, chat, screen } = view;
  const { poll, effect, reply_to: replyTo } = message;
  const isOwn = store.isOwn(message);
  const handle = senderOf(message);
  const name = nameIn(store, chat, handle);
  const showsSender = chat.is_group && !isOwn;
  const rows = (message.parts ?? []).map((part, index) => bubbleRow(view, message, part, index));
  if (poll) rows.push(pollRow(store, message, poll));
  if (showsSender) rows.at(-1)?.prepend(avatarIn(store, chat, handle));
  const service = (message.service ?? chat.service ?? "iMessage").toLowerCase();
  const article = h(
    "article",
    {
      class: `msg ${isOwn ? "own" : "other"} ${service}${chat.is_group ? " in-group" : ""}`,
      dataset: { id: message.id },
      "aria-label": `${isOwn ? "You" : name}, ${clockTime(message.created_at)}`,
    },
    showsSender && h("p", { class: "sender" }, name),
    replyTo && quote(view, replyTo),
    rows,
  );
  if (effect?.name) article.append(effectCaption(effect.name, () => play(effect.name, article, screen)));
  if (message.edits) article.append(h("p", { class: "fine edited" }, "Edited"));
  return article;
}

/**
 * @param {MessageView} view
 * @param {string} handle
 */
export function typingBubble({ store, chat }, handle) {
  return h(
    "div",
    {
      class: "msg other last typing-row",
      role: "status",
      "aria-label": `${nameIn(store, chat, handle)} is typing`,
    },
    h(
      "div",
      { class: "row" },
      chat.is_group && avatarIn(store, chat, handle),
      h("div", { class: "typing-bubble" }, h("i"), h("i"), h("i")),
    ),
  );
}
