// Reports to the emulator that the person types: started with the first letter; stopped after a pause, and when the
// field is emptied or left. A message that is sent ends the typing by itself, as with Linq.

import { setTyping } from "../client/control.js";

/** @import { Store } from "../model/store.js" */

const PAUSE_MS = 4000;

export class TypingNotice {
  #store;
  /** @type {{ me: string, chatId: string } | null} What was last reported as started. */
  #reported = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;

  /** @param {Store} store */
  constructor(store) {
    this.#store = store;
  }

  /**
   * Report that the field has changed.
   * @param {string} text
   */
  typed(text) {
    const { openChat, me } = this.#store;
    if (!openChat) return;
    if (!text.trim()) {
      this.stop();
      return;
    }
    if (!this.#reported) {
      this.#reported = { me, chatId: openChat.id };
      this.#report("started");
    }
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.stop(), PAUSE_MS);
  }

  /** Report that the person has stopped. */
  stop() {
    if (this.#reported) this.#report("stopped");
    this.forget();
  }

  /** Report nothing more: the message is on its way. */
  forget() {
    clearTimeout(this.#pause);
    this.#reported = null;
  }

  /** @param {"started" | "stopped"} state */
  #report(state) {
    // Typing is only a hint, so an error is ignored.
    if (this.#reported) setTyping(this.#reported.me, this.#reported.chatId, state).catch(() => {});
  }
}
