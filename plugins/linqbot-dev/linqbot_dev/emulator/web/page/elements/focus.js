// The keyboard focus, and texts in fields, while elements are made again. An element that is removed loses the focus, and
// the next Tab would begin at the top of the page.

/** @typedef {{ node: HTMLElement, parent: HTMLElement, index: number }} Place Where an element is among others. */

const FOCUSABLE = "a[href], button, input, select, textarea, summary, audio, video, [tabindex]";
const TEXT_FIELDS = /** @type {"input"} */ ("input:is([type=text], [type=search]), textarea");

/**
 * Remember what has the focus.
 * @returns {() => void} Gives the focus back: to the same element; to its counterpart, if the element was made again; to
 *   its neighbour, if it is gone.
 */
export function rememberFocus() {
  const node = document.activeElement;
  if (!(node instanceof HTMLElement)) return () => {};
  /** @type {Place[]} Of the element and its ancestors. */
  const path = [];
  for (let at = node; at.parentElement; at = at.parentElement) {
    path.push({ node: at, parent: at.parentElement, index: [...at.parentElement.children].indexOf(at) });
  }
  return () => {
    const [broken, ...around] = path.slice(path.findIndex(({ parent }) => parent.isConnected));
    const target = node.isConnected ? node : (counterpart(node, broken) ?? neighbour([broken, ...around]));
    target?.focus({ preventScroll: true });
    if (target && target !== node) copySelection(node, target);
  };
}

/**
 * Change what is below `root`. What had the focus there has it afterwards, and texts that a person has begun to write
 * stay.
 * @param {HTMLElement} root
 * @param {() => void} change
 */
export function keepingFocus(root, change) {
  const active = document.activeElement;
  const giveBack = active !== root && root.contains(active) ? rememberFocus() : null;
  const written = [...root.querySelectorAll(TEXT_FIELDS)].filter(({ value, defaultValue }) => value !== defaultValue);
  change();
  for (const field of written) if (!field.isConnected) copyText(root, field);
  if (giveBack && !active?.isConnected && document.activeElement === document.body) giveBack();
}

/**
 * Return the element that took the place of a removed one: the one of the same name, else of the same kind.
 * @param {HTMLElement} node
 * @param {Place} place Of the part of the page that was removed.
 */
function counterpart(node, { node: removed, parent, index }) {
  const { key } = removed.dataset;
  const children = /** @type {HTMLElement[]} */ ([...parent.children]);
  const next = key ? children.find((child) => child.dataset.key === key) : children[index];
  const before = focusables(removed);
  const likeIt = (/** @type {HTMLElement | undefined} */ root, /** @type {(node: Element) => string} */ traitsOf) => {
    const isAlike = (/** @type {Element} */ other) => traitsOf(other) === traitsOf(node);
    return root && focusables(root).filter(isAlike)[before.filter(isAlike).indexOf(node)];
  };
  return likeIt(next, nameAndKind) ?? (key ? undefined : likeIt(parent, nameAndKind)) ?? likeIt(next, kindOf);
}

/**
 * Return the element that a person reaches next from the place of a removed one.
 * @param {Place[]} places The place, then those of the ancestors.
 */
function neighbour(places) {
  for (const [level, { parent, index }] of places.entries()) {
    const children = /** @type {HTMLElement[]} */ ([...parent.children]);
    const after = children.slice(level === 0 ? index : index + 1).flatMap(focusables);
    const before = children.slice(0, index).flatMap(focusables);
    const found = after.find(isReachable) ?? before.findLast(isReachable);
    if (found) return found;
    if (parent.matches(FOCUSABLE)) return parent;
  }
  return undefined;
}

/**
 * Return the elements that can have the focus: an element itself, and what is in it.
 * @param {HTMLElement} root
 */
export const focusables = (root) =>
  [root, .../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(FOCUSABLE))].filter((node) =>
    node.matches(FOCUSABLE),
  );

/**
 * Keep the Tab key inside a modal part of the page: after its last element comes the first.
 * @param {HTMLElement} root
 */
export function cycleFocus(root) {
  root.addEventListener("keydown", (event) => {
    const reached = event.key === "Tab" ? focusables(root).filter(isReachable) : [];
    const [from, to] = event.shiftKey ? [reached[0], reached.at(-1)] : [reached.at(-1), reached[0]];
    if (!to || document.activeElement !== from) return;
    event.preventDefault();
    to.focus();
  });
}

/** @param {HTMLElement} node */
const isReachable = (node) => node.tabIndex >= 0 && node.checkVisibility() && !node.matches(":disabled");

/** @param {Element} node */
const kindOf = (node) => `${node.localName} ${node.classList[0] ?? ""}`;

/** @param {Element} node */
const nameAndKind = (node) => `${kindOf(node)} ${node.getAttribute("aria-label") ?? node.textContent}`;

/**
 * @param {HTMLElement} root
 * @param {HTMLInputElement} field
 */
function copyText(root, field) {
  const next = [...root.querySelectorAll(TEXT_FIELDS)].find((other) => nameAndKind(other) === nameAndKind(field));
  if (next && next.value === next.defaultValue) next.value = field.value;
}

/**
 * Put the caret where it was.
 * @param {HTMLElement} from
 * @param {HTMLElement} to
 */
function copySelection(from, to) {
  if (!from.matches(TEXT_FIELDS) || !to.matches(TEXT_FIELDS)) return;
  const { selectionStart, selectionEnd } = /** @type {HTMLInputElement} */ (from);
  /** @type {HTMLInputElement} */ (to).setSelectionRange(selectionStart, selectionEnd);
}
