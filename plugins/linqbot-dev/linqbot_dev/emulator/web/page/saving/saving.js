// The sheet that saves the open conversation as a file.

import { fetchTest } from "../client/control.js";
import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { openSheet } from "../elements/sheet.js";
import { succeeds, toast } from "../elements/toast.js";
import { sharedPage } from "./shared.js";

/** @import { Store } from "../model/store.js" */

const NO_CHAT = "Open a conversation that has a message first.";

/**
 * Open the sheet for the conversation that is open.
 * @param {Store} store
 */
export function openSaving(store) {
  const chat = store.openChat;
  if (!chat) {
    toast(NO_CHAT);
    return;
  }
  const saveTest = async () => {
    const source = await fetchTest("chats", chat.id);
    const name = /def (test_\w+)/.exec(source)?.[1] ?? "test_conversation";
    download(`${name}.py`, source, "text/x-python");
  };
  /** @type {HTMLInputElement} */
  const shows = h("input", { type: "checkbox" });
  const saveShared = async () => {
    const page = await sharedPage(store, store.chats.get(chat.id) ?? chat, { showsHandles: shows.checked });
    download("conversation.html", page, "text/html");
  };
  openSheet("Save this conversation", [
    h(
      "section",
      {},
      saveButton("play", "Save as a page that plays it", saveShared),
      h("label", { class: "sheet-choice" }, shows, "Show numbers and e-mail addresses"),
      h(
        "p",
        { class: "hint under" },
        "One HTML file to share. It has what the phone shows, and neither webhooks nor code.",
      ),
    ),
    h(
      "section",
      {},
      saveButton("check", "Save as pytest", saveTest),
      h("p", { class: "hint under" }, "A test that repeats what people did, and expects what the bot did."),
    ),
  ]);
}

/**
 * @param {string} name The icon.
 * @param {string} label
 * @param {() => Promise<void>} save
 */
function saveButton(name, label, save) {
  const click = async () => {
    button.disabled = true;
    await succeeds(save());
    button.disabled = false;
    button.focus();
  };
  const button = buttonTo(click, { class: "sheet-action with-icon" }, icon(name), h("span", {}, label));
  return button;
}

/**
 * Let the browser save a text as a file.
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
function download(name, text, type) {
  // The address is not revoked: some browsers read it after the click.
  h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name }).click();
}
