// Buttons that copy a text.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { messageOf } from "../elements/toast.js";

const SHOWN_MS = 8000;

/**
 * Make a button that copies what `make` returns, and says so. If the browser refuses the clipboard, the text appears
 * next to the button, selected, to be copied by hand.
 * @param {string} label
 * @param {() => string | Promise<string>} make
 */
export function copyButton(label, make) {
  const text = h("span", {}, label);
  const note = h("span", { class: "copy-note", role: "status" });
  const button = h("button", { type: "button", class: "pill small", on: { click: copy } }, icon("copy"), text);
  const wrap = h("span", { class: "copy" }, button, note);

  /** @param {string} message */
  function say(message) {
    note.textContent = message;
    setTimeout(() => {
      note.textContent = "";
    }, SHOWN_MS);
  }

  async function copy() {
    wrap.parentElement?.querySelector(".copy-text")?.remove();
    try {
      const copied = await make();
      if (await copyText(copied)) say("Copied");
      else showText(wrap, label, copied);
    } catch (error) {
      say(messageOf(error));
    }
  }

  return wrap;
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

/**
 * @param {HTMLElement} wrap
 * @param {string} label
 * @param {string} text
 */
function showText(wrap, label, text) {
  const field = h("textarea", {
    class: "copy-text",
    readonly: true,
    rows: "8",
    "aria-label": `${label}: copy this text`,
  });
  field.value = text;
  wrap.parentElement?.append(field);
  field.focus();
  field.select();
}
