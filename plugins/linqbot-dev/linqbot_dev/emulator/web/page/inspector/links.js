// The links between the messages on the phone and the exchanges of the inspector, both ways.

import { buttonTo, byId } from "../elements/dom.js";
import { briefly, isFailed } from "./outcome.js";

/** @import { Exchange } from "../model/exchanges.js" */
/** @import { Store } from "../model/store.js" */

const FOUND_MS = 1600;

/**
 * Link the inspector with the phone.
 * @param {Store} store
 * @param {{ exchanges: () => Exchange[], reveal: (key: string) => Element | null }} inspector
 */
export function linkWithPhone(store, { exchanges, reveal }) {
  const chat = byId("chat");

  /** @param {string} messageId */
  const exchangeOf = (messageId) =>
    exchanges().findLast((one) => one.sent.includes(messageId) || startsWith(one, messageId)) ??
    exchanges().findLast((one) => one.messageId === messageId);

  /** @param {string} messageId */
  const articleOf = (messageId) => chat.querySelector(`.msg[data-id="${CSS.escape(messageId)}"]`);

  /**
   * Show a message on the phone, and give it the focus.
   * @param {string} messageId
   */
  async function showMessage(messageId) {
    const owner = [...store.chats.values()].find((one) => one.messages.has(messageId));
    if (!owner) return;
    const isMine = owner.handles?.some(({ handle }) => handle === store.me);
    const person = owner.handles?.find(({ is_me: isBot }) => !isBot)?.handle;
    if (!isMine && person) store.switchPerson(person);
    // The conversation scrolls to the message of a place once, so a place without one comes between.
    store.go({ view: "chat", chatId: owner.id });
    await nextFrame();
    store.go({ view: "chat", chatId: owner.id, messageId });
    await nextFrame();
    focusOn(articleOf(messageId));
  }

  /** @param {string} messageId */
  function inspect(messageId) {
    const exchange = exchangeOf(messageId);
    const item = exchange ? reveal(exchange.key) : null;
    const details = item?.querySelector("details");
    if (details) details.open = true;
    const summary = item?.querySelector("summary");
    focusOn(item ?? null, summary);
  }

  /** Mark the messages whose exchange failed, and say under them and under the latest one what the matter is. */
  function markMessages() {
    requestAnimationFrame(() => {
      const begun = exchanges().filter((one) => one.eventType === "message.received" && one.messageId);
      const byMessage = new Map(begun.map((one) => [one.messageId, one]));
      const articles = /** @type {HTMLElement[]} */ ([...chat.querySelectorAll(".msg[data-id]")]);
      const latest = articles.findLast((article) => article.classList.contains("own"));
      for (const article of articles) {
        const id = article.dataset.id ?? "";
        const exchange = byMessage.get(id);
        const isBad = exchange !== undefined && isFailed(exchange);
        noteUnder(article, exchange && (isBad || article === latest) ? briefly(exchange) : "", isBad);
        article.classList.toggle("went-wrong", isBad);
        const button = article.querySelector(".inspect-button");
        const label = isBad ? "Something went wrong. Show it in the inspector" : "Show in the inspector";
        button?.setAttribute("aria-label", label);
        button?.setAttribute("title", label);
      }
    });
  }

  /**
   * @param {HTMLElement} article
   * @param {string} text
   * @param {boolean} isBad
   */
  function noteUnder(article, text, isBad) {
    const old = article.querySelector(":scope > .outcome-note");
    const kind = `fine outcome-note ${isBad ? "bad" : "idle"}`;
    if ((old?.textContent ?? "") === text && (!old || old.className === kind)) return;
    old?.remove();
    const click = () => inspect(article.dataset.id ?? "");
    const title = "Show in the inspector";
    if (text) article.append(buttonTo(click, { class: kind, title }, text));
  }

  store.onInspect(inspect);
  return { showMessage, markMessages };
}

/**
 * @param {Exchange} exchange
 * @param {string} messageId
 */
const startsWith = (exchange, messageId) =>
  exchange.eventType === "message.received" && exchange.messageId === messageId;

/** @returns {Promise<number>} */
const nextFrame = () => new Promise(requestAnimationFrame);

/**
 * Scroll to an element, mark it for a moment, and move the focus to it.
 * @param {Element | null} element
 * @param {HTMLElement | null} [focused] What takes the focus in its place.
 */
function focusOn(element, focused) {
  if (!(element instanceof HTMLElement)) return;
  element.scrollIntoView({ block: "center", behavior: "smooth" });
  element.classList.add("found");
  setTimeout(() => element.classList.remove("found"), FOUND_MS);
  const node = focused ?? element;
  if (node === element) element.tabIndex = -1;
  node.focus({ preventScroll: true });
}
