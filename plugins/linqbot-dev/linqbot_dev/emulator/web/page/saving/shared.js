// One HTML file that plays a conversation: the phone as it looks here, with its styles, and a player in place of the
// composer. The file is made from what the phone shows. Webhooks, calls, tracebacks and ids are not in it, and it may load
// nothing: its content security policy forbids every request.

import { TranscriptWindow } from "../conversation/window.js";
import { transcriptItems } from "../conversation/transcript.js";
import { find, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { reconcile } from "../elements/reconcile.js";
import { webUrl } from "../elements/urls.js";
import { latestTurn } from "../inspector/outcome.js";
import { asSeenBy, countOf } from "../model/chats.js";
import { BUBBLE_EFFECTS } from "../model/content/effect-names.js";
import { exchangesOf } from "../model/exchanges.js";
import { chatTitle } from "../model/names.js";
import { maskedText } from "./masking.js";

/** @import { Chat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */
/** @import { MessageView } from "../messages/message.js" */

const POLICY =
  "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
/** What a person does with a message on the phone, and texts that an edit has replaced. */
const ACTIONS =
  ".react-button, .inspect-button, .replay, .poll-add, .payment-actions, .edit-history, .bar-tools, .back, audio";
const OTHERS = ".pane-list, .composer-slot, .strip:empty, .reconnecting, .toast, .backdrop, canvas, .echo-layer";
/** The days of the file are dates: it is played on another day. @type {Intl.DateTimeFormatOptions} */
const DATE = { day: "numeric", month: "long", year: "numeric" };
/** A file that is larger is shown by its name. */
const MOST_BYTES = 5 * 2 ** 20;

/**
 * Return the file.
 * @param {Store} store
 * @param {Chat} chat
 * @param {{ showsHandles: boolean }} options False masks phone numbers and e-mail addresses.
 */
export async function sharedPage(store, chat, { showsHandles }) {
  const phone = await phoneOf(store, chat);
  const [styles, player] = await Promise.all([stylesOf(), textOf(new URL("./player.js", import.meta.url).href)]);
  let title = `${chatTitle(store, asSeenBy(chat, store.me))} · linqbot`;
  if (!showsHandles) {
    const mask = maskOf(store, chat);
    maskIn(phone, mask);
    title = mask(title);
  }
  const main = [drawingsOf(phone), h("h1", { class: "visually-hidden" }, title), phone];
  const head = [
    h("meta", { charset: "utf-8" }),
    h("meta", { "http-equiv": "content-security-policy", content: POLICY }),
    h("meta", { name: "viewport", content: "width=device-width, initial-scale=1, viewport-fit=cover" }),
    h("meta", { name: "color-scheme", content: "light dark" }),
    h("title", {}, title),
    h("style", {}, styles),
  ];
  const body = `<main class="stage">\n${sourceOf(main)}\n</main>\n<script type="module">\n${player}</script>`;
  return (
    `<!doctype html>\n<html lang="en">\n<head>\n${sourceOf(head)}\n</head>\n` +
    `<body class="shared">\n${body}\n</body>\n</html>\n`
  );
}

/** @param {Element[]} nodes */
const sourceOf = (nodes) => nodes.map((node) => node.outerHTML).join("\n");

/**
 * Return a copy of the phone with all messages of a chat, and without what only works here.
 * @param {Store} store
 * @param {Chat} chat
 */
async function phoneOf(store, chat) {
  const screen = find(document, "#screen");
  const phone = h("section", { class: "phone", "aria-label": "Phone" });
  phone.append(screen.cloneNode(true));
  for (const node of phone.querySelectorAll(OTHERS)) node.remove();
  for (const node of phone.querySelectorAll("[inert]")) node.removeAttribute("inert");
  const log = logOf(store, chat, screen);
  find(phone, ".log").replaceWith(log);
  find(phone, ".pane-chat").append(playerBar());
  for (const node of phone.querySelectorAll(ACTIONS)) node.remove();
  // A document that is not shown: in this one each picture would be loaded, which the page's policy forbids for `data:`.
  document.implementation.createHTMLDocument().body.append(phone);
  for (const button of phone.querySelectorAll(":is(.log, .chat-bar, .strip) button")) replaceByText(button);
  await Promise.all([...phone.querySelectorAll("img, video")].map(putFileInside));
  await putPhotoInside(find(phone, ".pane-chat"));
  for (const link of phone.querySelectorAll("a")) checkLink(link);
  for (const node of [phone, ...phone.querySelectorAll("*")]) removeIds(node);
  return phone;
}

/**
 * @param {Store} store
 * @param {Chat} chat
 * @param {HTMLElement} screen
 */
function logOf(store, chat, screen) {
  const log = h("div", { class: "log", role: "log", "aria-label": "Messages" });
  const shown = new TranscriptWindow();
  shown.showAll(countOf(chat));
  const nothing = () => {};
  /** @type {MessageView} */
  const view = {
    ...{ store, chat: { ...asSeenBy(chat, store.me), typing: new Set() }, screen, changed: nothing },
    ...{ openThread: nothing, stickTo: nothing, composer: /** @type {any} */ (null) },
  };
  const arrivals = /** @type {any} */ ({ enter: nothing });
  const items = transcriptItems(view, { shown, showEarlier: nothing, showLater: nothing, arrivals });
  reconcile(
    log,
    items.filter(({ key }) => key !== "switch"),
  );
  for (const time of /** @type {NodeListOf<HTMLElement>} */ (log.querySelectorAll(".time"))) {
    const message = chat.messages.get(time.dataset.key?.split(" ")[1] ?? "");
    if (message) find(time, "strong").textContent = new Date(message.created_at).toLocaleDateString("en", DATE);
  }
  const failed = failuresOf(store);
  for (const article of /** @type {NodeListOf<HTMLElement>} */ (log.querySelectorAll("article"))) {
    const id = article.dataset.id ?? "";
    const error = failed.get(id);
    if (error) article.append(h("p", { class: "fine outcome-note bad" }, error));
    const effect = chat.messages.get(id)?.effect?.name ?? "";
    if (effect in BUBBLE_EFFECTS) article.dataset.effect = effect;
  }
  return log;
}

/**
 * Return the names of the errors with which messages failed, by the ids of the messages: the name, and no more.
 * @param {Store} store
 */
function failuresOf(store) {
  /** @type {Map<string, string>} */
  const names = new Map();
  for (const exchange of exchangesOf(store.traces.list)) {
    const error = latestTurn(exchange)?.error;
    if (error && exchange.eventType === "message.received") names.set(exchange.messageId ?? "", error.type);
  }
  return names;
}

/** Make the player, to which its script gives its work. */
function playerBar() {
  const step = h("input", { type: "range", id: "player-step", min: "0", value: "0", "aria-label": "Place" });
  return h(
    "div",
    { class: "player", role: "group", "aria-label": "Player", hidden: true },
    h(
      "button",
      { type: "button", id: "player-play", class: "icon-button", "aria-label": "Play", title: "Play" },
      icon("play"),
      icon("pause"),
    ),
    step,
  );
}

/**
 * Put the content of a button in its place: there is nothing to press in the file.
 * @param {Element} button
 */
function replaceByText(button) {
  const text = h("span", { class: button.className }, ...button.childNodes);
  const label = button.getAttribute("aria-label");
  if (label && !text.textContent) text.append(h("span", { class: "visually-hidden" }, label));
  button.replaceWith(text);
}

/**
 * Put a picture or a video into the file; its name, if it cannot be.
 * @param {Element} node
 */
async function putFileInside(node) {
  const inside = await dataUrl(node.getAttribute("src") ?? "");
  if (inside) node.setAttribute("src", inside);
  else node.replaceWith(h("span", { class: "file-card" }, node.getAttribute("alt") ?? "File"));
}

/** @param {HTMLElement} pane */
async function putPhotoInside(pane) {
  const address = /url\("(.*)"\)/.exec(pane.style.getPropertyValue("--photo"))?.[1];
  if (!address) return;
  const inside = await dataUrl(address);
  pane.style.setProperty("--photo", inside ? `url("${inside}")` : "none");
}

/**
 * Return a file as the address of itself; null if it is too large, or is not to be had.
 * @param {string} address
 * @returns {Promise<string | null>}
 */
async function dataUrl(address) {
  const blob = await fetch(address)
    .then((response) => (response.ok ? response.blob() : null))
    .catch(() => null);
  if (!blob || blob.size > MOST_BYTES) return null;
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.readAsDataURL(blob);
  });
}

/**
 * Keep a link to the web, and the text of any other.
 * @param {HTMLAnchorElement} link
 */
function checkLink(link) {
  const url = webUrl(link.getAttribute("href"));
  const isHere = url && (url.origin === location.origin || /^(localhost|127\.|\[::1\])/.test(url.hostname));
  if (url && !isHere) return;
  link.replaceWith(h("span", { class: link.className }, ...link.childNodes));
}

/** @param {Element} node */
function removeIds(node) {
  for (const name of ["data-id", "data-key", "data-message", "data-part", "tabindex"]) node.removeAttribute(name);
  if (!node.id.startsWith("player-")) node.removeAttribute("id");
}

/**
 * @param {Store} store
 * @param {Chat} chat
 */
function maskOf(store, chat) {
  const handles = [store.me, ...(chat.handles ?? []), ...store.lines.map((line) => line.phone_number)];
  const known = handles.map((one) => (typeof one === "string" ? one : one.handle));
  return (/** @type {string} */ text) => maskedText(text, known);
}

/**
 * Mask the handles in the texts and the attributes of an element.
 * @param {HTMLElement} root
 * @param {(text: string) => string} mask
 */
function maskIn(root, mask) {
  // A number may be in several pieces, such as one that is half bold.
  for (const whole of root.querySelectorAll(".bubble.text, .quote-text")) {
    const text = whole.textContent ?? "";
    if (mask(text) !== text) whole.textContent = mask(text);
  }
  for (const node of root.querySelectorAll("*")) {
    maskAttributes(node, mask);
    for (const child of node.childNodes) if (child instanceof Text) child.data = mask(child.data);
  }
}

/**
 * @param {Element} node
 * @param {(text: string) => string} mask
 */
function maskAttributes(node, mask) {
  for (const { name, value } of [...node.attributes]) {
    if (["src", "style", "class"].includes(name) || mask(value) === value) continue;
    if (name === "href") node.removeAttribute(name);
    else node.setAttribute(name, mask(value));
  }
}

/**
 * Return the drawings of the icons that an element has.
 * @param {HTMLElement} root
 */
function drawingsOf(root) {
  const names = new Set([...root.querySelectorAll("use")].map((use) => use.getAttribute("href")?.slice(1) ?? ""));
  const drawings = document.querySelector("svg:has(> defs > symbol)")?.cloneNode(true);
  if (!(drawings instanceof SVGElement)) throw new Error("The page has no drawings yet");
  for (const symbol of drawings.querySelectorAll("symbol")) if (!names.has(symbol.id)) symbol.remove();
  return drawings;
}

/** Return the styles of the page, with those of the player, each file that they name inside of them. */
async function stylesOf() {
  const sheets = /** @type {NodeListOf<HTMLLinkElement>} */ (document.querySelectorAll("link[rel=stylesheet]"));
  return (await Promise.all([...sheets].map((sheet) => styleOf(sheet.href)))).join("\n");
}

/** @param {string} address */
async function styleOf(address) {
  let style = (await textOf(address)).replace(/\/\*.*?\*\//gs, "").replace(/^\s+/gm, "");
  for (const [, name] of style.matchAll(/url\("(\.[^"]+)"\)/g)) {
    const inside = await dataUrl(new URL(name, address).href);
    style = style.replaceAll(`url("${name}")`, `url("${inside ?? "data:,"}")`);
  }
  return style;
}

/** @param {string} address */
async function textOf(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The emulator answered ${response.status}`);
  return response.text();
}
