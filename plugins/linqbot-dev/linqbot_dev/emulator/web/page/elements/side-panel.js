// The panels next to the phone. Whether the inspector is open is known before its modules have loaded, so that the phone
// never moves aside.

import { rememberFocus } from "./focus.js";

const WIDE = matchMedia("(min-width: 1080px)");
const OPEN = "linqbot.inspector";

/** Return true if the inspector is open when the page is opened: on a wide window, unless it was closed before. */
export const isOpenAtFirst = () => WIDE.matches && localStorage.getItem(OPEN) !== "closed";

/** @param {boolean} isOpen Kept for the next visit. */
export const keepOpen = (isOpen) => localStorage.setItem(OPEN, isOpen ? "open" : "closed");

/**
 * @param {HTMLElement} root
 * @param {boolean} isOpen
 */
export function showPanel(root, isOpen) {
  root.hidden = !isOpen;
  document.body.classList.toggle("inspecting", isOpen);
  markOpeners(root);
}

/**
 * Tell screen readers whether a panel is open, at the buttons that open it.
 * @param {HTMLElement} root
 */
export function markOpeners(root) {
  for (const opener of openersOf(root)) opener.setAttribute("aria-expanded", String(!root.hidden));
}

/**
 * Move the focus into a panel that was just opened, and out of one that was closed. The Escape key closes it, unless it
 * clears a search.
 * @param {HTMLElement} root
 * @param {HTMLElement} close Its first button.
 * @returns {() => void} To be called after each change.
 */
export function movingFocus(root, close) {
  root.addEventListener("keydown", ({ key, target }) => {
    const isSearch = target instanceof HTMLInputElement && target.type === "search" && target.value !== "";
    if (key === "Escape" && !isSearch) close.click();
  });
  let giveFocusBack = () => openersOf(root)[0]?.focus({ preventScroll: true });
  return () => {
    if (root.hidden) giveFocusBack();
    else {
      giveFocusBack = rememberFocus();
      close.focus({ preventScroll: true });
    }
  };
}

/** @param {HTMLElement} root */
const openersOf = ({ id }) =>
  /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`[aria-controls="${id}"]`));
