// A layer over the phone's screen that has the keyboard until it is closed.

import { byId, find, h } from "./dom.js";

/** @import { Child } from "./dom.js" */

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
        keydown: (event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          close();
        },
      },
    },
    content,
  );

  function close() {
    if (!layer.isConnected) return;
    layer.remove();
    panes.inert = false;
    onClose();
  }

  panes.inert = true;
  screen.append(layer);
  return close;
}
