// New messages: they enter with a motion, and their effects play once.

import { playOnArrival } from "../effects/play.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */

export class Arrivals {
  /** @type {Set<string>} The ids of messages that are not shown yet. */
  #arrived = new Set();
  /** @type {Map<string, string>} Effects by message id that have not played yet. */
  #effects = new Map();

  /** @param {Message} message */
  add({ id, effect }) {
    this.#arrived.add(id);
    if (effect?.name) this.#effects.set(id, effect.name);
  }

  /**
   * Let the element of a message enter with a motion, if the message is new.
   * @param {HTMLElement} article
   * @param {string} id
   */
  enter(article, id) {
    if (!this.#arrived.delete(id)) return;
    article.classList.add("arriving");
    article.addEventListener("animationend", () => article.classList.remove("arriving"), { once: true });
  }

  /**
   * Play the effects of a chat's new messages.
   * @param {ShownChat} chat
   * @param {(id: string) => Element | null} articleOf
   * @param {HTMLElement} screen
   */
  playEffects(chat, articleOf, screen) {
    for (const [id, name] of this.#effects) {
      if (!chat.messages.has(id)) continue;
      this.#effects.delete(id);
      const article = articleOf(id);
      if (article instanceof HTMLElement) playOnArrival(name, article, screen);
    }
  }
}
