// Whether the inspector is open. This is known before its modules have loaded, so that the phone never moves aside.

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
}
