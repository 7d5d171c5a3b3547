// The open conversation: its bar, its transcript and its composer.

import { Composer } from "../composer/composer.js";
import { byId, h } from "../elements/dom.js";
import { reconcile } from "../elements/reconcile.js";
import { shownChat } from "../model/chats.js";
import { Arrivals } from "./arrivals.js";
import { barContent } from "./bar.js";
import { ReadReceipts } from "./receipts.js";
import { EndFollower } from "./scrolling.js";
import { transcriptItems } from "./transcript.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const PAGE = 200; // messages shown before "Earlier messages"
const FOUND_MS = 1600;

/**
 * Show the conversation in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {() => void} toggleInspector
 */
export function mountConversation(root, store, toggleInspector) {
  const screen = byId("screen");
  const bar = h("header", { class: "chat-bar" });
  const log = h("div", { class: "log", role: "log", "aria-label": "Messages" });
  const scroller = h("div", { class: "transcript", tabindex: "0", "aria-label": "Conversation" }, log);
  const composerSlot = h("div", { class: "composer-slot" });
  root.append(bar, scroller, composerSlot);

  const composer = new Composer(composerSlot, root, store);
  const end = new EndFollower(scroller, log);
  const arrivals = new Arrivals();
  const receipts = new ReadReceipts(store);
  let shownKey = "";
  let limit = PAGE;

  /** @param {ShownChat} chat */
  function startOver(chat) {
    const key = `${store.me} ${chat.id ?? "draft"}`;
    if (key === shownKey) return;
    shownKey = key;
    log.replaceChildren();
    limit = PAGE;
    end.follow();
  }

  /** @param {string} id */
  const articleOf = (id) => log.querySelector(`[data-id="${CSS.escape(id)}"]`);

  /** @param {string} id */
  function jumpTo(id) {
    const article = articleOf(id);
    article?.scrollIntoView({ block: "center", behavior: "smooth" });
    article?.classList.add("found");
    setTimeout(() => article?.classList.remove("found"), FOUND_MS);
  }

  function showEarlier() {
    limit += PAGE;
    end.release();
    render();
  }

  function render() {
    const chat = shownChat(store);
    if (!chat) return;
    startOver(chat);
    bar.replaceChildren(...barContent(store, chat, toggleInspector));
    const view = { store, chat, composer, screen, jumpTo };
    reconcile(log, transcriptItems(view, { limit, showEarlier, arrivals }));
    end.update();
    arrivals.playEffects(chat, articleOf, screen);
    receipts.report(chat);
  }

  store.onArrival((message) => {
    arrivals.add(message);
    if (store.isOwn(message)) end.follow();
  });
  store.onChange(render);
  // Messages are reported as read only while the person looks at the page.
  window.addEventListener("focus", render);
  document.addEventListener("visibilitychange", render);
}
