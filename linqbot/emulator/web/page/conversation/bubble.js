// One message as nodes: its sender, what it replies to, a bubble per part, and the fine print under it.

import * as control from "../model/control.js";
import { h, icon, toast } from "../elements/dom.js";
import { appCard, appClipCard, linkCard, pollCard, unknownPart } from "./cards.js";
import { avatarIn, messagePreview, nameIn } from "../model/chat.js";
import { effectCaption, play } from "../effects/effects.js";
import { isVisual, mediaContent } from "./media.js";
import { listenForTapback, openTapbackPicker, tapbackBadges } from "./tapbacks.js";
import { isJumbo, richText } from "./text.js";
import { clockTime } from "../model/time.js";

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

function shape(part) {
  if (isJumbo(part)) return "jumbo";
  if (part.type === "text") return "text";
  if (isVisual(part)) return part.sticker ? "bare" : "visual";
  return part.type === "media" ? "text" : "card-bubble";
}

function bubbleRow(view, message, part, index) {
  const { store, chat, composer } = view;
  const bubble = h("div", { class: `bubble ${shape(part)}` }, content(part));
  if (message.effect?.name === "invisible") coverWithInk(bubble);
  const wrap = h("div", { class: "wrap", dataset: { part: index } }, bubble, tapbackBadges(store, chat, part));
  const open = () =>
    openTapbackPicker(store, wrap, message, index, {
      onReply: () => composer.replyTo(message, index),
      onEdit: store.isOwn(message) && part.type === "text" ? () => composer.edit(message, index) : undefined,
    });
  listenForTapback(wrap, open);
  const button = h(
    "button",
    {
      type: "button",
      class: "react-button",
      "aria-label": "React or reply",
      title: "React or reply",
      on: { click: open },
    },
    icon("smile"),
  );
  return h("div", { class: "row" }, wrap, button);
}

// Invisible ink lifts under the pointer, the finger or the keyboard's focus, and settles again.
function coverWithInk(bubble) {
  bubble.classList.add("ink");
  bubble.tabIndex = 0;
  bubble.setAttribute("aria-description", "Invisible ink: hover or press to reveal");
}

function quote(view, message) {
  const { store, chat, jumpTo } = view;
  const original = chat.messages.get(message.reply_to.message_id);
  const author = original ? nameIn(store, chat, original.from_handle?.handle) : "";
  const side = original && store.isOwn(original) ? "from-own" : "from-other";
  const part = original?.parts?.[message.reply_to.part_index ?? 0];
  const text = original ? messagePreview(part ? { ...original, parts: [part] } : original) : "Message not available";
  return h(
    "button",
    {
      type: "button",
      class: `quote ${side}`,
      "aria-label": `Reply to ${author}: ${text}`,
      on: { click: () => jumpTo(message.reply_to.message_id) },
    },
    h("span", { class: "quote-author" }, author),
    h("span", { class: "quote-text" }, text),
  );
}

function castVote(store, message, option, isMine) {
  const choice = {
    from: store.me,
    message_id: message.id,
    option_id: option.option_id,
    operation: isMine ? "remove" : "add",
  };
  control.vote(choice).catch((error) => toast(error.message));
}

/** What became of a message, under it. */
export function statusLine(store, message) {
  const { delivery_status: status, read_at: readAt } = message;
  const side = store.isOwn(message) ? "own" : "other";
  if (status === "failed") return h("p", { class: `fine status failed ${side}` }, "Not Delivered");
  const word = status === "read" ? "Read" : "Delivered";
  return h(
    "p",
    { class: `fine status ${side}` },
    h("strong", {}, word),
    status === "read" && readAt ? ` ${clockTime(readAt)}` : "",
  );
}

/**
 * The message as an `<article>`. Whether it begins or ends a run of one sender is said later, by the classes `first`
 * and `last`: sender, avatar and tail are there in any case, and CSS shows them.
 * @param view `{store, chat, composer, screen, jumpTo}`
 */
export function messageArticle(view, message) {
  const { store, chat, screen } = view;
  const own = store.isOwn(message);
  const handle = message.from_handle?.handle ?? message.from ?? "";
  const name = nameIn(store, chat, handle);
  const service = (message.service ?? chat.service ?? "iMessage").toLowerCase();
  const showsSender = chat.is_group && !own;
  const article = h("article", {
    class: `msg ${own ? "own" : "other"} ${service}${chat.is_group ? " in-group" : ""}`,
    dataset: { id: message.id },
    "aria-label": `${own ? "You" : name}, ${clockTime(message.created_at)}`,
  });

  if (showsSender) article.append(h("p", { class: "sender" }, name));
  if (message.reply_to) article.append(quote(view, message));
  (message.parts ?? []).forEach((part, index) => article.append(bubbleRow(view, message, part, index)));
  if (message.poll) {
    const bubble = h(
      "div",
      { class: "bubble card-bubble" },
      pollCard(message.poll, store.me, (option, isMine) => castVote(store, message, option, isMine)),
    );
    article.append(h("div", { class: "row" }, h("div", { class: "wrap" }, bubble)));
  }
  if (showsSender) article.querySelector(".row:last-of-type")?.prepend(avatarIn(store, chat, handle));
  if (message.effect?.name)
    article.append(effectCaption(message.effect.name, () => play(message.effect.name, article, screen)));
  if (message.edits > 0) article.append(h("p", { class: "fine edited" }, "Edited"));
  return article;
}

export function typingBubble({ store, chat }, handle) {
  return h(
    "div",
    { class: "msg other last typing-row", role: "status", "aria-label": `${nameIn(store, chat, handle)} is typing` },
    h(
      "div",
      { class: "row" },
      chat.is_group && avatarIn(store, chat, handle),
      h("div", { class: "typing-bubble" }, h("i"), h("i"), h("i")),
    ),
  );
}
