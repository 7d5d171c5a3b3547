// Building and updating elements. Whatever comes out of a message passes through here as a text node or an
// attribute that cannot run: there is no innerHTML in this page, and the CSP allows no inline style or script.

const SVG = "http://www.w3.org/2000/svg";

const WEB = ["http:", "https:"];

/** An address of the web, parsed; null for any other, such as `javascript:` and `data:`, and for a relative one. */
export function webUrl(address) {
  const parsed = URL.parse(address ?? "");
  return parsed && WEB.includes(parsed.protocol) ? parsed : null;
}

// The last check of every address in this page. `blob:` is a file that the person has just chosen.
const mayLoad = (address) => [...WEB, "blob:"].includes(URL.parse(address, location.href)?.protocol);

/** An element. Props: `class`, `on: {click: …}`, `dataset`, anything else is an attribute; strings become text. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (["href", "src"].includes(name) && !mayLoad(value)) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Put the drawings into the page, once: as an external `use`, each icon would fetch the file when it first shows. */
export async function loadIcons() {
  const answer = await fetch("./icons.svg");
  const drawings = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
  document.body.prepend(document.adoptNode(drawings));
}

/** A drawing from icons.svg; decorative, the button around it carries the label. */
export function icon(name, cls = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${cls}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export function iconButton(name, label, onClick, cls = "") {
  return h(
    "button",
    { type: "button", class: `icon-button ${cls}`.trim(), "aria-label": label, title: label, on: { click: onClick } },
    icon(name),
  );
}

const versions = new WeakMap();

/**
 * Make `parent` show `items` in order, keeping the nodes of items that did not change. A node that stays keeps its
 * playing video, its hover and its animation.
 * @param items `{key, version, build(): Node, place?(node)}`; a node is rebuilt when `version` differs, and told its
 *   place among the others every time.
 */
export function reconcile(parent, items) {
  const wanted = new Set(items.map((item) => item.key));
  // First, so that a node that stays is never moved: moving restarts its animation.
  for (const node of [...parent.children]) if (!wanted.has(node.dataset.key)) node.remove();
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let next = parent.firstElementChild;
  for (const { key, version, build, place } of items) {
    const known = old.get(key);
    let node = known;
    if (!known || versions.get(known) !== version) {
      node = build();
      node.dataset.key = key;
      versions.set(node, version);
    }
    if (known && known !== node) {
      if (known === next) next = node;
      known.replaceWith(node);
    }
    if (node === next) next = node.nextElementSibling;
    else parent.insertBefore(node, next);
    place?.(node);
  }
}

export const prefersCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

let toastTimer;

/** One sentence over the phone for a few seconds. */
export function toast(text) {
  const node = document.getElementById("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    node.hidden = true;
  }, 5000);
}
