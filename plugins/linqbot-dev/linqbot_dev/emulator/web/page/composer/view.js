// The elements of the composer. They show a draft.

import { h } from "../elements/dom.js";
import { keepingFocus } from "../elements/focus.js";
import { icon, iconButton } from "../elements/icons.js";
import { canWrite, isMember, nextService, senderOf } from "../model/chats.js";
import { effectTitle } from "../model/content/effect-names.js";
import { fileSize } from "../model/content/files.js";
import { nameIn } from "../model/names.js";
import { messagePreview } from "../model/previews.js";
import { isEmpty } from "./draft.js";
import { richText } from "../messages/text.js";
import { formatButtons } from "./formats.js";
import { listenForArrows, showSuggestions } from "./suggestions.js";

/** @import { Decoration } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */
/** @import { Draft } from "./draft.js" */

/**
 * The acts of the person that the elements pass on. `change` changes the draft.
 * @typedef {{ change: (parts: Partial<Draft>) => void, cancelEdit: () => void, chooseEffect: () => void,
 *   attach: () => void }} Actions
 */

const BOT_GONE = "Your bot is no longer in this conversation. Its number can be added again in the details.";

const PLACEHOLDERS = { iMessage: "iMessage", SMS: "Text Message · SMS", RCS: "Text Message · RCS" };

export class ComposerView {
  #store;
  #actions;
  #notes = h("div", { class: "composer-notes" });
  #suggestions = h("div", { class: "mention-choices", role: "group", "aria-label": "People to mention" });
  #suggested = h("p", { class: "visually-hidden", role: "status" });
  #files = h("div", { class: "attachments" });
  /** @type {File[]} The files whose previews are shown. */
  #shownFiles = [];
  #attach;
  #effects;
  #format;
  #formats = h("div", { class: "formats", role: "toolbar", "aria-label": "Text format", hidden: true });
  #preview = h("p", { class: "format-preview", "aria-label": "Preview", hidden: true });
  /** @type {Draft | null} The draft that is shown. */
  #draft = null;
  #gone = h("p", { class: "gone-note", hidden: true });
  field = h("textarea", { rows: "1", dir: "auto", "aria-label": "Message", enterkeyhint: "send", autocomplete: "off" });
  chooser = h("input", {
    type: "file",
    multiple: true,
    class: "visually-hidden",
    tabindex: "-1",
    "aria-label": "Attach files",
  });
  sendButton = h(
    "button",
    { type: "submit", class: "send", "aria-label": "Send", title: "Send (hold for effects)" },
    icon("send"),
  );
  form;

  /**
   * @param {HTMLElement} slot
   * @param {Store} store
   * @param {Actions} actions
   */
  constructor(slot, store, actions) {
    this.#store = store;
    this.#actions = actions;
    this.#attach = iconButton("plus", "Attach", actions.attach, "attach");
    this.field.addEventListener("select", () => this.#renderFormats());
    this.#format = iconButton("format", "Format text", () => this.#toggleFormats(), "effects format");
    this.#format.setAttribute("aria-expanded", "false");
    this.#effects = iconButton("sparkles", "Send with effect", actions.chooseEffect, "effects");
    const row = h("div", { class: "field-row" }, this.field, this.#format, this.#effects, this.sendButton);
    this.form = h(
      "form",
      { class: "composer" },
      this.#suggested,
      this.#suggestions,
      this.#notes,
      this.#formats,
      this.#preview,
      h("div", { class: "composer-row" }, this.#attach, h("div", { class: "field" }, this.#files, row), this.chooser),
    );
    slot.append(this.form, this.#gone);
    listenForArrows(this.#suggestions, this.field);
  }

  get offersEffects() {
    return !this.#effects.hidden;
  }

  /**
   * Open the browser's file chooser.
   * @param {string} accept The types of files; empty for all.
   */
  chooseFiles(accept) {
    this.chooser.accept = accept;
    this.chooser.click();
  }

  #toggleFormats() {
    this.#formats.hidden = !this.#formats.hidden;
    this.#format.setAttribute("aria-expanded", String(!this.#formats.hidden));
    this.#renderFormats();
    this.focus();
  }

  #renderFormats() {
    const draft = this.#draft;
    this.#preview.hidden = !draft || draft.decorations.length === 0;
    if (draft && !this.#preview.hidden) {
      this.#preview.replaceChildren(richText({ type: "text", value: draft.text, text_decorations: draft.decorations }));
    }
    if (!draft || this.#formats.hidden) return;
    const apply = (/** @type {Decoration[]} */ decorations) => this.#actions.change({ decorations });
    const buttons = formatButtons(this.field, draft.decorations, apply);
    keepingFocus(this.#formats, () => this.#formats.replaceChildren(...buttons));
  }

  /** Focus the field, later: the pane may still be inert under a sheet that is closing. */
  focus() {
    setTimeout(() => this.field.focus({ preventScroll: true }));
  }

  /**
   * Set the field's text and its height.
   * @param {string} text
   */
  setText(text) {
    // Setting the same text would move the caret.
    if (this.field.value !== text) this.field.value = text;
    this.grow();
  }

  /** Make the field as high as its text. */
  grow() {
    this.field.style.setProperty("height", "auto");
    this.field.style.setProperty("height", `${this.field.scrollHeight}px`);
  }

  /**
   * Show everything but the text of a draft.
   * @param {ShownChat} chat
   * @param {Draft} draft
   */
  render(chat, draft) {
    const writes = canWrite(chat, this.#store.me);
    this.form.hidden = !writes;
    this.#gone.hidden = writes;
    this.#gone.textContent = isMember(chat, this.#store.me) ? BOT_GONE : "You are no longer in this conversation.";
    this.#renderForm(nextService(this.#store.place, chat), isEmpty(draft), draft.edit !== null);
    this.#draft = draft;
    this.#renderFormats();
    keepingFocus(this.#notes, () => this.#notes.replaceChildren(...this.#notesOf(chat, draft)));
    this.#renderFiles(draft.files);
    const places = { list: this.#suggestions, status: this.#suggested };
    showSuggestions(places, this.#store, chat, this.field, () => this.#actions.change({ text: this.field.value }));
  }

  /**
   * @param {keyof typeof PLACEHOLDERS} service
   * @param {boolean} nothingToSend
   * @param {boolean} isEdit
   */
  #renderForm(service, nothingToSend, isEdit) {
    const states = [nothingToSend && "empty", isEdit && "editing"].filter(Boolean);
    this.form.className = ["composer", service.toLowerCase(), ...states].join(" ");
    this.field.placeholder = PLACEHOLDERS[service] ?? "Message";
    this.#effects.hidden = service !== "iMessage" || isEdit;
    this.#format.hidden = this.#effects.hidden;
    this.#formats.hidden ||= this.#effects.hidden;
    this.#attach.hidden = isEdit;
    this.sendButton.disabled = nothingToSend;
    this.sendButton.setAttribute("aria-label", isEdit ? "Save edit" : "Send");
  }

  /**
   * @param {ShownChat} chat
   * @param {Draft} draft
   */
  #notesOf(chat, { reply, edit, effect }) {
    const { change, cancelEdit } = this.#actions;
    const notes = [];
    if (reply) {
      const name = nameIn(this.#store, chat, senderOf(reply.message));
      const preview = messagePreview(reply.message);
      notes.push(note(`Reply to ${name}`, preview, "Cancel reply", () => change({ reply: null })));
    }
    if (edit) notes.push(note("Edit message", "", "Cancel edit", cancelEdit));
    if (effect) {
      notes.push(note(effectTitle(effect), "will play when you send", "Remove effect", () => change({ effect: null })));
    }
    return notes;
  }

  /** @param {File[]} files */
  #renderFiles(files) {
    if (files === this.#shownFiles) return;
    this.#shownFiles = files;
    const remove = (/** @type {File} */ file) => () =>
      this.#actions.change({ files: files.filter((other) => other !== file) });
    this.#files.replaceChildren(...files.map((file) => filePreview(file, remove(file))));
  }
}

/**
 * Make a line over the field, with a button that removes it.
 * @param {string} text
 * @param {string} detail
 * @param {string} label The button's.
 * @param {() => void} remove
 */
const note = (text, detail, label, remove) =>
  h("div", { class: "note" }, h("span", {}, h("strong", {}, text), " ", detail), iconButton("close", label, remove));

/**
 * @param {File} file
 * @param {() => void} onRemove
 */
function filePreview(file, onRemove) {
  const remove = iconButton("close", `Remove ${file.name}`, onRemove);
  const named = () => [icon("doc"), h("span", { dir: "auto" }, file.name), h("small", {}, fileSize(file.size))];
  if (file.type.startsWith("audio/")) {
    const audio = h("audio", { src: URL.createObjectURL(file), controls: true, "aria-label": file.name });
    return h("div", { class: "attachment audio" }, audio, remove);
  }
  if (!file.type.startsWith("image/")) return h("div", { class: "attachment" }, ...named(), remove);
  const url = URL.createObjectURL(file);
  // A picture that the browser does not know, such as HEIC, is shown as a file.
  const error = () => {
    preview.replaceWith(h("div", { class: "attachment" }, ...named(), remove));
  };
  const image = h("img", { src: url, alt: file.name, on: { load: () => URL.revokeObjectURL(url), error } });
  const preview = h("div", { class: "attachment picture" }, image, remove);
  return preview;
}
