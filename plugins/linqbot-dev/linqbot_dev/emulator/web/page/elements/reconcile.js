// Updating elements in place. The focus, and texts that a person has begun to write, stay where they are.

import { keepingFocus } from "./focus.js";

/**
 * An element to show. `build` makes it, and makes it again when `version` has changed. `update` is called each time,
 * for a built element and for a kept one.
 * @typedef {{ key: string, version: string, build: () => HTMLElement, update?: (node: HTMLElement) => void }} Item
 */

/** @type {WeakMap<HTMLElement, string>} */
const versions = new WeakMap();

/**
 * Show `items` in order as the children of `parent`. The elements of unchanged items are kept, with their playing
 * videos, their hover state and their animations.
 * @param {HTMLElement} parent
 * @param {Item[]} items
 */
export const reconcile = (parent, items) => keepingFocus(parent, () => update(parent, items));

/** @type {WeakMap<HTMLElement, string>} */
const contents = new WeakMap();

/**
 * Show what `build` makes as the children of `parent`, unless this version is shown already.
 * @param {HTMLElement} parent
 * @param {string} version
 * @param {() => (Node | string)[]} build
 */
export function showVersion(parent, version, build) {
  if (contents.get(parent) === version) return;
  contents.set(parent, version);
  keepingFocus(parent, () => parent.replaceChildren(...build()));
}

/**
 * @param {HTMLElement} parent
 * @param {Item[]} items
 */
function update(parent, items) {
  const old = removeOthers(parent, new Set(items.map((item) => item.key)));
  let next = parent.firstElementChild;
  for (const { key, version, build, update: refresh } of items) {
    const known = old.get(key);
    // An element in which a person selects a text stays until the first update after that.
    const isKept = known && (versions.get(known) === version || known.querySelector("textarea:focus"));
    const node = known && isKept ? known : built(key, version, build);
    if (known && known !== node) {
      if (known === next) next = node;
      known.replaceWith(node);
    }
    if (node === next) next = node.nextElementSibling;
    else parent.insertBefore(node, next);
    refresh?.(node);
  }
}

/**
 * Remove the children whose keys are not wanted, and return the rest by key. This comes first, so that a kept element
 * is never moved: moving it would restart its animation.
 * @param {HTMLElement} parent
 * @param {Set<string>} wanted
 */
function removeOthers(parent, wanted) {
  /** @type {Map<string, HTMLElement>} */
  const kept = new Map();
  for (const node of /** @type {HTMLElement[]} */ ([...parent.children])) {
    const key = node.dataset.key ?? "";
    if (wanted.has(key)) kept.set(key, node);
    else node.remove();
  }
  return kept;
}

/**
 * @param {string} key
 * @param {string} version
 * @param {() => HTMLElement} build
 */
function built(key, version, build) {
  const node = build();
  node.dataset.key = key;
  versions.set(node, version);
  return node;
}
