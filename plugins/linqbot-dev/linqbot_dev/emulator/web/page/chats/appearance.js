// The look of a conversation, as its members change it: the name and the icon of a group, and the background.

import { buttonTo, formTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { succeeds } from "../elements/toast.js";
import * as control from "../client/control.js";
import { filePart } from "../model/content/files.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const COLOURS = [
  "mango",
  "ice",
  "plum",
  "deep_sea",
  "green_apple",
  "cherry",
  "bubblegum",
  "tangerine",
  "magenta",
  "lime",
  "silver",
  "carbon",
  "stone",
];
/** @type {Record<string, string[]>} */
const DYNAMIC = {
  sky: ["dusk", "haze", "sunset", "clear", "sunrise", "dawn"],
  water: ["light", "dark"],
  aurora: ["green", "purple", "pink"],
};

/**
 * Make a button that lets the person choose a picture.
 * @param {string} label
 * @param {(file: File) => unknown} onChoose
 */
function pictureButton(label, onChoose) {
  const input = h("input", {
    type: "file",
    accept: "image/*",
    class: "visually-hidden",
    tabindex: "-1",
    "aria-label": `${label}: file`,
  });
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    input.value = "";
    if (file) onChoose(file);
  });
  const click = () => input.click();
  return [buttonTo(click, { class: "chip" }, icon("camera"), label), input];
}

/**
 * The form for the name and the icon of a group.
 * @param {Store} store
 * @param {ShownChat & { id: string }} chat
 */
export function groupForm(store, { id, name, group_chat_icon: picture }) {
  const input = h("input", {
    type: "text",
    maxlength: "200",
    placeholder: "Group name",
    "aria-label": "Group name",
    value: name,
  });
  const rename = () => succeeds(control.nameGroup(store.me, id, input.value.trim() || null));
  const setIcon = async (/** @type {File} */ file) =>
    succeeds(control.setGroupIcon(store.me, id, await filePart(file)));
  const removeIcon = () => succeeds(control.setGroupIcon(store.me, id, null));
  return [
    formTo(rename, { class: "inline-form" }, input, h("button", { type: "submit", class: "text-button" }, "Rename")),
    h(
      "div",
      { class: "known looks" },
      pictureButton("Group Icon", setIcon),
      picture && buttonTo(removeIcon, { class: "chip" }, "Remove Icon"),
    ),
  ];
}

/**
 * The choice of a background.
 * @param {Store} store
 * @param {ShownChat & { id: string }} chat
 */
export function backgroundChoices(store, { id, background }) {
  const set = (/** @type {Parameters<typeof control.setBackground>[2]} */ wanted) =>
    succeeds(control.setBackground(store.me, id, wanted));
  /**
   * @param {"color" | "dynamic"} type
   * @param {string} variant
   * @param {string} [style]
   */
  const swatch = (type, variant, style) => {
    const name = [style, variant].filter(Boolean).join(" ").replaceAll("_", " ");
    const isOn =
      background?.type === type && background.variant === variant && (background.style ?? undefined) === style;
    return buttonTo(() => set({ type, variant, ...(style && { style }) }), {
      class: "swatch",
      title: name,
      "aria-label": name,
      "aria-pressed": String(isOn),
      dataset: { background: [type, style, variant].filter(Boolean).join("-") },
    });
  };
  const photo = async (/** @type {File} */ file) => set({ type: "photo", image: await filePart(file) });
  return h(
    "section",
    { "aria-label": "Background" },
    h("h3", {}, "Background"),
    h(
      "div",
      { class: "swatches" },
      COLOURS.map((variant) => swatch("color", variant)),
      Object.entries(DYNAMIC).flatMap(([style, variants]) =>
        variants.map((variant) => swatch("dynamic", variant, style)),
      ),
    ),
    h(
      "div",
      { class: "known looks" },
      pictureButton("Photo", photo),
      background && buttonTo(() => set(null), { class: "chip" }, "No Background"),
    ),
  );
}
