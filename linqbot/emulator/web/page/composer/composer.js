// Writing: the field, attachments, replies, edits, effects, and sending. What is unsent is kept per conversation.

import { h, icon, iconButton, toast } from "../elements/dom.js";
import * as control from "../model/control.js";
import { messagePreview, nameIn, shownChat } from "../model/chat.js";
import { openEffectPicker } from "./effect-picker.js";
import { effectNamed, effectTitle } from "../effects/effects.js";
import { filePart, fileSize } from "../conversation/media.js";
import { mentionsIn, mentionSuggestions } from "./mentions.js";
import { activeHandles, lineOf } from "../model/store.js";
import { typingNotice } from "./typing.js";

const PLACEHOLDERS = { iMessage: "iMessage", SMS: "Text Message · SMS", RCS: "Text Message · RCS" };
const MAX_FILE_BYTES = 100_000_000;
const LONG_PRESS_MS = 450;
const SAMPLE = "Hello!";
const ONLY_LINK = /^https?:\/\/\S+$/;

const emptyDraft = () => ({ text: "", files: [], reply: null, edit: null, effect: null });

/**
 * Put the composer into `slot`. Files may be dropped anywhere on `pane`.
 * @returns `{replyTo(message, partIndex), edit(message, partIndex), focus()}`
 */
export function mountComposer(slot, pane, store) {
  const drafts = new Map();
  let key = null;
  let draft = emptyDraft();
  let shownFiles = draft.files;
  let sending = Promise.resolve(); // one after the other, so that messages arrive in the order they were written

  const typing = typingNotice(store);
  const notes = h("div", { class: "composer-notes" });
  const suggestions = h("div", { class: "mention-choices" });
  const files = h("div", { class: "attachments" });
  const field = h("textarea", { rows: "1", "aria-label": "Message", enterkeyhint: "send", autocomplete: "off" });
  const chooser = h("input", {
    type: "file",
    multiple: true,
    class: "visually-hidden",
    tabindex: "-1",
    "aria-label": "Attach files",
  });
  const attach = iconButton("plus", "Attach a file", () => chooser.click(), "attach");
  const effects = iconButton("sparkles", "Send with effect", chooseEffect, "effects");
  const sendButton = h(
    "button",
    { type: "submit", class: "send", "aria-label": "Send", title: "Send (hold for effects)" },
    icon("send"),
  );
  const form = h(
    "form",
    { class: "composer" },
    suggestions,
    notes,
    h(
      "div",
      { class: "composer-row" },
      attach,
      h("div", { class: "field" }, files, h("div", { class: "field-row" }, field, effects, sendButton)),
      chooser,
    ),
  );
  const gone = h("p", { class: "gone-note", hidden: true }, "You are no longer in this conversation.");
  slot.append(form, gone);

  const isEmpty = () => !draft.text.trim() && draft.files.length === 0;

  function grow() {
    field.style.setProperty("height", "auto");
    field.style.setProperty("height", `${field.scrollHeight}px`);
  }

  function note(text, detail, label, drop) {
    return h(
      "div",
      { class: "note" },
      h("span", {}, h("strong", {}, text), " ", detail),
      iconButton("close", label, drop),
    );
  }

  function render() {
    const chat = shownChat(store);
    if (!chat) return;
    const nowKey = `${store.me} ${chat.id ?? "draft"}`;
    if (nowKey !== key) enter(nowKey);
    const isIn = activeHandles(chat).some((member) => member.handle === store.me);
    form.hidden = !isIn;
    gone.hidden = isIn;
    const service = chat.service ?? "iMessage";
    form.className = `composer ${service.toLowerCase()}${isEmpty() ? " empty" : ""}${draft.edit ? " editing" : ""}`;
    field.placeholder = PLACEHOLDERS[service] ?? "Message";
    effects.hidden = service !== "iMessage" || Boolean(draft.edit);
    attach.hidden = Boolean(draft.edit);
    sendButton.disabled = isEmpty();
    sendButton.setAttribute("aria-label", draft.edit ? "Save edit" : "Send");
    notes.replaceChildren(
      ...[
        draft.reply &&
          note(
            `Reply to ${nameIn(store, chat, draft.reply.message.from_handle?.handle)}`,
            messagePreview(draft.reply.message),
            "Cancel reply",
            () => change({ reply: null }),
          ),
        draft.edit && note("Edit message", "", "Cancel edit", () => change({ edit: null, text: "" })),
        draft.effect &&
          note(effectTitle(draft.effect), "will play when you send", "Remove effect", () => change({ effect: null })),
      ].filter(Boolean),
    );
    if (draft.files !== shownFiles) files.replaceChildren(...draft.files.map(preview));
    shownFiles = draft.files;
    suggest(chat);
  }

  function suggest(chat) {
    suggestions.replaceChildren(
      ...mentionSuggestions(store, chat, field, (from, to, name) => {
        field.setRangeText(name, from, to, "end");
        change({ text: field.value });
      }),
    );
  }

  function preview(file) {
    const isPicture = file.type.startsWith("image/");
    const drop = iconButton("close", `Remove ${file.name}`, () =>
      change({ files: draft.files.filter((other) => other !== file) }),
    );
    if (!isPicture)
      return h(
        "div",
        { class: "attachment" },
        icon("doc"),
        h("span", {}, file.name),
        h("small", {}, fileSize(file.size)),
        drop,
      );
    const url = URL.createObjectURL(file);
    return h(
      "div",
      { class: "attachment picture" },
      h("img", { src: url, alt: file.name, on: { load: () => URL.revokeObjectURL(url) } }),
      drop,
    );
  }

  function enter(nowKey) {
    typing.stop();
    if (key) drafts.set(key, draft);
    key = nowKey;
    const isFirst = store.place.first;
    draft = drafts.get(key) ?? emptyDraft();
    if (isFirst && isEmpty()) draft.text = SAMPLE;
    field.value = draft.text;
    grow();
    // On a touch screen the keyboard would cover the conversation just opened.
    if (isFirst || matchMedia("(hover: hover)").matches) focus();
    if (isFirst) field.select();
  }

  function change(parts) {
    Object.assign(draft, parts);
    if ("text" in parts) {
      if (field.value !== draft.text) field.value = draft.text;
      grow();
    }
    render();
    focus();
  }

  // The pane may still be inert under a sheet that is just closing.
  const focus = () => setTimeout(() => field.focus({ preventScroll: true }));

  function chooseEffect() {
    openEffectPicker(draft.effect, (effect) => change({ effect }));
  }

  function addFiles(list) {
    const chosen = [...list];
    if (chosen.some((file) => file.size > MAX_FILE_BYTES))
      toast(`A file may have at most ${fileSize(MAX_FILE_BYTES)}.`);
    change({ files: [...draft.files, ...chosen.filter((file) => file.size <= MAX_FILE_BYTES)] });
  }

  function textPart(chat, value, isAlone) {
    if (isAlone && ONLY_LINK.test(value)) return { type: "link", value };
    const mentions = mentionsIn(store, chat, value);
    return { type: "text", value, ...(mentions.length > 0 && { mentions }) };
  }

  async function submit({ chat, place, me, text, files: chosen, reply, edit, effect }) {
    if (edit) return control.editMessage({ from: me, message_id: edit.message.id, part_index: edit.partIndex, text });
    const parts = await Promise.all(chosen.map(filePart));
    if (text) parts.push(textPart(chat, text, parts.length === 0));
    const message = { from: me, to: lineOf(chat), parts };
    if (chat.id) message.chat_id = chat.id;
    else {
      message.service = chat.service;
      const group = activeHandles(chat)
        .map((member) => member.handle)
        .filter((handle) => handle !== me && handle !== lineOf(chat));
      if (group.length > 0) message.group = group;
    }
    if (reply) message.reply_to = { message_id: reply.message.id, part_index: reply.partIndex };
    if (effect && (chat.service ?? "iMessage") === "iMessage") message.effect = effectNamed(effect);
    const { chat_id: chatId } = await control.sendMessage(message);
    if (!chat.id && store.place === place) store.go({ view: "chat", chatId });
    return undefined;
  }

  function send() {
    if (isEmpty()) return;
    const sent = { ...draft, text: draft.text.trim(), chat: shownChat(store), place: store.place, me: store.me };
    const sentKey = key;
    typing.forget();
    change(emptyDraft());
    sending = sending
      .then(() => submit(sent))
      .catch((error) => {
        toast(`Not delivered: ${error.message}`);
        // Give the words back, unless something new is being written there.
        const { text, files: chosen, reply, edit, effect } = sent;
        if (key === sentKey && isEmpty()) change({ text, files: chosen, reply, edit, effect });
      });
  }

  field.addEventListener("input", () => {
    draft.text = field.value;
    grow();
    render();
    typing.typed(draft.text);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape" && (draft.reply || draft.edit))
      change({ reply: null, edit: null, text: draft.edit ? "" : draft.text });
  });
  field.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) {
      event.preventDefault();
      addFiles(event.clipboardData.files);
    }
  });
  field.addEventListener("blur", () => typing.stop());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  chooser.addEventListener("change", () => {
    addFiles(chooser.files);
    chooser.value = "";
  });

  let hold;
  sendButton.addEventListener("pointerdown", () => {
    hold = setTimeout(() => !effects.hidden && chooseEffect(), LONG_PRESS_MS);
  });
  for (const type of ["pointerup", "pointerleave"]) sendButton.addEventListener(type, () => clearTimeout(hold));

  pane.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    pane.classList.add("dropping");
  });
  pane.addEventListener(
    "dragleave",
    (event) => !pane.contains(event.relatedTarget) && pane.classList.remove("dropping"),
  );
  pane.addEventListener("drop", (event) => {
    event.preventDefault();
    pane.classList.remove("dropping");
    addFiles(event.dataTransfer.files);
  });

  store.onChange((topics) => {
    if (store.place.view === "list") typing.stop();
    else if (topics.has("place") || topics.has("chats") || topics.has("me")) render();
  });

  return {
    focus,
    replyTo: (message, partIndex) => change({ reply: { message, partIndex }, edit: null }),
    edit: (message, partIndex) =>
      change({
        edit: { message, partIndex },
        reply: null,
        effect: null,
        files: [],
        text: message.parts[partIndex].value,
      }),
  };
}
