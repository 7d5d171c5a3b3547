// Making and finding elements. The text of a message becomes a text node here, or an attribute that cannot run: the
// page uses no innerHTML, and its content security policy allows no inline style and no inline script.

import { mayLoad } from "./urls.js";

/** @typedef {Node | string | false | null | undefined} Child */
/** @typedef {{ [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => unknown }} Listeners */
/** @typedef {string | boolean | null | undefined} Attribute False, null and undefined leave the attribute out. */
/**
 * Listeners by event in `on`, data attributes in `dataset`; each further property is an attribute.
 * @typedef {{ on?: Listeners, dataset?: Record<string, string>, [attribute: string]:
 *   Attribute | Listeners | Record<string, string> }} Props
 */

/**
 * Make an element. Strings among the children become text nodes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props} [props]
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, { on, dataset, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, /** @type {Attribute} */ (value));
  for (const [type, listener] of Object.entries(on ?? {})) {
    node.addEventListener(type, /** @type {EventListener} */ (listener));
  }
  Object.assign(node.dataset, dataset);
  for (const child of children.flat()) if (child || child === "") node.append(child);
  return node;
}

/**
 * Make a button.
 * @param {(event: MouseEvent) => unknown} click
 * @param {Omit<Props, "on">} props
 * @param {(Child | Child[])[]} content
 */
export const buttonTo = (click, props, ...content) =>
  h("button", { type: "button", ...props, on: { click } }, ...content);

/**
 * Make a form that the page itself submits.
 * @param {() => unknown} submit
 * @param {Omit<Props, "on">} props
 * @param {(Child | Child[])[]} content
 */
export function formTo(submit, props, ...content) {
  const listener = (/** @type {Event} */ event) => {
    event.preventDefault();
    submit();
  };
  return h("form", { ...props, on: { submit: listener } }, ...content);
}

/**
 * @param {HTMLElement} node
 * @param {string} name
 * @param {Attribute} value
 */
function setAttribute(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (["href", "src"].includes(name) && !mayLoad(String(value))) return;
  node.setAttribute(name, value === true ? "" : value);
}

/**
 * Return an element of index.html.
 * @param {string} id
 * @throws {Error} index.html has no such element.
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`index.html has no element with the id ${id}`);
  return node;
}

/**
 * Return the first element below `root` that fits a selector.
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement}
 * @throws {Error} None fits.
 */
export function find(root, selector) {
  const node = root.querySelector(selector);
  if (!(node instanceof HTMLElement)) throw new Error(`No element fits ${selector}`);
  return node;
}

export const prefersReducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
