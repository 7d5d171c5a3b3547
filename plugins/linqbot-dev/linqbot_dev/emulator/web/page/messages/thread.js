// A thread by itself: the message that began it, all replies, and a field for one more.

import { buttonTo, byId, find, formTo, h } from "../elements/dom.js";
import { rememberFocus } from "../elements/focus.js";
import { icon } from "../elements/icons.js";
import { openOverlay } from "../elements/overlay.js";
import { reconcile } from "../elements/reconcile.js";
import { messageOf, toast } from "../elements/toast.js";
import { canWrite } from "../model/chats.js";
import { threadOf } from "../model/threads.js";
import { showReactions, versionOf } from "./changes.js";
import { messageArticle } from "./message.js";

/** @import { MessageView } from "./message.js" */
/** @import { Message } from "../client/types.d.ts" */

/** @typedef {{ send: (text: string, root: Message) => Promise<unknown>, jumpTo: (id: string) => void }} ThreadActs */

/**
 * Open a thread over the conversation.
 * @param {() => MessageView | null} viewNow Returns what messages are made with; null after the chat is closed.
 * @param {string} rootId
 * @param {ThreadActs} acts
 * @returns {() => void} Shows the thread's changes.
 */
export function openThread(viewNow, rootId, { send, jumpTo }) {
  const giveFocusBack = rememberFocus();
  const list = h("div", { class: "thread-log", role: "log", "aria-label": "Thread" });
  const field = h("input", {
    type: "text",
    dir: "auto",
    placeholder: "Reply",
    "aria-label": "Reply in this thread",
    autocomplete: "off",
  });
  const submit = async () => {
    const text = field.value.trim();
    const root = viewNow()?.chat.messages.get(rootId);
    if (!text || !root) return;
    field.value = "";
    try {
      await send(text, root);
    } catch (error) {
      field.value = text;
      toast(`Not delivered: ${messageOf(error)}`);
    }
  };
  const sendButton = h("button", { type: "submit", class: "send", "aria-label": "Send reply" }, icon("send"));
  const form = formTo(submit, { class: "thread-form imessage" }, field, sendButton);
  const back = buttonTo(() => close(), { class: "text-button" }, "Done");
  const show = buttonTo(
    () => {
      close();
      jumpTo(rootId);
    },
    { class: "text-button" },
    "Show in Chat",
  );
  const content = [h("header", { class: "thread-head" }, back, show), list, form];
  const close = openOverlay(
    { class: "thread", role: "dialog", "aria-modal": "true", "aria-label": "Thread" },
    content,
    giveFocusBack,
  );

  function render() {
    if (!list.isConnected) return;
    const view = viewNow();
    if (!view) {
      close();
      return;
    }
    const { openThread: _, ...plain } = view;
    form.hidden = !canWrite(view.chat, view.store.me);
    reconcile(
      list,
      threadOf(view.chat, rootId).map((message) => item(plain, message)),
    );
    list.scrollTop = list.scrollHeight;
  }
  render();
  (form.hidden ? find(byId("screen"), ".thread .text-button") : field).focus({ preventScroll: true });
  return render;
}

/**
 * @param {MessageView} view
 * @param {Message} message
 */
function item(view, message) {
  const build = () => {
    const article = messageArticle(view, message);
    article.classList.add("first", "last");
    return article;
  };
  const update = (/** @type {HTMLElement} */ article) => showReactions(view, message, article);
  return { key: message.id, version: versionOf(view, message), build, update };
}
