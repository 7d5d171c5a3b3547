// "Send with effect": the sheet a phone shows when the send button is held.

import { h, icon } from "../elements/dom.js";
import { BUBBLE_EFFECTS, SCREEN_EFFECTS } from "../effects/effects.js";
import { openSheet } from "../elements/sheet.js";

const FACES = {
  slam: "💥",
  loud: "📣",
  gentle: "🪶",
  invisible: "🫥",
  echo: "💬",
  spotlight: "🔦",
  balloons: "🎈",
  confetti: "🎊",
  love: "❤️",
  lasers: "🌈",
  fireworks: "🎆",
  celebration: "🥂",
  sparkles: "✨",
  hearts: "💕",
  happy_birthday: "🎂",
};

/** Let the person choose; `onChoose(name)`, or null for none. */
export function openEffectPicker(current, onChoose) {
  const section = (title, names) =>
    h(
      "section",
      {},
      h("h3", {}, title),
      h(
        "div",
        { class: "effect-grid" },
        Object.entries(names).map(([name, label]) =>
          h(
            "button",
            {
              type: "button",
              "aria-pressed": String(name === current),
              on: {
                click: () => (close(), onChoose(name === current ? null : name)),
              },
            },
            h("span", { class: "effect-face", "aria-hidden": "true" }, FACES[name]),
            label,
            name === current && icon("check"),
          ),
        ),
      ),
    );
  const close = openSheet("Send with effect", [section("Bubble", BUBBLE_EFFECTS), section("Screen", SCREEN_EFFECTS)]);
}
