// The texts of the messages that are being written, by person and chat.

/** @import { Memory } from "./people.js" */

const DRAFTS = "linqbot.drafts";

/**
 * Return the key of a conversation's draft.
 * @param {string} me
 * @param {string | null} chatId Null before the first message.
 */
export const draftKey = (me, chatId) => `${me} ${chatId ?? "draft"}`;

export class DraftTexts {
  #memory;
  /** @type {Record<string, string>} */
  #texts;
  /** @type {(() => void)[]} */
  #listeners = [];

  /** @param {Memory} memory Keeps the texts over a reload. */
  constructor(memory) {
    this.#memory = memory;
    this.#texts = JSON.parse(memory.getItem(DRAFTS) ?? "{}");
  }

  /** @param {string} key */
  get(key) {
    return this.#texts[key] ?? "";
  }

  /**
   * @param {string} key
   * @param {string} text
   */
  set(key, text) {
    if (this.get(key) === text) return;
    if (text) this.#texts[key] = text;
    else delete this.#texts[key];
    this.#memory.setItem(DRAFTS, JSON.stringify(this.#texts));
    for (const listener of this.#listeners) listener();
  }

  /**
   * Call `listener` after each change.
   * @param {() => void} listener
   */
  onChange(listener) {
    this.#listeners.push(listener);
  }
}
