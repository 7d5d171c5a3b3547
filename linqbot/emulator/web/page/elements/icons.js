// The drawings of icons.svg.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

/** Put the drawings into the page, once. Otherwise each icon would fetch the file when it is first shown. */
export async function loadIcons() {
  const response = await fetch("./icons.svg");
  const drawings = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
  document.body.prepend(document.adoptNode(drawings));
}

/**
 * Make an icon. It is decorative: the button around it has the label.
 * @param {string} name
 * @param {string} [cls] Further classes.
 */
export function icon(name, cls = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${cls}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Make a button that shows an icon.
 * @param {string} name The icon.
 * @param {string} label
 * @param {() => unknown} onClick
 * @param {string} [cls] Further classes.
 */
export function iconButton(name, label, onClick, cls = "") {
  const classes = `icon-button ${cls}`.trim();
  return h(
    "button",
    { type: "button", class: classes, "aria-label": label, title: label, on: { click: onClick } },
    icon(name),
  );
}
