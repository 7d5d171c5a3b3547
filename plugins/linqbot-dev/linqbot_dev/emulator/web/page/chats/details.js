// The details of a conversation: its members, its look, STOP, payments, leaving, and its id for developers.

import { avatarIn, chatAvatar } from "../elements/avatars.js";
import { buttonTo, formTo, h } from "../elements/dom.js";
import { icon, iconButton } from "../elements/icons.js";
import { showVersion } from "../elements/reconcile.js";
import { openSheet } from "../elements/sheet.js";
import { succeeds, toast } from "../elements/toast.js";
import * as control from "../client/control.js";
import { paymentCard } from "../cards/payments.js";
import { isMember, lineOf } from "../model/chats.js";
import { formatHandle, HANDLE_WANTED, normaliseHandle } from "../model/handles.js";
import { chatTitle, nameIn } from "../model/names.js";
import { myCharges } from "../model/content/payments.js";
import { backgroundChoices, groupForm } from "./appearance.js";
import { handleField } from "./handle-field.js";

/** @import { Member } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

/** @type {Record<string, string>} */
const HEALTH_NAMES = { HEALTHY: "Healthy", AT_RISK: "At risk", CRITICAL: "Critical", OPTED_OUT: "Opted out" };

/** @type {Record<string, string>} */
const GONE = { left: "Left", removed: "Removed" };

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Member} member
 * @param {(() => unknown) | null} onRemove Null if the person cannot remove the member.
 */
function memberRow(store, chat, { handle, status }, onRemove) {
  const gone = status && status !== "active" ? (GONE[status] ?? status) : "";
  const line = [formatHandle(handle), gone].filter(Boolean).join(" · ");
  return h(
    "li",
    { class: gone ? "gone" : "" },
    avatarIn(store, chat, handle),
    h("span", { class: "member" }, h("strong", {}, nameIn(store, chat, handle)), h("small", {}, line)),
    onRemove && iconButton("close", `Remove ${nameIn(store, chat, handle)}`, onRemove, "remove-member"),
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
    health && fact("Health", HEALTH_NAMES[health] ?? health),
    chat.id && fact("Chat id", chat.id),
  );
}

/**
 * The form that adds a person to a group.
 * @param {Store} store
 * @param {string} chatId
 */
function addForm(store, chatId) {
  const input = handleField("Handle of the person to add");
  const submit = async () => {
    const text = input.value;
    const handle = normaliseHandle(text);
    if (!handle) {
      toast(HANDLE_WANTED);
      return;
    }
    // Emptied before the call: the form is made again when the person has joined.
    input.value = "";
    if (!(await succeeds(control.join(store.me, chatId, handle)))) input.value = text;
  };
  return formTo(submit, { class: "inline-form" }, input, h("button", { type: "submit", class: "text-button" }, "Add"));
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
  return buttonTo(click, { class: "danger" }, icon("leave"), "Leave this Conversation");
}

/**
 * The button that opts out: it sends the word STOP. Any other text opts in again.
 * @param {Store} store
 * @param {ShownChat & { id: string }} chat
 */
function stopSection(store, chat) {
  const send = (/** @type {string} */ value) => () =>
    succeeds(
      control.sendMessage({ from: store.me, to: lineOf(chat), chat_id: chat.id, parts: [{ type: "text", value }] }),
    );
  const isOut = chat.health_status?.status === "OPTED_OUT";
  const note = isOut
    ? "You have opted out: Linq refuses the bot's messages to you. Any other text opts in again."
    : "Sends STOP. Linq then refuses the bot's messages to you until you write again.";
  const button = isOut
    ? buttonTo(send("START"), { class: "sheet-action" }, "Send START")
    : buttonTo(send("STOP"), { class: "danger" }, icon("hand"), "Send STOP");
  return h("section", {}, button, h("p", { class: "hint under" }, note));
}

/**
 * The charges of the person, which no message has to show.
 * @param {Store} store
 */
function chargesSection(store) {
  const charges = myCharges(store);
  if (charges.length === 0) return null;
  return h(
    "section",
    {},
    h("h3", {}, "Payments"),
    charges.map((charge) => paymentCard(charge, store.me)),
  );
}

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {() => void} close
 */
function contentOf(store, chat, close) {
  const { id } = chat;
  const isIn = isMember(chat, store.me);
  const open = id && isIn ? { ...chat, id } : null;
  const group = open && chat.is_group ? open : null;
  const members = (chat.handles ?? []).map((member) => {
    const mayRemove = group && member.handle !== store.me && (member.status ?? "active") === "active";
    const remove = () => succeeds(control.leave(store.me, group?.id ?? "", member.handle));
    return memberRow(store, chat, member, mayRemove ? remove : null);
  });
  const isImessage = (chat.service ?? "iMessage") === "iMessage";
  return [
    h("div", { class: "greeting small" }, chatAvatar(store, chat), h("h2", {}, chatTitle(store, chat))),
    group && groupForm(store, group),
    h("ul", { class: "members" }, members),
    group && addForm(store, group.id),
    open && isImessage && backgroundChoices(store, open),
    chargesSection(store),
    facts(chat),
    open && !group && stopSection(store, open),
    group && leaveButton(store, group.id, close),
  ];
}

/**
 * Open the details. They follow the chat's changes until they are closed.
 * @param {Store} store
 * @param {ShownChat} shown
 */
export function openDetails(store, shown) {
  const body = h("div", { class: "details" });
  const close = openSheet("Details", body);

  function render() {
    const chat = store.chats.get(shown.id ?? "") ?? shown;
    const { handles, name, group_chat_icon: picture, background, health_status: health, service } = chat;
    const version = JSON.stringify([handles, name, picture, background, health?.status, service, myCharges(store)]);
    showVersion(body, version, () =>
      contentOf(store, chat, close)
        .flat()
        .filter((node) => node instanceof Node),
    );
  }
  render();
  const stop = store.onChange(() => (body.isConnected ? render() : stop()));
}
