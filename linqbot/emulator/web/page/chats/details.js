// The details of a conversation: its members, adding and leaving in a group, and its id for developers.

import { avatarIn, chatAvatar } from "../elements/avatars.js";
import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { succeeds, toast } from "../elements/toast.js";
import * as control from "../client/control.js";
import { isMember } from "../model/chats.js";
import { formatHandle, normaliseHandle } from "../model/handles.js";
import { chatTitle, nameIn } from "../model/names.js";

/** @import { Member } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/** @type {Record<string, string>} */
const GONE = { left: "Left", removed: "Removed" };

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Member} member
 */
function memberRow(store, chat, { handle, status }) {
  const gone = status && status !== "active" ? (GONE[status] ?? status) : "";
  const line = [formatHandle(handle), gone].filter(Boolean).join(" · ");
  return h(
    "li",
    { class: gone ? "gone" : "" },
    avatarIn(store, chat, handle),
    h("span", { class: "member" }, h("strong", {}, nameIn(store, chat, handle)), h("small", {}, line)),
  );
}

/**
 * @param {string} label
 * @param {string} value
 */
const fact = (label, value) => h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, value));

/** @param {ShownChat} chat */
function facts(chat) {
  const health = chat.health_status?.status;
  return h(
    "dl",
    { class: "facts" },
    fact("Service", chat.service ?? "iMessage"),
    health && fact("Health", health),
    chat.id && fact("Chat id", chat.id),
  );
}

/**
 * The form that adds a person to a group.
 * @param {Store} store
 * @param {string} chatId
 * @param {() => void} onDone
 */
function addForm(store, chatId, onDone) {
  const input = h("input", {
    type: "tel",
    placeholder: "+1 415 555 0199",
    "aria-label": "Number of the person to add",
  });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const handle = normaliseHandle(input.value);
    if (!handle) toast("A number in E.164 form, please: + and the country code first.");
    else if (await succeeds(control.join(store.me, chatId, handle))) onDone();
  };
  return h(
    "form",
    { class: "inline-form", on: { submit } },
    input,
    h("button", { type: "submit", class: "text-button" }, "Add"),
  );
}

/**
 * @param {Store} store
 * @param {string} chatId
 * @param {() => void} onDone
 */
function leaveButton(store, chatId, onDone) {
  const click = async () => {
    if (await succeeds(control.leave(store.me, chatId))) onDone();
  };
  return h("button", { type: "button", class: "danger", on: { click } }, icon("leave"), "Leave this Conversation");
}

/**
 * @param {Store} store
 * @param {ShownChat} chat
 */
export function openDetails(store, chat) {
  const groupId = chat.is_group && isMember(chat, store.me) ? chat.id : null;
  const members = (chat.handles ?? []).map((member) => memberRow(store, chat, member));
  const close = openSheet("Details", [
    h("div", { class: "greeting small" }, chatAvatar(store, chat), h("h2", {}, chatTitle(store, chat))),
    h("ul", { class: "members" }, members),
    groupId && addForm(store, groupId, () => close()),
    facts(chat),
    groupId && leaveButton(store, groupId, () => close()),
  ]);
}
