// A message in one line, for the list of chats and for quotes.

import { messagesOf } from "./chats.js";
import { effectTitle } from "./content/effect-names.js";
import { isVcard } from "./content/vcard.js";
import { nameIn } from "./names.js";

/** @import { Message, Part } from "../client/types.d.ts" */
/** @import { ShownChat } from "./chats.js" */
/** @import { Store } from "./store.js" */

/** @type {Record<string, string>} */
const MEDIA_NAMES = { image: "Photo", video: "Video", audio: "Audio Message" };

/** @param {Part} part */
function partPreview(part) {
  if (part.type === "text" || part.type === "link") return part.value;
  if (part.type === "media") {
    if (isVcard(part)) return "Contact Card";
    const kind = (part.mime_type ?? "").split("/")[0];
    return MEDIA_NAMES[kind] ?? part.filename ?? "Attachment";
  }
  return part.layout?.caption ?? part.title ?? part.app?.name ?? "Attachment";
}

/** @param {Message} message */
export function messagePreview(message) {
  if (message.poll) return `Poll: ${message.poll.options.map((option) => option.text).join(", ")}`;
  const text = (message.parts ?? []).map(partPreview).join(" ");
  return text || (message.effect ? `Sent with ${effectTitle(message.effect.name)}` : "Message");
}

/**
 * Return the last message of a chat in one line; in a group with its sender.
 * @param {Store} store
 * @param {ShownChat} chat
 */
export function chatPreview(store, chat) {
  const last = messagesOf(chat).at(-1);
  if (!last) return "No messages yet";
  const sender = last.from_handle?.handle;
  if (!chat.is_group || !sender || store.isOwn(last)) return messagePreview(last);
  return `${nameIn(store, chat, sender)}: ${messagePreview(last)}`;
}
