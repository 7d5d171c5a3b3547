// Writing a message: the draft of the open conversation, its view, and sending it.

import { later } from "../elements/later.js";
import { messageOf, toast } from "../elements/toast.js";
import { canWrite, shownChat } from "../model/chats.js";
import { moved, trimmed } from "../model/content/decorations.js";
import { draftKey } from "../model/drafts.js";
import { fileSize } from "../model/content/files.js";
import { draftAfter, Drafts, draftOfEdit, isEmpty } from "./draft.js";
import { listenForFiles } from "./files.js";
import { Outbox } from "./sending.js";
import { TypingNotice } from "./typing.js";
import { ComposerView } from "./view.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { DraftTexts } from "../model/drafts.js" */
/** @import { Topic, Store } from "../model/store.js" */
/** @import { Draft } from "./draft.js" */

const openAttachMenu = later(async () => (await import("../attach/menu.js")).openAttachMenu);
const openEffectPicker = later(async () => (await import("./effect-picker.js")).openEffectPicker);

const MAX_FILE_BYTES = 100_000_000;
const LONG_PRESS_MS = 450;
const SAMPLE = "Hello!";

export class Composer {
  #store;
  #view;
  #typing;
  #outbox;
  #drafts;
  /** @type {Store["place"] | null} The place at the latest rendering. */
  #place = null;

  /**
   * Show the composer in `slot`.
   * @param {HTMLElement} slot
   * @param {HTMLElement} pane The conversation; files may be dropped anywhere on it.
   * @param {Store} store
   * @param {DraftTexts} texts
   */
  constructor(slot, pane, store, texts) {
    this.#store = store;
    this.#drafts = new Drafts(texts);
    this.#typing = new TypingNotice(store);
    this.#outbox = new Outbox(store);
    this.#view = new ComposerView(slot, store, {
      change: (parts) => this.#change(parts),
      cancelEdit: () => this.#cancelEdit(),
      chooseEffect: () => this.#chooseEffect(),
      attach: () => this.#attach(),
    });
    this.#listenToField();
    this.#listenToSendButton();
    listenForFiles(this.#view, pane, (files) => this.#addFiles(files));
    store.onChange((topics) => this.#onChange(topics));
  }

  /**
   * @param {Message} message
   * @param {number} partIndex
   */
  replyTo(message, partIndex) {
    this.#cancelEdit();
    this.#change({ reply: { message, partIndex } });
  }

  /**
   * @param {Message} message
   * @param {number} partIndex
   */
  edit(message, partIndex) {
    this.#change(draftOfEdit(message, partIndex, this.#drafts.current));
  }

  focus() {
    this.#view.focus();
  }

  #listenToField() {
    const { field } = this.#view;
    field.addEventListener("input", () => {
      this.#setText(field.value);
      this.#view.grow();
      this.#render();
      this.#typing.typed(field.value);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#send();
      } else if (event.key === "Escape") this.#cancelReplyAndEdit();
    });
    field.addEventListener("blur", () => this.#typing.stop());
  }

  #listenToSendButton() {
    const { form, sendButton } = this.#view;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let press;
    sendButton.addEventListener("pointerdown", () => {
      press = setTimeout(() => this.#view.offersEffects && this.#chooseEffect(), LONG_PRESS_MS);
    });
    for (const type of ["pointerup", "pointerleave"]) sendButton.addEventListener(type, () => clearTimeout(press));
  }

  /** @param {Set<Topic>} topics */
  #onChange(topics) {
    if (this.#store.place.view === "list") {
      this.#typing.stop();
      this.#place = this.#store.place;
    } else if (topics.has("place") || topics.has("chats") || topics.has("me")) this.#render();
  }

  #render() {
    const chat = shownChat(this.#store);
    if (!chat) return;
    const key = draftKey(this.#store.me, chat.id);
    const { place } = this.#store;
    // All chats that have not begun share a draft, and a person may come back from the list to the same chat.
    const isEntered = place !== this.#place && (place.view === "draft" || this.#place?.view === "list");
    this.#place = place;
    if (key !== this.#drafts.key) this.#enter(key);
    else if (isEntered && matchMedia("(hover: hover)").matches) this.#view.focus();
    this.#view.render(chat, this.#drafts.current);
  }

  /**
   * Open the draft of another conversation.
   * @param {string} key
   */
  #enter(key) {
    const { isFirst, suggestsMessage } = this.#store;
    this.#typing.stop();
    this.#drafts.open(key);
    if (suggestsMessage && isEmpty(this.#drafts.current)) this.#drafts.current.text = SAMPLE;
    this.#view.setText(this.#drafts.current.text);
    // On a touch screen the keyboard would cover the conversation that was just opened.
    if (isFirst || matchMedia("(hover: hover)").matches) this.#view.focus();
    if (isFirst) this.#view.field.select();
  }

  /** @param {Partial<Draft>} parts */
  #change(parts) {
    if (parts.text !== undefined) this.#setText(parts.text);
    Object.assign(this.#drafts.current, parts);
    this.#drafts.keepText();
    if (parts.text !== undefined) this.#view.setText(parts.text);
    this.#render();
    this.#view.focus();
  }

  /** @param {string} text */
  #setText(text) {
    const { current } = this.#drafts;
    current.decorations = moved(current.decorations, current.text, text);
    current.text = text;
    this.#drafts.keepText();
  }

  #attach() {
    const chat = shownChat(this.#store);
    if (!chat) return;
    openAttachMenu(this.#store, chat, {
      addFiles: (files) => this.#addFiles(files),
      chooseFiles: (accept) => this.#view.chooseFiles(accept),
    });
  }

  #cancelReplyAndEdit() {
    if (this.#drafts.current.reply) this.#change({ reply: null });
    this.#cancelEdit();
  }

  /** Go on with the draft that was being written before the edit. */
  #cancelEdit() {
    const { current } = this.#drafts;
    if (current.edit) this.#change(draftAfter(current));
  }

  #chooseEffect() {
    openEffectPicker(this.#drafts.current.effect, (effect) => this.#change({ effect }));
  }

  /** @param {File[]} files */
  #addFiles(files) {
    const chat = shownChat(this.#store);
    if (!chat || !canWrite(chat, this.#store.me)) return;
    if (this.#drafts.current.edit) {
      toast("An edit has text only. Save it or cancel it, then add the file.");
      return;
    }
    const accepted = files.filter((file) => file.size <= MAX_FILE_BYTES);
    if (accepted.length < files.length) toast(`A file may have at most ${fileSize(MAX_FILE_BYTES)}.`);
    this.#change({ files: [...this.#drafts.current.files, ...accepted] });
  }

  #send() {
    const { current, key } = this.#drafts;
    const chat = shownChat(this.#store);
    if (!chat || isEmpty(current)) return;
    const decorations = trimmed(current.decorations, current.text);
    const draft = { ...current, text: current.text.trim(), decorations };
    this.#typing.forget();
    this.#change(draftAfter(current));
    const { place, me } = this.#store;
    this.#outbox.send(
      { draft, chat, place, me },
      {
        // The person may be writing the next message already.
        onBegun: (chatId) => this.#drafts.moveTo(draftKey(me, chatId)),
        onRefused: (error) => {
          toast(`Not delivered: ${messageOf(error)}`);
          // Unless the person writes something else by now, or in another conversation.
          if (this.#drafts.key === key && isEmpty(this.#drafts.current)) this.#change(draft);
        },
      },
    );
  }
}
