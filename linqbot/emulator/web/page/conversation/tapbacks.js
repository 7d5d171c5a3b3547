// Tapbacks: the badge on a bubble, and the picker over it (long press, double click, or the button beside a bubble),
// with the menu a phone shows there: reply, copy, edit.

import { h, icon, toast } from "../elements/dom.js";
import * as control from "../model/control.js";
import { localUrl } from "./media.js";
import { nameIn } from "../model/chat.js";

export const TAPBACKS = {
  love: "Love",
  like: "Like",
  dislike: "Dislike",
  laugh: "Laugh",
  emphasize: "Emphasize",
  question: "Question",
};
const EMOJI = ["😂", "🔥", "🎉", "👏", "😍", "🙏", "💯", "😮", "😢", "👀", "✅", "🤝"];
const LONG_PRESS_MS = 450;

const isMine = (store, reaction) => !reaction.is_me && reaction.handle?.handle === store.me;

function face(reaction) {
  if (reaction.type in TAPBACKS) return icon(reaction.type);
  const sticker = localUrl(reaction.sticker?.url);
  if (sticker) return h("img", { src: sticker, alt: "sticker" });
  return h("span", { class: "emoji" }, reaction.custom_emoji ?? "●");
}

/** The badges of a part's reactions: one per kind, counted, mine in blue. */
export function tapbackBadges(store, chat, part) {
  const kinds = new Map();
  for (const reaction of part.reactions ?? []) {
    const kind =
      reaction.type === "sticker" ? `sticker ${reaction.id}` : `${reaction.type} ${reaction.custom_emoji ?? ""}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), reaction]);
  }
  if (kinds.size === 0) return null;
  const badges = [...kinds.values()].map((reactions) => {
    const [first] = reactions;
    const who = reactions
      .map((reaction) =>
        reaction.is_me
          ? nameIn(store, chat, reaction.handle?.handle ?? "")
          : nameIn(store, chat, reaction.handle?.handle),
      )
      .join(", ");
    const label = `${TAPBACKS[first.type] ?? first.custom_emoji ?? "Reaction"} from ${who}`;
    const mine = reactions.some((reaction) => isMine(store, reaction));
    return h(
      "span",
      { class: `tapback ${first.type}${mine ? " mine" : ""}`, role: "img", "aria-label": label, title: label },
      face(first),
      reactions.length > 1 && h("small", {}, String(reactions.length)),
    );
  });
  return h("span", { class: "tapbacks" }, badges);
}

/** Open the picker by long press or double click on `wrap`. */
export function listenForTapback(wrap, open) {
  let timer;
  let start;
  const cancel = () => clearTimeout(timer);
  wrap.addEventListener("pointerdown", (event) => {
    start = event;
    if (event.button === 0 && !event.target.closest("button, a, video")) timer = setTimeout(open, LONG_PRESS_MS);
  });
  wrap.addEventListener("pointermove", (event) => {
    if (start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > 8) cancel();
  });
  for (const type of ["pointerup", "pointerleave", "pointercancel"]) wrap.addEventListener(type, cancel);
  wrap.addEventListener("dblclick", (event) => {
    if (event.target.closest("button, a, video")) return;
    getSelection()?.removeAllRanges();
    open();
  });
  // On a touch screen the long press is ours; with a mouse the browser's own menu stays.
  wrap.addEventListener("contextmenu", (event) => start?.pointerType === "touch" && event.preventDefault());
}

async function toggle(store, message, partIndex, choice) {
  const reactions = message.parts[partIndex].reactions ?? [];
  const isSet = reactions.some(
    (reaction) =>
      isMine(store, reaction) &&
      reaction.type === choice.type &&
      (reaction.custom_emoji ?? null) === (choice.custom_emoji ?? null),
  );
  try {
    await control.react({
      from: store.me,
      message_id: message.id,
      part_index: partIndex,
      operation: isSet ? "remove" : "add",
      ...choice,
    });
  } catch (error) {
    toast(error.message);
  }
}

/** Show the picker over the bubble in `wrap`. `onReply` and `onEdit` are offered when given. */
export function openTapbackPicker(store, wrap, message, partIndex, { onReply, onEdit }) {
  const screen = document.getElementById("screen");
  const frame = screen.getBoundingClientRect();
  const bubble = wrap.querySelector(".bubble");
  const at = bubble.getBoundingClientRect();
  const part = message.parts[partIndex];
  const isOwn = store.isOwn(message);
  const mine = (part.reactions ?? []).filter((reaction) => isMine(store, reaction));
  const choose = (choice) => () => (close(), toggle(store, message, partIndex, choice));

  const more = h(
    "div",
    { class: "emoji-row", hidden: true },
    EMOJI.map((emoji) =>
      h(
        "button",
        {
          type: "button",
          "aria-label": `React with ${emoji}`,
          on: { click: choose({ type: "custom", custom_emoji: emoji }) },
        },
        emoji,
      ),
    ),
  );
  const picker = h(
    "div",
    { class: "tapback-picker" },
    h(
      "div",
      { class: "tapback-row" },
      Object.entries(TAPBACKS).map(([type, label]) =>
        h(
          "button",
          {
            type: "button",
            class: type,
            "aria-label": label,
            title: label,
            "aria-pressed": String(mine.some((reaction) => reaction.type === type)),
            on: { click: choose({ type }) },
          },
          icon(type),
        ),
      ),
      h(
        "button",
        {
          type: "button",
          class: "more",
          "aria-label": "More emoji",
          on: {
            click: () => {
              more.hidden = !more.hidden;
            },
          },
        },
        icon("smile"),
      ),
    ),
    more,
  );
  const entry = (name, label, run) =>
    h("button", { type: "button", role: "menuitem", on: { click: () => (close(), run()) } }, label, icon(name));
  const menu = h(
    "div",
    { class: "context-menu", role: "menu" },
    onReply && entry("reply", "Reply", onReply),
    part.value &&
      entry("copy", "Copy", () =>
        navigator.clipboard?.writeText(part.value).catch(() => toast("The browser did not allow copying.")),
      ),
    onEdit && entry("pencil", "Edit", onEdit),
  );

  const copy = wrap.cloneNode(true);
  copy.classList.add(
    "lifted",
    ...["own", "other", "imessage"].filter((cls) => wrap.closest(".msg").classList.contains(cls)),
  );
  copy.setAttribute("aria-hidden", "true");
  const overlay = h(
    "div",
    {
      class: `tapback-overlay${isOwn ? " own" : ""}`,
      role: "dialog",
      "aria-modal": "true",
      "aria-label": "Tapback",
      on: {
        click: (event) => event.target === overlay && close(),
        keydown: (event) => event.key === "Escape" && (event.stopPropagation(), close()),
      },
    },
    copy,
    picker,
    menu,
  );

  function close() {
    if (!overlay.isConnected) return;
    overlay.remove();
    panes.inert = false;
    screen.querySelector(".composer textarea")?.focus({ preventScroll: true });
  }

  // The lifted bubble stays where it was unless the picker or the menu would fall off the screen.
  const room = { above: 76, below: 40 + menu.children.length * 44 };
  const height = Math.min(at.height, frame.height - room.above - room.below - 60);
  const top = Math.max(room.above + 44, Math.min(at.top - frame.top, frame.height - room.below - height));
  copy.style.setProperty("top", `${top}px`);
  copy.style.setProperty("left", `${at.left - frame.left}px`);
  copy.style.setProperty("width", `${at.width}px`);
  copy.style.setProperty("max-height", `${height}px`);
  picker.style.setProperty("bottom", `${frame.height - top + 12}px`);
  menu.style.setProperty("top", `${top + height + 14}px`);
  const panes = screen.querySelector(".panes");
  panes.inert = true;
  screen.append(overlay);
  picker.querySelector("button").focus({ preventScroll: true });
}
