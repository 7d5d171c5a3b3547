// What the bot stores, fetched while the panel is open: after each change that the page sees, and every two seconds,
// because a retry that fails is seen nowhere else.

import { fetchStored } from "../client/conditions.js";

/** @import { Stored } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

const EVERY_MS = 2000;
const AFTER_CHANGE_MS = 250;

export class StoredFacts {
  /** @type {Stored} */
  value = { available: false };
  /** @type {(() => void)[]} */
  #listeners = [];
  #store;
  #isFollowing = false;
  #shown = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Store} store */
  constructor(store) {
    this.#store = store;
    store.onChange((topics) => {
      if (["traces", "place", "conditions"].some((topic) => topics.has(/** @type {"traces"} */ (topic)))) {
        this.#fetchIn(AFTER_CHANGE_MS);
      }
    });
  }

  /**
   * Call `listener` after each change.
   * @param {() => void} listener
   */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** @param {boolean} isFollowing */
  follow(isFollowing) {
    this.#isFollowing = isFollowing;
    this.#fetchIn(0);
  }

  /** @param {number} ms */
  #fetchIn(ms) {
    clearTimeout(this.#timer);
    if (this.#isFollowing) this.#timer = setTimeout(() => this.#fetch(), ms);
  }

  async #fetch() {
    try {
      this.value = await fetchStored(this.#store.openChat?.id);
    } catch {
      this.value = { available: this.value.available, is_running: false };
    }
    const shown = JSON.stringify([this.value, this.#store.openChat?.id]);
    if (shown !== this.#shown) {
      this.#shown = shown;
      for (const listener of this.#listeners) listener();
    }
    this.#fetchIn(EVERY_MS);
  }
}
