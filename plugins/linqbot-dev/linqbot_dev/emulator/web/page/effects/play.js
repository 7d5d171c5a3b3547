// Playing message effects. Screen effects are painted on a canvas over the phone's screen, bubble effects are CSS
// animations. An effect plays once when its message arrives, and again on request.

import { buttonTo, h, prefersReducedMotion } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { later } from "../elements/later.js";
import { BUBBLE_EFFECTS, effectTitle } from "../model/content/effect-names.js";

/** @import { Stage } from "./painting.js" */
/** @import { Scene } from "./scenes.js" */

const makeScene = later(async () => (await import("./scenes.js")).makeScene);

const ECHOES = 26;
const ECHO_MS = 2800;
const MAX_DENSITY = 2; // of the canvas; more pixels cost time and show nothing

/**
 * Play an effect.
 * @param {string} name
 * @param {HTMLElement} article The message.
 * @param {HTMLElement} screen The phone's screen.
 */
export function play(name, article, screen) {
  if (name === "invisible") return; // covers the bubble until it is touched; there is nothing to start
  if (name in BUBBLE_EFFECTS) playBubble(name, article);
  else if (name === "echo") playEcho(article, screen);
  else playScene(name, article, screen);
}

/**
 * Play an effect, unless the person asked their system for less motion; they still have the Replay button.
 * @param {string} name
 * @param {HTMLElement} article
 * @param {HTMLElement} screen
 */
export function playOnArrival(name, article, screen) {
  if (!prefersReducedMotion()) play(name, article, screen);
}

/**
 * @param {string} name
 * @param {HTMLElement} article
 */
function playBubble(name, article) {
  article.classList.remove("play-slam", "play-loud", "play-gentle");
  // Reading the width makes the browser apply the styles. Without it, removing and adding a class in one frame would
  // not restart the animation.
  void article.offsetWidth;
  article.classList.add(`play-${name}`);
  const end = (/** @type {AnimationEvent} */ { target }) => {
    if (!(target instanceof Element && target.classList.contains("bubble"))) return;
    article.classList.remove(`play-${name}`);
    article.removeEventListener("animationend", end);
  };
  article.addEventListener("animationend", end);
}

/**
 * Return the first bubble of a message.
 * @param {HTMLElement} article
 * @returns {HTMLElement | null}
 */
const bubbleOf = (article) => article.querySelector(".bubble");

/**
 * @param {HTMLElement} article
 * @param {HTMLElement} screen
 */
function playEcho(article, screen) {
  const bubble = bubbleOf(article);
  if (!bubble) return;
  const from = bubble.getBoundingClientRect();
  const frame = screen.getBoundingClientRect();
  const layer = h("div", { class: "echo-layer", "aria-hidden": "true", dataset: { effect: "echo" } });
  for (let i = 0; i < ECHOES; i += 1) {
    const copy = /** @type {HTMLElement} */ (bubble.cloneNode(true));
    if (article.classList.contains("own")) copy.classList.add("own-copy");
    copy.style.setProperty("left", `${from.left - frame.left}px`);
    copy.style.setProperty("top", `${from.top - frame.top}px`);
    copy.style.setProperty("--x", `${(Math.random() - 0.5) * frame.width}px`);
    copy.style.setProperty("--y", `${-Math.random() * frame.height}px`);
    copy.style.setProperty("--s", String(0.5 + Math.random() * 0.9));
    copy.style.setProperty("--d", `${Math.random() * 700}ms`);
    layer.append(copy);
  }
  layer.classList.add(...["imessage", "own", "other"].filter((cls) => article.classList.contains(cls)));
  screen.append(layer);
  setTimeout(() => layer.remove(), ECHO_MS);
}

/**
 * @param {string} name
 * @param {HTMLElement} article
 * @param {HTMLElement} screen
 */
async function playScene(name, article, screen) {
  const stage = stageOf(article, screen);
  const scene = await makeScene(name, stage);
  if (!scene) return; // an effect that Linq has added
  screen.querySelector("canvas.scene")?.remove();
  const canvas = h("canvas", { class: "scene", "aria-hidden": "true", dataset: { effect: name } });
  screen.append(canvas);
  const density = Math.min(devicePixelRatio, MAX_DENSITY);
  canvas.width = stage.width * density;
  canvas.height = stage.height * density;
  const context = canvas.getContext("2d");
  context?.scale(density, density);
  if (context) animate(context, stage, scene);
}

/**
 * @param {HTMLElement} article
 * @param {HTMLElement} screen
 * @returns {Stage}
 */
function stageOf(article, screen) {
  const bubble = (bubbleOf(article) ?? article).getBoundingClientRect();
  const frame = screen.getBoundingClientRect();
  const origin = {
    x: bubble.x - frame.x + bubble.width / 2,
    y: bubble.y - frame.y + bubble.height / 2,
    width: bubble.width,
    height: bubble.height,
  };
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  return { width: screen.clientWidth, height: screen.clientHeight, isDark, origin };
}

/**
 * Paint a scene frame by frame, then remove its canvas.
 * @param {CanvasRenderingContext2D} context
 * @param {Stage} stage
 * @param {Scene} scene
 */
function animate(context, { width, height }, { seconds, paint }) {
  /** @type {number | undefined} */
  let started;
  requestAnimationFrame(function frame(at) {
    started ??= at;
    const t = (at - started) / 1000;
    if (t > seconds || !context.canvas.isConnected) {
      context.canvas.remove();
      return;
    }
    context.clearRect(0, 0, width, height);
    context.save();
    paint(context, t);
    context.restore();
    requestAnimationFrame(frame);
  });
}

/**
 * Make the line under a message with an effect: the effect's name under an own message, and a button that plays the
 * effect again. Invisible ink has no button, because the bubble itself reveals its content.
 * @param {string} name
 * @param {boolean} isOwn
 * @param {() => void} replay
 */
export function effectCaption(name, isOwn, replay) {
  const label = `Replay ${effectTitle(name)}`;
  const props = { class: "replay", "aria-label": label, title: label };
  const button = name !== "invisible" && buttonTo(replay, props, icon("replay"), "Replay");
  if (!isOwn && !button) return null;
  return h("p", { class: "fine effect-caption" }, isOwn && `Sent with ${effectTitle(name)}`, button);
}
