// The open conversation: its bar, its transcript and its composer.

import { Composer } from "../composer/composer.js";
import { emptyDraft } from "../composer/draft.js";
import { deliver } from "../composer/sending.js";
import { byId, h } from "../elements/dom.js";
import { later } from "../elements/later.js";
import { reconcile } from "../elements/reconcile.js";
import { countOf, messagesOf, shownChat } from "../model/chats.js";
import { onUnsent } from "../model/content/unsent.js";
import { Arrivals } from "./arrivals.js";
import { showBackground } from "./background.js";
import { showBar } from "./bar.js";
import { listenForTranscriptKeys } from "./keys.js";
import { ReadReceipts } from "./receipts.js";
import { EndFollower, keepingPlace } from "./scrolling.js";
import { showStrip } from "./strip.js";
import { transcriptItems } from "./transcript.js";
import { TranscriptWindow } from "./window.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { DraftTexts } from "../model/drafts.js" */
/** @import { Store, Topic } from "../model/store.js" */
/** @import { Message } from "../client/types.d.ts" */
/** @import { MessageView } from "../messages/message.js" */

const openStickerTray = later(async () => (await import("../attach/stickers.js")).openStickerTray);
const openThread = later(async () => (await import("../messages/thread.js")).openThread);

const FOUND_MS = 1600;
const NEAR_EDGE_PX = 600; // more messages are shown before the person reaches the edge

/**
 * Show the conversation in `root`.
 * @param {HTMLElement} root
 * @param {Store} store
 * @param {DraftTexts} texts
 * @param {() => void} toggleInspector
 * @param {() => void} toggleControls
 */
export const mountConversation = (root, store, texts, toggleInspector, toggleControls) =>
  new Conversation(root, store, texts, toggleInspector, toggleControls);

class Conversation {
  #root;
  #store;
  #toggleInspector;
  #toggleControls;
  #screen = byId("screen");
  #bar = h("header", { class: "chat-bar" });
  #strip = h("div", { class: "strip", role: "status" });
  #log = h("div", { class: "log", role: "log", "aria-label": "Messages" });
  #scroller = h("div", { class: "transcript", role: "region", "aria-label": "Transcript" }, this.#log);
  #composer;
  #end = new EndFollower(this.#scroller, this.#log);
  #arrivals = new Arrivals();
  #receipts;
  /** The part of the chat that has elements. */
  #part = new TranscriptWindow();
  /** The person and the chat that are shown. */
  #key = "";
  /** @type {string | undefined} The message of the place that was last scrolled to. */
  #jumpedTo;
  /** @type {number | undefined} The number of messages of the chat that the page did not have at the latest change. */
  #missing;
  /** @type {() => void} Shows the changes of the thread that is open. */
  #renderThread = () => {};

  /**
   * @param {HTMLElement} root
   * @param {Store} store
   * @param {DraftTexts} texts
   * @param {() => void} toggleInspector
   * @param {() => void} toggleControls
   */
  constructor(root, store, texts, toggleInspector, toggleControls) {
    this.#root = root;
    this.#store = store;
    this.#toggleInspector = toggleInspector;
    this.#toggleControls = toggleControls;
    const slot = h("div", { class: "composer-slot" });
    root.append(this.#bar, this.#strip, this.#scroller, slot);
    this.#composer = new Composer(slot, root, store, texts);
    this.#receipts = new ReadReceipts(store);
    listenForTranscriptKeys(this.#log, () => this.#composer.focus());
    this.#listen();
  }

  #listen() {
    const render = () => this.#render();
    this.#scroller.addEventListener("scroll", () => this.#showMore(), { passive: true });
    this.#store.onArrival((message) => this.#arrived(message));
    this.#store.onChange((topics) => this.#onChange(topics));
    onUnsent(render);
    // Messages are reported as read only while the person looks at the page.
    window.addEventListener("focus", render);
    document.addEventListener("visibilitychange", render);
  }

  /** @param {Set<Topic>} topics */
  #onChange(topics) {
    const missing = shownChat(this.#store)?.earlier;
    const earlierCame = missing !== this.#missing && !topics.has("place");
    this.#missing = missing;
    // The person may have reached the top before the earlier messages were there.
    if (earlierCame && !this.#end.isFollowed) keepingPlace(this.#scroller, this.#log, () => this.#render());
    else this.#render();
  }

  /** @param {Message} message */
  #arrived(message) {
    this.#arrivals.add(message);
    const chat = shownChat(this.#store);
    if (!chat || !this.#store.isOwn(message) || message.chat_id !== chat.id) return;
    this.#part.showEnd(countOf(chat));
    this.#end.follow();
  }

  /** Show more messages when the person comes near to the edge of those that are shown. */
  #showMore() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    if (this.#part.hasEarlier && scrollTop < NEAR_EDGE_PX) this.#showEarlier();
    else if (!this.#part.atEnd && scrollHeight - scrollTop - clientHeight < NEAR_EDGE_PX) this.#showLater();
  }

  #showEarlier() {
    this.#part.earlier();
    this.#end.release();
    keepingPlace(this.#scroller, this.#log, () => this.#render());
  }

  #showLater() {
    this.#part.later();
    keepingPlace(this.#scroller, this.#log, () => this.#render());
  }

  #render() {
    const view = this.#view();
    if (!view) return;
    const { store, chat } = view;
    this.#enter(chat);
    showBar(this.#bar, store, chat, this.#toggleInspector, this.#toggleControls);
    showStrip(this.#strip, store, chat, () => this.#render());
    showBackground(this.#root, chat);
    reconcile(this.#log, this.#items(view));
    this.#end.update();
    this.#arrivals.playEffects(chat, (id) => this.#articleOf(id), this.#screen);
    this.#receipts.report(chat);
    this.#renderThread();
    this.#goToPlace();
  }

  /**
   * Begin at the end of a chat that was just opened; follow the growth of an open one.
   * @param {ShownChat} chat
   */
  #enter(chat) {
    const key = `${this.#store.me} ${chat.id ?? "draft"}`;
    const count = countOf(chat);
    if (key === this.#key) {
      this.#part.resize(count);
      return;
    }
    this.#key = key;
    this.#jumpedTo = undefined;
    this.#log.replaceChildren();
    this.#part.showEnd(count);
    this.#end.follow();
  }

  /** @param {MessageView} view */
  #items(view) {
    return transcriptItems(view, {
      shown: this.#part,
      showEarlier: () => this.#showEarlier(),
      showLater: () => this.#showLater(),
      arrivals: this.#arrivals,
    });
  }

  /** @returns {MessageView | null} */
  #view() {
    const store = this.#store;
    const chat = shownChat(store);
    if (!chat) return null;
    return {
      store,
      chat,
      composer: this.#composer,
      screen: this.#screen,
      changed: () => this.#render(),
      openThread: (rootId) => this.#openThread(rootId),
      stickTo: (message, part) => openStickerTray(store, this.#screen, { message: message.id, part }),
    };
  }

  /** @param {string} rootId */
  async #openThread(rootId) {
    const store = this.#store;
    const send = async (/** @type {string} */ text, /** @type {Message} */ message) => {
      const chat = shownChat(store);
      const draft = { ...emptyDraft(), text, reply: { message, partIndex: 0 } };
      if (chat) await deliver(store, { draft, chat, place: store.place, me: store.me });
    };
    const jumpTo = (/** @type {string} */ id) => this.#jumpTo(id);
    this.#renderThread = await openThread(() => this.#view(), rootId, { send, jumpTo });
  }

  /** Scroll to the message of the place, once. */
  #goToPlace() {
    const { place } = this.#store;
    const wanted = place.view === "chat" ? place.messageId : undefined;
    if (wanted === this.#jumpedTo) return;
    this.#jumpedTo = wanted;
    if (wanted) this.#jumpTo(wanted);
  }

  /** @param {string} id */
  #jumpTo(id) {
    const chat = shownChat(this.#store);
    const index = chat ? messagesOf(chat).findIndex((message) => message.id === id) : -1;
    if (!chat || index < 0) return;
    this.#part.around((chat.earlier ?? 0) + index);
    this.#end.release();
    this.#render();
    const article = this.#articleOf(id);
    article?.scrollIntoView({ block: "center" });
    article?.classList.add("found");
    setTimeout(() => article?.classList.remove("found"), FOUND_MS);
  }

  /** @param {string} id */
  #articleOf(id) {
    return this.#log.querySelector(`[data-id="${CSS.escape(id)}"]`);
  }
}
