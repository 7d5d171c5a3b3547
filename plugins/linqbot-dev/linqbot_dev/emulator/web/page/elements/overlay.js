// A layer over the phone's screen that has the keyboard until it is closed.

import { byId, find, h } from "./dom.js";
import { cycleFocus } from "./focus.js";

/** @import { Child } from "./dom.js" */

/** @type {HTMLElement[]} The open layers, the top one last. */
const layers = [];

/**
 * Open a layer. A click next to its content and the Escape key close it.
 * @param {Record<string, string>} props Attributes of the layer.
 * @param {Child[]} content
 * @param {() => void} onClose Called once, after the layer is gone; gives the focus back.
 * @returns {() => void} Closes the layer; does nothing when it is closed already.
 */
export function openOverlay(props, content, onClose) {
  const screen = byId("screen");
  const panes = find(screen, ".panes");
  /** @type {HTMLElement} */
  const layer = h(
    "div",
    {
      ...props,
      on: {
        click: (event) => event.target === layer && close(),
      },
    },
    content,
  );

  // Listens on the document: the element with the focus may just have been replaced.
  const closeOnEscape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || layers.at(-1) !== layer) return;
    event.stopPropagation();
    close();
  };

  function close() {
    if (!layer.isConnected) return;
    layers.splice(layers.indexOf(layer), 1);
    document.removeEventListener("keydown", closeOnEscape, true);
    layer.remove();
    panes.inert = layers.length > 0;
    onClose();
  }

  cycleFocus(layer);
  layers.push(layer);
  document.addEventListener("keydown", closeOnEscape, true);
  panes.inert = true;
  screen.append(layer);
  return close;
}
