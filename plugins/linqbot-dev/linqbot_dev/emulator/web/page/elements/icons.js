// The drawings of icons.svg.

import { buttonTo, h } from "./dom.js";

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
  return buttonTo(onClick, { class: classes, "aria-label": label, title: label }, icon(name));
}

/**
 * Return an icon as a PNG picture.
 * @param {string} name An icon with colours of its own.
 * @param {number} size In pixels.
 * @returns {Promise<Blob>}
 */
export async function iconPicture(name, size) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ width: size, height: size, viewBox: "0 0 24 24" })) {
    svg.setAttribute(key, String(value));
  }
  for (const shape of document.getElementById(`icon-${name}`)?.children ?? []) svg.append(shape.cloneNode(true));
  const source = new XMLSerializer().serializeToString(svg);
  const url = URL.createObjectURL(new Blob([source], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = url;
  await image.decode();
  URL.revokeObjectURL(url);
  const canvas = h("canvas", { width: String(size), height: String(size) });
  canvas.getContext("2d")?.drawImage(image, 0, 0, size, size);
  return new Promise((resolve, reject) =>
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error(`The icon ${name} could not be drawn`))),
      "image/png",
    ),
  );
}
