// Sending a draft to the emulator.

import * as control from "../client/control.js";
import { activeMembers, lineOf, nextService } from "../model/chats.js";
import { effectNamed } from "../model/content/effect-names.js";
import { filePart } from "../model/content/files.js";
import { mentionsIn } from "../model/mentions.js";

/** @import { Inbound, InboundPart } from "../client/types.d.ts" */
/** @import { ShownChat } from "../model/chats.js" */
/** @import { Place, Store } from "../model/store.js" */
/** @import { Draft } from "./draft.js" */

/**
 * A draft at the moment it was sent, with its chat, its place and its person.
 * @typedef {{ draft: Draft, chat: ShownChat, place: Place, me: string }} SentDraft
 */

const ONLY_LINK = /^https?:\/\/\S+$/;

/**
 * Return the text of a draft as a part: a link if it is nothing else and stands alone.
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {Draft} draft
 * @param {boolean} isAlone
 * @param {boolean} hasStyles True if the service shows styles and animations.
 * @returns {InboundPart}
 */
function textPart(store, chat, { text: value, decorations }, isAlone, hasStyles) {
  if (isAlone && ONLY_LINK.test(value)) return { type: "link", value };
  const mentions = mentionsIn(store, chat, value);
  const isDecorated = hasStyles && decorations.length > 0;
  return {
    type: "text",
    value,
    ...(mentions.length > 0 && { mentions }),
    ...(isDecorated && { text_decorations: decorations }),
  };
}

/**
 * Return the fields that say where a message goes: to a chat, or to the members of a new one.
 * @param {ShownChat} chat
 * @param {string} me
 */
function recipients(chat, me) {
  if (chat.id) return { chat_id: chat.id };
  const line = lineOf(chat);
  const group = activeMembers(chat)
    .map((member) => member.handle)
    .filter((handle) => handle !== me && handle !== line);
  return { service: chat.service, ...(group.length > 0 && { group }) };
}

/**
 * Return the body of the control API's `inbound`.
 * @param {SentDraft} sent
 * @param {InboundPart[]} parts
 * @returns {Inbound}
 */
export function inboundMessage({ draft, chat, place, me }, parts) {
  const { reply, effect } = draft;
  const service = nextService(place, chat);
  const hasEffect = effect && service === "iMessage";
  return {
    from: me,
    to: lineOf(chat),
    parts,
    ...recipients(chat, me),
    ...(chat.id && service !== (chat.service ?? "iMessage") && { service }),
    ...(reply && { reply_to: { message_id: reply.message.id, part_index: reply.partIndex } }),
    ...(hasEffect && { effect: effectNamed(effect) }),
  };
}

/**
 * Send a draft. After the first message of a conversation, open its chat, unless the person has gone elsewhere. After a
 * message that changes the chat's service, the chat itself has the service.
 * @param {Store} store
 * @param {SentDraft} sent
 * @param {(chatId: string) => void} [onBegun] Called before the chat of a first message is opened.
 * @throws {Error} The emulator refused it.
 */
export async function deliver(store, sent, onBegun = () => {}) {
  const { draft, chat, place, me } = sent;
  const { text, edit } = draft;
  const service = nextService(place, chat);
  if (edit) {
    await control.editMessage({ from: me, message_id: edit.message.id, part_index: edit.partIndex, text });
    return;
  }
  /** @type {InboundPart[]} */
  const parts = await Promise.all(draft.files.map(filePart));
  if (text) parts.push(textPart(store, chat, draft, parts.length === 0, service === "iMessage"));
  const { chat_id: chatId } = await control.sendMessage(inboundMessage(sent, parts));
  const isSwitched = place.view === "chat" && place.service;
  if (!chatId || (chat.id && !isSwitched)) return;
  onceKnown(store, chatId, () => {
    if (store.place !== place) return;
    if (!chat.id) onBegun(chatId);
    store.go({ view: "chat", chatId });
  });
}

/**
 * Call `run` once the store has a chat, or the person has gone elsewhere. The answer to a first message may be here before
 * the event of its chat, and nobody can write in a chat that is not known yet.
 * @param {Store} store
 * @param {string} chatId
 * @param {() => void} run
 */
function onceKnown(store, chatId, run) {
  if (store.chats.has(chatId)) {
    run();
    return;
  }
  const { place } = store;
  const stop = store.onChange(() => {
    if (!store.chats.has(chatId) && store.place === place) return;
    stop();
    run();
  });
}

/** Sends one draft after the other, so that messages arrive in the order they were written. */
export class Outbox {
  #store;
  #last = Promise.resolve();

  /** @param {Store} store */
  constructor(store) {
    this.#store = store;
  }

  /**
   * @param {SentDraft} sent
   * @param {{ onBegun: (chatId: string) => void, onRefused: (error: unknown) => void }} callbacks
   */
  send(sent, { onBegun, onRefused }) {
    this.#last = this.#last.then(() => deliver(this.#store, sent, onBegun)).catch(onRefused);
  }
}
