// The bar over a conversation: back, the other side, and the inspector.

import { chatAvatar } from "../elements/avatars.js";
import { buttonTo, h } from "../elements/dom.js";
import { icon, iconButton } from "../elements/icons.js";
import { later } from "../elements/later.js";
import { showVersion } from "../elements/reconcile.js";
import { chatTitle } from "../model/names.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const openSaving = later(async () => (await import("../saving/saving.js")).openSaving);
const openDetails = later(async () => (await import("../chats/details.js")).openDetails);

/**
 * @param {HTMLElement} bar
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {() => void} toggleInspector
 * @param {() => void} toggleControls
 */
export function showBar(bar, store, chat, toggleInspector, toggleControls) {
  const title = chatTitle(store, chat);
  const unread = store.myChats().filter((other) => other.id !== chat.id && store.unread(other) > 0).length;
  const { id, handles, group_chat_icon: picture, card } = chat;
  showVersion(bar, JSON.stringify([id, title, unread, handles, picture, card, store.me]), () => {
    const who = buttonTo(
      () => openDetails(store, chat),
      { class: "who", "aria-label": `Details of ${title}` },
      chatAvatar(store, chat),
      h("span", { class: "who-name" }, h("span", {}, title), icon("down")),
    );
    const inspect = iconButton("inspect", "Show webhooks and calls", toggleInspector, "bar-inspect");
    const controls = iconButton("clock", "Time and faults", toggleControls, "bar-inspect");
    const save = iconButton("save", "Save this conversation", () => openSaving(store), "bar-inspect");
    const tools = h("span", { class: "bar-tools" }, save, controls, inspect);
    return [backButton(store, unread), h("h2", { class: "bar-title" }, who), tools];
  });
}

/**
 * Make the button to the list, with the number of other chats that have unread messages.
 * @param {Store} store
 * @param {number} unread
 */
function backButton(store, unread) {
  return buttonTo(
    () => store.go({ view: "list" }),
    { class: "back", "aria-label": unread ? `Back, ${unread} unread conversations` : "Back" },
    icon("back"),
    unread > 0 && h("span", { class: "badge" }, String(unread)),
  );
}
