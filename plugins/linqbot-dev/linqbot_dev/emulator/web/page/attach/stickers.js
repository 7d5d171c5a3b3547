// The tray of stickers. A sticker is dragged onto a bubble; when the tray was opened for a bubble, a press is enough.

import { buttonTo, h } from "../elements/dom.js";
import { keepingFocus, rememberFocus } from "../elements/focus.js";
import { icon, iconButton, iconPicture } from "../elements/icons.js";
import { succeeds, toast } from "../elements/toast.js";
import { putSticker } from "../client/control.js";
import { filePart } from "../model/content/files.js";

/** @import { Placement } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

/** @typedef {{ label: string, face: () => Element, picture: () => Promise<File> }} Sticker */
/** @typedef {{ message: string, part: number }} Target A part of a message. */

const DRAWN = ["love", "hearts", "sparkles", "balloons", "confetti", "happy_birthday", "celebration", "fireworks"];
const PIXELS = 160;
const DRAG_PX = 6; // a pointer that moves less presses the sticker
/** @type {Placement} */
const CORNER = { x: 0.95, y: -1 };

/** @type {Sticker[]} Stickers from the person's own pictures; kept as long as the page is open. */
const own = [];

/** @param {string} name */
const drawn = (name) => ({
  label: name.replaceAll("_", " "),
  face: () => icon(`effect-${name}`),
  picture: async () => new File([await iconPicture(`effect-${name}`, PIXELS)], `${name}.png`, { type: "image/png" }),
});

/** @param {File} file */
function fromFile(file) {
  const src = URL.createObjectURL(file);
  return { label: file.name, face: () => h("img", { src, alt: "" }), picture: async () => file };
}

/**
 * Show the tray at the bottom of the screen. It takes nothing from the transcript: bubbles stay in sight.
 * @param {Store} store
 * @param {HTMLElement} screen
 * @param {Target | null} target The bubble that a pressed sticker goes to.
 */
export function openStickerTray(store, screen, target) {
  screen.querySelector(".sticker-tray")?.remove();
  const grid = h("div", { class: "sticker-grid" });
  const chooser = h("input", {
    type: "file",
    accept: "image/*",
    class: "visually-hidden",
    tabindex: "-1",
    "aria-label": "Picture for a sticker",
  });
  const giveFocusBack = rememberFocus();
  const close = () => {
    const hasFocus = tray.contains(document.activeElement);
    tray.remove();
    stop();
    if (hasFocus) giveFocusBack();
  };
  const tray = h(
    "div",
    {
      class: "sticker-tray",
      role: "dialog",
      "aria-label": "Stickers",
      on: { keydown: (event) => event.key === "Escape" && close() },
    },
    h(
      "header",
      {},
      h("span", {}, target ? "Choose a sticker, or drag it onto a message" : "Drag a sticker onto a message"),
      iconButton("close", "Close stickers", close),
    ),
    grid,
    chooser,
  );
  // The tray belongs to the open conversation.
  const place = JSON.stringify(store.place);
  const stop = store.onChange(() => (!tray.isConnected || JSON.stringify(store.place) !== place) && close());

  /** @param {Sticker} sticker */
  function button(sticker) {
    const node = h(
      "button",
      { type: "button", "aria-label": `Sticker ${sticker.label}`, title: sticker.label },
      sticker.face(),
    );
    listenForDrag(node, sticker, screen, (found) => {
      const to = found ?? (target && { ...target, placement: CORNER });
      if (!to) toast("Drag the sticker onto a message, or choose Add Sticker in the message's menu.");
      else put(store, sticker, to);
      if (to) close();
    });
    return node;
  }

  function render() {
    const more = buttonTo(
      () => chooser.click(),
      { class: "more", "aria-label": "Sticker from a picture" },
      icon("plus"),
    );
    keepingFocus(grid, () => grid.replaceChildren(...[...own, ...DRAWN.map(drawn)].map(button), more));
  }

  chooser.addEventListener("change", () => {
    own.unshift(...[...(chooser.files ?? [])].map(fromFile));
    chooser.value = "";
    render();
  });
  render();
  screen.append(tray);
  /** @type {HTMLElement | null} */ (grid.firstElementChild)?.focus({ preventScroll: true });
}

/**
 * @param {Store} store
 * @param {Sticker} sticker
 * @param {Target & { placement: Placement }} to
 */
async function put(store, sticker, { message, part, placement }) {
  const { data_base64, filename } = await filePart(await sticker.picture());
  const file = { data_base64, filename };
  await succeeds(putSticker({ from: store.me, message_id: message, part_index: part, placement, ...file }));
}

/**
 * Call `onDrop` with the place at which the sticker was dropped; with null after a press, or a drop beside all bubbles.
 * @param {HTMLElement} node
 * @param {Sticker} sticker
 * @param {HTMLElement} screen
 * @param {(place: (Target & { placement: Placement }) | null) => void} onDrop
 */
function listenForDrag(node, sticker, screen, onDrop) {
  node.addEventListener("pointerdown", (down) => {
    if (down.button !== 0) return;
    down.preventDefault(); // a browser would scroll, or drag the picture itself
    /** @type {HTMLElement | null} */
    let ghost = null;
    node.setPointerCapture(down.pointerId);
    const move = (/** @type {PointerEvent} */ event) => {
      const far = Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY);
      if (!ghost && far < DRAG_PX) return;
      ghost ??= screen.appendChild(h("span", { class: "sticker-ghost", "aria-hidden": "true" }, sticker.face()));
      const frame = screen.getBoundingClientRect();
      ghost.style.setProperty("left", `${event.clientX - frame.left}px`);
      ghost.style.setProperty("top", `${event.clientY - frame.top}px`);
    };
    const end = (/** @type {PointerEvent} */ event) => {
      node.removeEventListener("pointermove", move);
      node.removeEventListener("pointerup", end);
      node.removeEventListener("pointercancel", end);
      ghost?.remove();
      if (event.type === "pointerup") onDrop(ghost ? placeAt(event.clientX, event.clientY) : null);
    };
    node.addEventListener("pointermove", move);
    node.addEventListener("pointerup", end);
    node.addEventListener("pointercancel", end);
  });
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault(); // else the key would also press the button that has the focus afterwards
    onDrop(null);
  });
}

/**
 * Return the part of a message at a point of the window, and the place on its bubble.
 * @param {number} x
 * @param {number} y
 */
function placeAt(x, y) {
  const wrap = document
    .elementsFromPoint(x, y)
    .map((node) => node.closest(".wrap[data-message]"))
    .find(Boolean);
  const bubble = wrap?.querySelector(".bubble");
  if (!(wrap instanceof HTMLElement) || !bubble) return null;
  const box = bubble.getBoundingClientRect();
  const within = (/** @type {number} */ at, /** @type {number} */ start, /** @type {number} */ size) =>
    Math.max(-1, Math.min(1, ((at - start) / size) * 2 - 1));
  const placement = { x: within(x, box.left, box.width), y: within(y, box.top, box.height) };
  return { message: wrap.dataset.message ?? "", part: Number(wrap.dataset.part ?? 0), placement };
}
