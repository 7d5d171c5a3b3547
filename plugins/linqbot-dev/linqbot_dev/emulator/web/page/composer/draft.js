// A message that is being written. Each person has a draft for each conversation.

/** @import { Decoration, Message } from "../client/types.d.ts" */
/** @import { DraftTexts } from "../model/drafts.js" */

/** @typedef {{ message: Message, partIndex: number }} Target A part of a message. */

/**
 * `reply` is the part that is replied to, `edit` the part that is being edited, `effect` the name of an effect. `before`
 * is the draft that an edit has set aside.
 * @typedef {{ text: string, decorations: Decoration[], files: File[], reply: Target | null, edit: Target | null,
 *   effect: string | null, before: Draft | null }} Draft
 */

/** @returns {Draft} */
export const emptyDraft = () => ({
  text: "",
  decorations: [],
  files: [],
  reply: null,
  edit: null,
  effect: null,
  before: null,
});

/** @param {Draft} draft */
export const isEmpty = (draft) => !draft.text.trim() && draft.files.length === 0;

/**
 * Return a draft that edits a part. An edit has nothing but text.
 * @param {Message} message
 * @param {number} partIndex
 * @param {Draft} current The draft that is set aside; of another edit, the one that it has set aside.
 * @returns {Draft}
 */
export const draftOfEdit = (message, partIndex, current) => ({
  ...emptyDraft(),
  text: message.parts?.[partIndex]?.value ?? "",
  edit: { message, partIndex },
  before: current.edit ? current.before : { ...current },
});

/**
 * Return the draft with which a person goes on after one that was sent or cancelled.
 * @param {Draft} draft
 * @returns {Draft}
 */
export const draftAfter = ({ before }) => before ?? emptyDraft();

/** The drafts of this tab, by person and conversation. Their texts outlive a reload. */
export class Drafts {
  /** @type {Map<string, Draft>} */
  #kept = new Map();
  #texts;
  /** @type {string | null} The key of the conversation that is open. */
  key = null;
  current = emptyDraft();

  /** @param {DraftTexts} texts */
  constructor(texts) {
    this.#texts = texts;
  }

  /**
   * Keep the draft of one conversation and open that of another.
   * @param {string} key
   */
  open(key) {
    if (this.key !== null) this.#kept.set(this.key, this.current);
    this.key = key;
    this.current = this.#kept.get(key) ?? { ...emptyDraft(), text: this.#texts.get(key) };
  }

  /**
   * Go on with the open draft in a conversation that has just begun.
   * @param {string} key
   */
  moveTo(key) {
    if (this.key !== null) {
      this.#kept.delete(this.key);
      this.#texts.set(this.key, "");
    }
    this.key = key;
    this.keepText();
  }

  /** Keep the text of the open draft. The text of an edit is not kept: it belongs to a message. */
  keepText() {
    if (this.key !== null) this.#texts.set(this.key, textOf(this.current));
  }
}

/** @param {Draft} draft */
const textOf = (draft) => (draft.edit ? draftAfter(draft) : draft).text;
