// Message effects: their names, and playing them. Screen effects are painted by scenes.js on a canvas over the phone's
// screen; bubble effects are CSS animations. Each plays once, when its message arrives, and again on request.

import { h, icon, prefersCalm } from "../elements/dom.js";
import { SCENES } from "./scenes.js";

export const BUBBLE_EFFECTS = { slam: "Slam", loud: "Loud", gentle: "Gentle", invisible: "Invisible Ink" };
export const SCREEN_EFFECTS = {
  echo: "Echo",
  spotlight: "Spotlight",
  balloons: "Balloons",
  confetti: "Confetti",
  love: "Love",
  lasers: "Lasers",
  fireworks: "Fireworks",
  celebration: "Celebration",
  sparkles: "Sparkles",
  hearts: "Hearts",
  happy_birthday: "Happy Birthday",
};

export const effectTitle = (name) => BUBBLE_EFFECTS[name] ?? SCREEN_EFFECTS[name] ?? name;
export const effectNamed = (name) => ({ name, type: name in BUBBLE_EFFECTS ? "bubble" : "screen" });

/** Play `name` for the message shown by `article`. */
export function play(name, article, screen) {
  if (name === "invisible") return; // lies over the text until it is touched; nothing to start
  if (name in BUBBLE_EFFECTS) playBubble(name, article);
  else if (name === "echo") playEcho(article, screen);
  else if (name in SCENES) playScene(name, article, screen);
}

/** Play unless the person asked the system for less motion; then the caption's Replay remains. */
export function playOnArrival(name, article, screen) {
  if (!prefersCalm()) play(name, article, screen);
}

function playBubble(name, article) {
  article.classList.remove("play-slam", "play-loud", "play-gentle");
  void article.offsetWidth; // a style flush: otherwise removing and adding a class in one frame restarts nothing
  article.classList.add(`play-${name}`);
  const end = (event) => {
    if (!event.target.classList.contains("bubble")) return;
    article.classList.remove(`play-${name}`);
    article.removeEventListener("animationend", end);
  };
  article.addEventListener("animationend", end);
}

function playEcho(article, screen) {
  const bubble = article.querySelector(".bubble");
  const from = bubble.getBoundingClientRect();
  const frame = screen.getBoundingClientRect();
  const layer = h("div", { class: "echo-layer", "aria-hidden": "true", dataset: { effect: "echo" } });
  for (let i = 0; i < 26; i += 1) {
    const copy = bubble.cloneNode(true);
    copy.className += article.classList.contains("own") ? " own-copy" : "";
    const style = copy.style;
    style.setProperty("left", `${from.left - frame.left}px`);
    style.setProperty("top", `${from.top - frame.top}px`);
    style.setProperty("--x", `${(Math.random() - 0.5) * frame.width}px`);
    style.setProperty("--y", `${-Math.random() * frame.height}px`);
    style.setProperty("--s", 0.5 + Math.random() * 0.9);
    style.setProperty("--d", `${Math.random() * 700}ms`);
    layer.append(copy);
  }
  layer.classList.add(...["imessage", "own", "other"].filter((cls) => article.classList.contains(cls)));
  screen.append(layer);
  setTimeout(() => layer.remove(), 2800);
}

function playScene(name, article, screen) {
  screen.querySelector("canvas.scene")?.remove();
  const canvas = h("canvas", { class: "scene", "aria-hidden": "true", dataset: { effect: name } });
  screen.append(canvas);
  const width = screen.clientWidth;
  const height = screen.clientHeight;
  const density = Math.min(devicePixelRatio, 2);
  canvas.width = width * density;
  canvas.height = height * density;
  const context = canvas.getContext("2d");
  context.scale(density, density);

  const bubble = article.querySelector(".bubble").getBoundingClientRect();
  const frame = screen.getBoundingClientRect();
  const origin = {
    x: bubble.x - frame.x + bubble.width / 2,
    y: bubble.y - frame.y + bubble.height / 2,
    width: bubble.width,
    height: bubble.height,
  };
  const { seconds, paint } = SCENES[name]({ width, height, origin });

  let started;
  requestAnimationFrame(function frameOf(at) {
    started ??= at;
    const t = (at - started) / 1000;
    if (t > seconds || !canvas.isConnected) return canvas.remove();
    context.clearRect(0, 0, width, height);
    context.save();
    paint(context, t);
    context.restore();
    return requestAnimationFrame(frameOf);
  });
}

/** "Sent with Confetti", and a button that plays it again. */
export function effectCaption(name, replay) {
  const canReplay = name !== "invisible";
  return h(
    "p",
    { class: "fine effect-caption" },
    `Sent with ${effectTitle(name)}`,
    canReplay && h("button", { type: "button", class: "replay", on: { click: replay } }, icon("replay"), "Replay"),
  );
}
