// One message as elements: its sender, the message it replies to, a bubble for each part, and the small print under it.

import { paymentCard } from "../cards/payments.js";
import { pollCard } from "../cards/polls.js";
import { effectCaption, play } from "../effects/play.js";
import { avatarIn } from "../elements/avatars.js";
import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { later } from "../elements/later.js";
import { senderOf } from "../model/chats.js";
import { nameIn } from "../model/names.js";
import { paymentsIn } from "../model/content/payments.js";
import { messagePreview } from "../model/previews.js";
import { replyCount, rootOf } from "../model/threads.js";
import { clockTime, now } from "../model/time.js";
import { isUnsent, UNDO_MS, unsend } from "../model/content/unsent.js";
import { partBubble, shape } from "./bubble.js";
import { listenForTapback } from "./tapbacks.js";

/** @import { Composer } from "../composer/composer.js" */
/** @import { Message, Part, Poll } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const openTapbackPicker = later(async () => (await import("./tapback-picker.js")).openTapbackPicker);

/**
 * The things that building a message needs, next to the message. `openThread` shows the thread that a message began;
 * inside of a thread it is missing, and messages offer no actions. `changed` shows a change that only the page knows.
 * @typedef {{ store: Store, chat: ShownChat, composer: Composer, screen: HTMLElement, changed: () => void,
 *   openThread?: (rootId: string) => void, stickTo: (message: Message, partIndex: number) => void }} MessageView
 */

/**
 * @param {MessageView} view
 * @param {Message} message
 * @param {Part} part
 * @param {number} index
 */
function bubbleRow(view, message, part, index) {
  const { store } = view;
  const payments = paymentsIn(store, part);
  // A link to a payment, or an app's card for it, is the payment's card; a text with such a link stands over it.
  const isCard = part.type !== "text" && payments.length > 0;
  const cards = payments.map((payment) => paymentCard(payment, store.me));
  const bubble = isCard ? h("div", { class: `bubble ${shape(part)}` }, cards) : partBubble(part);
  if (message.effect?.name === "invisible") coverWithInk(bubble);
  const rows = [actionRow(view, message, index, bubble)];
  if (!isCard) rows.push(...cards.map((card) => plainRow(h("div", { class: "bubble card-bubble" }, card))));
  return rows;
}

/** @param {HTMLElement} bubble */
const plainRow = (bubble) => h("div", { class: "row" }, h("div", { class: "wrap" }, bubble));

/**
 * Make a row whose bubble opens the picker.
 * @param {MessageView} view
 * @param {Message} message
 * @param {number} index The part's.
 * @param {HTMLElement} bubble
 */
function actionRow(view, message, index, bubble) {
  const wrap = h(
    "div",
    { class: "wrap", dataset: { part: String(index), message: message.id } },
    h("div", { class: "stickable" }, bubble),
  );
  if (!view.openThread) return h("div", { class: "row" }, wrap);
  const open = () => {
    // The message may have got tapbacks since its row was made.
    const now = view.store.chats.get(message.chat_id)?.messages.get(message.id) ?? message;
    openTapbackPicker(view.store, wrap, now, index, actionsOf(view, now, index));
  };
  listenForTapback(wrap, open);
  const label = "React or reply";
  const button = buttonTo(open, { class: "react-button", "aria-label": label, title: label }, icon("smile"));
  return h("div", { class: "row" }, wrap, button, index === 0 && inspectButton(view.store, message));
}

/**
 * @param {Store} store
 * @param {Message} message
 */
function inspectButton(store, { id }) {
  const click = () => store.inspect(id);
  const label = "Show in the inspector";
  return buttonTo(click, { class: "inspect-button", "aria-label": label, title: label }, icon("inspect"));
}

/**
 * Return the acts that a part's menu offers.
 * @param {MessageView} view
 * @param {Message} message
 * @param {number} index
 */
function actionsOf({ store, chat, composer, changed, stickTo }, message, index) {
  const isOwn = store.isOwn(message);
  const isImessage = (message.service ?? chat.service ?? "iMessage") === "iMessage";
  const isText = message.parts?.[index]?.type === "text";
  const isFresh = now().getTime() - Date.parse(message.created_at) < UNDO_MS;
  const undo = () => {
    unsend(message.id);
    changed();
  };
  return {
    onReply: () => composer.replyTo(message, index),
    onSticker: isImessage ? () => stickTo(message, index) : undefined,
    onEdit: isOwn && isText ? () => composer.edit(message, index) : undefined,
    onUndo: isOwn && isImessage && isFresh ? undo : undefined,
  };
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
 * Make the quote over a reply; pressed, it opens the thread.
 * @param {MessageView} view
 * @param {Message} message
 * @param {NonNullable<Message["reply_to"]>} replyTo
 */
function quote({ store, chat, openThread }, message, { message_id: id, part_index: index = 0 }) {
  const original = chat.messages.get(id);
  const author = original ? nameIn(store, chat, senderOf(original)) : "";
  const side = original && store.isOwn(original) ? "from-own" : "from-other";
  const text = original ? quotedText(original, index) : "Message not available";
  return buttonTo(
    () => openThread?.(rootOf(chat, message.id)),
    { class: `quote ${side}`, title: "Open the thread" },
    h("span", { class: "quote-author" }, author),
    h("span", { class: "quote-text" }, text),
  );
}

/**
 * Make the line under a message that was answered; pressed, it opens the thread.
 * @param {MessageView} view
 * @param {Message} message
 */
function repliesLine({ chat, openThread }, { id }) {
  const count = replyCount(chat, id);
  if (!count || !openThread) return null;
  const label = `${count} ${count === 1 ? "Reply" : "Replies"}`;
  return buttonTo(() => openThread(id), { class: "fine replies" }, label);
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
 * @param {MessageView} view
 * @param {Message} message
 * @param {Poll} poll
 */
function pollRow(view, message, poll) {
  const bubble = h("div", { class: "bubble card-bubble" }, pollCard(view.store, view.chat, message, poll));
  return actionRow(view, message, 0, bubble);
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
  if (isUnsent(message.id)) return unsentLine(view, message);
  const service = (message.service ?? chat.service ?? "iMessage").toLowerCase();
  const rows = (message.parts ?? []).flatMap((part, index) =>
    bubbleRow(view, message, service === "imessage" ? part : { ...part, text_decorations: null }, index),
  );
  if (poll) rows.push(pollRow(view, message, poll));
  if (showsSender) rows.at(-1)?.prepend(avatarIn(store, chat, handle));
  const article = h(
    "article",
    {
      class: `msg ${isOwn ? "own" : "other"} ${service}${chat.is_group ? " in-group" : ""}`,
      dataset: { id: message.id },
      tabindex: "-1",
      "aria-label": `${isOwn ? "You" : name}, ${clockTime(message.created_at)}`,
      "aria-description": messagePreview(message),
    },
    showsSender && h("p", { class: "sender" }, name),
    replyTo && view.openThread && quote(view, message, replyTo),
    rows,
    repliesLine(view, message),
  );
  if (effect?.name) article.append(effectCaption(effect.name, isOwn, () => play(effect.name, article, screen)) ?? "");
  if (message.edits) article.append(...editedLine(message));
  return article;
}

/**
 * Make the line "Edited" under a message. Pressed, it shows the texts before each edit.
 * @param {Message} message
 */
function editedLine({ earlier = [] }) {
  if (earlier.length === 0) return [h("p", { class: "fine edited" }, "Edited")];
  const texts = h(
    "ol",
    { class: "edit-history", "aria-label": "Earlier texts", hidden: true },
    earlier.map(({ text, until }) => h("li", {}, h("span", {}, text), h("small", {}, `until ${clockTime(until)}`))),
  );
  const toggle = () => {
    texts.hidden = !texts.hidden;
    button.setAttribute("aria-expanded", String(!texts.hidden));
    button.textContent = texts.hidden ? "Edited" : "Hide Edits";
  };
  const button = buttonTo(toggle, { class: "fine edited", "aria-expanded": "false" }, "Edited");
  return [button, texts];
}

/**
 * Make the line in place of a message that was unsent on this phone.
 * @param {MessageView} view
 * @param {Message} message
 */
function unsentLine({ store, chat }, message) {
  const who = nameIn(store, chat, senderOf(message));
  return h(
    "article",
    { class: "unsent", dataset: { id: message.id }, tabindex: "-1" },
    h("p", { class: "system" }, `${who} unsent a message. The bot still has it: Linq has no event for this.`),
  );
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
