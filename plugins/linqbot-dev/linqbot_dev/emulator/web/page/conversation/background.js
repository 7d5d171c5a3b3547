// The background of a conversation: a colour, a moving sky, water or aurora, or a photo. Only iMessage shows it.

import { localUrl } from "../elements/urls.js";

/** @import { ShownChat } from "../model/chats.js" */

const HEX = /^#?[0-9a-f]{6}$/i;

/**
 * Show a chat's background on the pane of the conversation.
 * @param {HTMLElement} pane
 * @param {ShownChat} chat
 */
export function showBackground(pane, { background, service }) {
  const isShown = background && (service ?? "iMessage") === "iMessage";
  const name = isShown ? [background.type, background.style, background.variant].filter(Boolean).join("-") : "";
  if (name) pane.dataset.background = name;
  else delete pane.dataset.background;
  const shades = (isShown && background.shades?.filter((shade) => HEX.test(shade))) || [];
  setProperty(pane, "--shade-0", shades[0] && hex(shades[0]));
  setProperty(pane, "--shade-1", shades[1] && hex(shades[1]));
  const photo = isShown && background.type === "photo" ? localUrl(background.image_url) : null;
  setProperty(pane, "--photo", photo && `url("${encodeURI(photo).replaceAll('"', "%22")}")`);
}

/** @param {string} shade */
const hex = (shade) => (shade.startsWith("#") ? shade : `#${shade}`);

/**
 * @param {HTMLElement} node
 * @param {string} name
 * @param {string | null | undefined | false} value
 */
function setProperty(node, name, value) {
  if (value) node.style.setProperty(name, value);
  else node.style.removeProperty(name);
}
