// A note over the phone that goes away by itself.

import { byId } from "./dom.js";

const SHOWN_MS = 5000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Show one sentence for a few seconds, or until the person presses something else.
 * @param {string} text
 */
export function toast(text) {
  const node = byId("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(hide, SHOWN_MS);
  document.addEventListener("pointerdown", hide, { capture: true, once: true });
}

function hide() {
  byId("toast").hidden = true;
}

/**
 * Wait for a call of the control API; show the error if it fails.
 * @param {Promise<unknown>} call
 * @returns {Promise<boolean>} True if it succeeded.
 */
export async function succeeds(call) {
  try {
    await call;
    return true;
  } catch (error) {
    toast(messageOf(error));
    return false;
  }
}

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));
