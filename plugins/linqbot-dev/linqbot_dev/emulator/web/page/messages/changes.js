// The changes of a message that is shown. A tapback or a sticker is put on its bubble; after any other change the message
// is made again. So a tapback interrupts no voice memo, no effect and no selection.

import { paymentsIn } from "../model/content/payments.js";
import { isMember } from "../model/chats.js";
import { isUnsent } from "../model/content/unsent.js";
import { nameIn } from "../model/names.js";
import { replyCount } from "../model/threads.js";
import { reactionMarks } from "./tapbacks.js";

/** @import { Message, Reaction } from "../client/types.d.ts" */
/** @import { MessageView } from "./message.js" */

/**
 * Return all that the article of a message is made from; after a change it is made again. Receipts are left out: a
 * message goes on playing its effect, its voice memo or its video while it is delivered and read.
 * @param {MessageView} view
 * @param {Message} message
 */
export function versionOf({ store, chat }, message) {
  const { id, parts, effect, reply_to: replyTo, edits, poll, service } = message;
  const quoted = replyTo && chat.messages.get(replyTo.message_id);
  const payments = (parts ?? []).flatMap((part) => paymentsIn(store, part));
  const more = [payments, isUnsent(id), replyCount(chat, id), chat.card, poll && isMember(chat, store.me)];
  return JSON.stringify(
    [parts, effect, replyTo, edits, poll, service, quoted?.parts, chat.is_group, store.me, more],
    butReactions,
  );
}

/**
 * @param {string} key
 * @param {unknown} value
 */
const butReactions = (key, value) => (key === "reactions" ? undefined : value);

/** @type {WeakMap<Element, string>} The reactions that are shown on a bubble. */
const shown = new WeakMap();

/**
 * Show the tapbacks and stickers of a message on its bubbles.
 * @param {MessageView} view
 * @param {Message} message
 * @param {HTMLElement} article
 */
export function showReactions(view, { parts, poll }, article) {
  for (const wrap of /** @type {NodeListOf<HTMLElement>} */ (article.querySelectorAll(".wrap[data-part]"))) {
    const part = poll ?? parts?.[Number(wrap.dataset.part)];
    showMarks(view, /** @type {HTMLElement} */ (wrap.firstElementChild), part?.reactions ?? []);
  }
}

/**
 * @param {MessageView} view
 * @param {HTMLElement} stickable The bubble, and what lies on it.
 * @param {Reaction[]} reactions
 */
function showMarks({ store, chat }, stickable, reactions) {
  const names = reactions.map(({ handle }) => nameIn(store, chat, handle?.handle ?? ""));
  const version = JSON.stringify([reactions, names, store.me]);
  if ((shown.get(stickable) ?? JSON.stringify([[], [], store.me])) === version) return;
  shown.set(stickable, version);
  for (const mark of [...stickable.children].slice(1)) mark.remove();
  for (const mark of reactionMarks(store, chat, reactions)) if (mark) stickable.append(mark);
}
