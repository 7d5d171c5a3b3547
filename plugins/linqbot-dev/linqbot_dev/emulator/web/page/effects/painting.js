// Random values, curves and shapes for the screen effects.

/**
 * The place where a scene is painted, in CSS pixels. `origin` is the centre and the size of the bubble, `isDark` is true
 * in the dark colour scheme.
 * @typedef {{ width: number, height: number, isDark: boolean,
 *   origin: { x: number, y: number, width: number, height: number } }} Stage
 */

export const TAU = Math.PI * 2;
export const PARTY = ["#ff3b30", "#ff9500", "#ffcc00", "#34c759", "#32ade6", "#007aff", "#af52de", "#ff2d55"];
export const GOLD = ["#ffd60a", "#ffb800", "#fff1a8", "#ff9f0a"];
export const DEEP_GOLD = ["#f5a800", "#e68f00", "#ffc21a", "#d97a00"]; // readable on white
export const PINK = ["#ff2d55", "#ff375f", "#ff6482", "#ff8fa3", "#e0103f"];

/**
 * Return a random number.
 * @param {number} low
 * @param {number} high
 */
export const between = (low, high) => low + Math.random() * (high - low);

/**
 * Return a random member.
 * @template T
 * @param {T[]} list
 */
export const pick = (list) => list[Math.floor(Math.random() * list.length)];

/**
 * @template T
 * @param {number} count
 * @param {(i: number) => T} make
 */
export const many = (count, make) => Array.from({ length: count }, (_, i) => make(i));

/** @param {number} x */
export const clamp = (x) => Math.min(1, Math.max(0, x));

/**
 * Return a strength from 0 to 1: up over the first `rise` seconds, down over the last `fall`.
 * @param {number} t
 * @param {number} seconds
 * @param {number} [rise]
 * @param {number} [fall]
 */
export const fade = (t, seconds, rise = 0.4, fall = 0.6) => clamp(t / rise) * clamp((seconds - t) / fall);

/**
 * Darken the stage.
 * @param {CanvasRenderingContext2D} context
 * @param {Stage} stage
 * @param {number} alpha
 */
export function dim(context, { width, height }, alpha) {
  context.fillStyle = `rgb(0 0 0 / ${alpha})`;
  context.fillRect(0, 0, width, height);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} size
 * @param {string} colour
 * @param {number} [tilt]
 */
export function heart(context, x, y, size, colour, tilt = 0) {
  context.save();
  context.translate(x, y);
  context.rotate(tilt);
  context.scale(size, size);
  context.beginPath();
  context.moveTo(0, 0.42);
  context.bezierCurveTo(-0.62, 0, -0.52, -0.5, -0.24, -0.5);
  context.bezierCurveTo(-0.1, -0.5, 0, -0.4, 0, -0.28);
  context.bezierCurveTo(0, -0.4, 0.1, -0.5, 0.24, -0.5);
  context.bezierCurveTo(0.52, -0.5, 0.62, 0, 0, 0.42);
  const shine = context.createRadialGradient(-0.18, -0.28, 0.02, 0, 0, 0.75);
  shine.addColorStop(0, "#ffd0da");
  shine.addColorStop(0.3, colour);
  shine.addColorStop(1, colour);
  context.fillStyle = shine;
  context.fill();
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
export function star(context, x, y, size) {
  context.beginPath();
  for (let i = 0; i < 8; i += 1) {
    const radius = i % 2 ? size * 0.2 : size;
    context.lineTo(x + radius * Math.sin((i * TAU) / 8), y - radius * Math.cos((i * TAU) / 8));
  }
  context.closePath();
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 */
export function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}
