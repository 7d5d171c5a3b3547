// The keyboard in the transcript. It has one tab stop: what has the focus in it, otherwise its last message. The arrows move
// up and down among the messages, and sideways among the buttons of a message.

import { focusables } from "../elements/focus.js";

/** @type {Record<string, (at: number, last: number) => number>} */
const MOVES = {
  ArrowUp: (at) => at - 1,
  ArrowDown: (at) => at + 1,
  ArrowLeft: (at) => at - 1,
  ArrowRight: (at) => at + 1,
  Home: () => 0,
  End: (_, last) => last,
};
/** Elements that use the arrows themselves. */
const OWN_ARROWS = "input, audio, video";

/**
 * @param {HTMLElement} log
 * @param {() => void} leave Called for the Escape key.
 */
export function listenForTranscriptKeys(log, leave) {
  const rows = () => focusables(log).filter((node) => node.parentElement === log);

  function setStop() {
    const stop = log.contains(document.activeElement) ? document.activeElement : rows().at(-1);
    for (const node of focusables(log)) node.tabIndex = node === stop ? 0 : -1;
  }

  // Parts of a message come late, such as the card of a file.
  new MutationObserver(setStop).observe(log, { childList: true, subtree: true });
  for (const type of ["focusin", "focusout"]) log.addEventListener(type, setStop);

  log.addEventListener("keydown", (event) => {
    const node = /** @type {HTMLElement} */ (event.target);
    const isPlain = !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);
    if (event.key === "Escape") leave();
    else if (isPlain && !node.matches(OWN_ARROWS)) press(event, node);
  });

  /**
   * @param {KeyboardEvent} event
   * @param {HTMLElement} node The element with the focus.
   */
  function press(event, node) {
    const all = rows();
    const row = all.find((one) => one.contains(node));
    if (event.key === "Enter" && node === row) openMenu(row);
    const [among, at] = /Left|Right/.test(event.key) && row ? [reachable(row), node] : [all, row];
    const move = MOVES[event.key];
    if (!move || !at) return;
    event.preventDefault();
    among[move(among.indexOf(at), among.length - 1)]?.focus();
  }
}

/** @param {HTMLElement} row */
const reachable = (row) => focusables(row).filter((node) => node.checkVisibility() && !node.matches(":disabled"));

/** @param {HTMLElement} row */
const openMenu = (row) => /** @type {HTMLElement | null} */ (row.querySelector(".react-button"))?.click();
