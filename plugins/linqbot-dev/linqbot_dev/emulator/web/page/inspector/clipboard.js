// Buttons that copy a text.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { messageOf } from "../elements/toast.js";

const SHOWN_MS = 8000;

/**
 * Make a button that copies what `make` returns, and says so.
 * @param {string} label
 * @param {() => string | Promise<string>} make
 */
export function copyButton(label, make) {
  const text = h("span", {}, label);
  const note = h("span", { class: "copy-note", role: "status" });
  const button = buttonTo(copy, { class: "pill small" }, icon("copy"), text);

  /** @param {string} message */
  function say(message) {
    note.textContent = message;
    setTimeout(() => {
      note.textContent = "";
    }, SHOWN_MS);
  }

  async function copy() {
    try {
      say((await copyText(await make())) ? "Copied" : "The browser does not let a page copy.");
    } catch (error) {
      say(messageOf(error));
    }
  }

  return h("span", { class: "copy" }, button, note);
}

/**
 * Put a text on the clipboard; return true if the browser took it.
 * @param {string} text
 */
async function copyText(text) {
  try {
    // Missing on a page that is neither on this machine nor served with TLS.
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text);
  }
}

/** @param {string} text */
function copySelection(text) {
  const focused = document.activeElement;
  const field = h("textarea", { class: "visually-hidden", readonly: true, "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  return isCopied;
}
