// The keys of a menu: the arrows move among its entries, Home and End go to the first and the last.

/** @type {Record<string, (at: number, last: number) => number>} */
const MOVES = {
  ArrowDown: (at, last) => (at === last ? 0 : at + 1),
  ArrowUp: (at, last) => (at <= 0 ? last : at - 1),
  Home: () => 0,
  End: (_, last) => last,
};

/** @param {HTMLElement} menu */
export function listenForMenuKeys(menu) {
  menu.addEventListener("keydown", (event) => {
    const entries = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("[role=menuitem]")]);
    const move = MOVES[event.key];
    if (!move || entries.length === 0) return;
    event.preventDefault();
    const at = entries.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    entries[move(at, entries.length - 1)].focus();
  });
}
