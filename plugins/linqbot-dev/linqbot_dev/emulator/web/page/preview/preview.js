// The dialog that shows what the bot has sent on iMessage, RCS and SMS, side by side. The bot's process makes the forms,
// as `ctx.preview` does; the bubbles are those of the phone.

import { h } from "../elements/dom.js";
import { icon, iconButton } from "../elements/icons.js";
import { partBubble } from "../messages/bubble.js";
import { effectTitle } from "../model/content/effect-names.js";

/** @import { Message, Part, PreviewedForm, PreviewedMessage, PreviewedSend } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

/** @typedef {"imessage" | "rcs" | "sms"} Service */

/** @type {Record<Service, string>} */
const SERVICES = { imessage: "iMessage", rcs: "RCS", sms: "SMS" };

/** @type {Record<string, string>} What a service does not have, and what it shows instead. */
const DEGRADED = {
  effect: "No effect",
  voice_memo: "No voice memo",
  poll: "No poll: a list",
  sticker: "No sticker: a photo",
  app_card: "No app card: a text",
  location_request: "No location request",
};

/** @type {Record<string, [string, string]>} The icon and the words of what the bot asks Linq to show. */
const ACTS = {
  contact_card: ["card", "Contact card of the bot"],
  location_request: ["pin", "Request to share a location"],
  experience: ["sparkles", "Experience"],
};

/**
 * Show a send on each service.
 * @param {Store} store
 * @param {Message} message One of its messages.
 * @param {PreviewedSend} send
 */
export function openPreview(store, message, send) {
  const sent = partsOf(store, message, send);
  const here = (message.service ?? "iMessage").toLowerCase();
  const services = /** @type {Service[]} */ (Object.keys(SERVICES));
  /** @type {HTMLDialogElement} */
  const dialog = h(
    "dialog",
    {
      class: "preview",
      "aria-labelledby": "preview-title",
      on: { click: (event) => event.target === dialog && dialog.close(), close: () => dialog.remove() },
    },
    h(
      "header",
      { class: "panel-bar" },
      h("h2", { id: "preview-title" }, "Preview"),
      iconButton("close", "Close the preview", () => dialog.close()),
    ),
    h(
      "div",
      { class: "preview-forms" },
      services.map((service) => formSection(service, send[service], sent, service === here)),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Return the parts of the messages that were sent, whose files and pictures the forms show.
 * @param {Store} store
 * @param {Message} message
 * @param {PreviewedSend} send
 */
function partsOf(store, message, { message_ids: ids }) {
  const messages = store.chats.get(message.chat_id)?.messages;
  return ids.flatMap((id) => messages?.get(id)?.parts ?? []);
}

/**
 * @param {Service} service
 * @param {PreviewedForm} form
 * @param {Part[]} sent
 * @param {boolean} isHere
 */
function formSection(service, { messages, degraded }, sent, isHere) {
  return h(
    "section",
    { class: `preview-form ${service}`, "aria-label": SERVICES[service] },
    h("h3", {}, SERVICES[service], isHere && h("small", {}, "this chat")),
    messages.map((one) => messageNode(service, one, sent)),
    messages.length === 0 && h("p", { class: "fine" }, "Nothing is sent."),
    degraded.length > 0 &&
      h(
        "ul",
        { class: "preview-lacks", "aria-label": `What ${SERVICES[service]} does not have` },
        degraded.map((what) => h("li", {}, DEGRADED[what] ?? what.replaceAll("_", " "))),
      ),
  );
}

/**
 * @param {Service} service
 * @param {PreviewedMessage} message
 * @param {Part[]} sent
 */
function messageNode(service, message, sent) {
  const bubbles = bubblesOf(message, sent);
  const rows = bubbles.map((bubble) => h("div", { class: "row" }, h("div", { class: "wrap" }, bubble)));
  const effect = message.effect && h("p", { class: "fine" }, `Sent with ${effectTitle(message.effect)}`);
  return h("div", { class: `msg other first last ${service}` }, rows, effect);
}

/**
 * @param {PreviewedMessage} message
 * @param {Part[]} sent
 */
function bubblesOf({ kind, text, files, parts }, sent) {
  if (parts.length > 0) return parts.map((part) => partBubble(asSent(part, sent)));
  if (kind === "poll") return [h("div", { class: "bubble card-bubble" }, pollOptions(text.split("\n")))];
  if (kind === "voice_memo") return files.map((filename) => partBubble(asSent({ type: "media", filename }, sent)));
  return [act(kind)];
}

/** @param {string} kind */
function act(kind) {
  const [name, words] = ACTS[kind] ?? ["info", kind];
  return h("div", { class: "bubble text preview-act" }, icon(name), words);
}

/** @param {string[]} options */
const pollOptions = (options) =>
  h(
    "div",
    { class: "poll" },
    h("small", {}, icon("poll"), "Poll"),
    options.map((option) =>
      h(
        "span",
        { class: "poll-option" },
        h("span", { class: "poll-check" }),
        h("span", { class: "poll-text" }, option),
      ),
    ),
  );

/**
 * Return a file as it was sent, so that a picture is shown and not only its name; other parts as they are.
 * @param {Part} part
 * @param {Part[]} sent
 * @returns {Part}
 */
function asSent(part, sent) {
  if (part.type !== "media") return part;
  const name = part.filename ?? part.url;
  const found = sent.find((one) => one.type === "media" && (one.filename === name || one.url === name));
  return found ? { ...found, sticker: part.sticker } : { ...part, filename: name };
}
