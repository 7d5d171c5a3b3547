// A chat as this phone's owner sees it: who the others are, what it is called, what its last line says.

import { h, icon } from "../elements/dom.js";
import { effectTitle } from "../effects/effects.js";
import { localUrl } from "../conversation/media.js";
import { avatar, botAvatar, formatHandle, personName } from "./people.js";
import { activeHandles, lineOf, messagesOf } from "./store.js";

/** The place of an unsent first message, in the shape of a chat. */
export function draftChat(store, { line, others, service }) {
  const handles = [{ handle: line, is_me: true }, ...[store.me, ...others].map((handle) => ({ handle, is_me: false }))];
  return { id: null, handles, service, is_group: others.length > 0, messages: new Map(), typing: new Set() };
}

export const shownChat = (store) => (store.place.view === "draft" ? draftChat(store, store.place) : store.openChat);

// A line that is gone from the account counts as the first.
const lineIndex = (store, handle) =>
  Math.max(
    0,
    store.lines.findIndex((line) => line.phone_number === handle),
  );
export const lineAvatar = (store, handle) => botAvatar(lineIndex(store, handle));

export function lineName(store, handle) {
  const index = lineIndex(store, handle);
  return index > 0 ? `Your bot ${index + 1}` : "Your bot";
}

const isLineOf = (store, chat, handle) => handle === lineOf(chat) || store.isLine(handle);

export function nameIn(store, chat, handle) {
  if (handle === store.me) return "You";
  return isLineOf(store, chat, handle) ? lineName(store, handle) : personName(handle);
}

export function avatarIn(store, chat, handle) {
  return isLineOf(store, chat, handle) ? lineAvatar(store, handle) : avatar(handle);
}

export const others = (store, chat) => activeHandles(chat).filter((member) => member.handle !== store.me);

export function chatTitle(store, chat) {
  // Linq fills an unset display name with the handles: the phone shows its own names for them instead.
  const isSet = chat.display_name && !/^\+\d|@/.test(chat.display_name);
  if (chat.is_group && isSet) return chat.display_name;
  return (
    others(store, chat)
      .map((member) => nameIn(store, chat, member.handle))
      .join(", ") || formatHandle(lineOf(chat) ?? "")
  );
}

export function chatAvatar(store, chat) {
  const faces = others(store, chat);
  if (!chat.is_group) return avatarIn(store, chat, lineOf(chat) ?? faces[0]?.handle ?? "");
  const picture = localUrl(chat.group_chat_icon);
  if (picture) return h("span", { class: "avatar", "aria-hidden": "true" }, h("img", { src: picture, alt: "" }));
  if (faces.length < 2) return h("span", { class: "avatar hue-0", "aria-hidden": "true" }, icon("people"));
  return h(
    "span",
    { class: "avatar pair", "aria-hidden": "true" },
    faces.slice(0, 2).map((member) => avatarIn(store, chat, member.handle)),
  );
}

function partPreview(part) {
  if (part.type === "text" || part.type === "link") return part.value;
  if (part.type === "media") {
    const kind = (part.mime_type ?? "").split("/")[0];
    return { image: "Photo", video: "Video", audio: "Audio Message" }[kind] ?? part.filename ?? "Attachment";
  }
  return part.layout?.caption ?? part.title ?? part.app?.name ?? "Attachment";
}

/** One line about a message: for the list, for quotes. */
export function messagePreview(message) {
  if (message.poll) return "Poll";
  const text = (message.parts ?? []).map(partPreview).join(" ");
  return text || (message.effect ? `Sent with ${effectTitle(message.effect.name)}` : "Message");
}

export function chatPreview(store, chat) {
  const last = messagesOf(chat).at(-1);
  if (!last) return "No messages yet";
  const sender = last.from_handle?.handle;
  const needsName = chat.is_group && sender && !store.isOwn(last);
  return (needsName ? `${nameIn(store, chat, sender)}: ` : "") + messagePreview(last);
}
