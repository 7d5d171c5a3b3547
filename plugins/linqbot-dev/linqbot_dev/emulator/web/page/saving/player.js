// The player inside of a saved conversation. It imports nothing: `shared.js` writes it into the file as it is. Without it,
// the file shows the whole conversation.

const PAUSE_MS = 900; // before a message of the person whose phone it is, and before a tapback
const TYPING_MS = 500; // of the other side, and more for each letter
const LETTER_MS = 16;
const LONGEST_MS = 2200;
const MOTIONS = ["slam", "loud", "gentle"];

/** @param {string} selector */
const element = (selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

const log = element(".log");
const transcript = element(".transcript");
const play = element("#player-play");
const place = /** @type {HTMLInputElement} */ (element("#player-step"));
const dots = document.createElement("div");

/**
 * A step shows these elements. `message` is the one that arrives; a step without it shows tapbacks.
 * @typedef {{ shows: Element[], message: HTMLElement | null }} Step
 */

/**
 * Return the steps: each message with what stands over it and under it, and then the tapbacks and stickers on it.
 * @returns {Step[]}
 */
function stepsOf() {
  /** @type {Step[]} */
  const steps = [];
  /** @type {Element[]} */
  let before = [];
  for (const node of /** @type {HTMLElement[]} */ ([...log.children])) {
    if (node.classList.contains("status")) steps.findLast(({ message }) => message)?.shows.push(node);
    else if (node.localName === "article") {
      steps.push({ shows: [...before, node], message: node });
      before = [];
      const marks = [...node.querySelectorAll(".tapbacks, .placed-sticker")];
      if (marks.length > 0) steps.push({ shows: marks, message: null });
    } else before.push(node);
  }
  if (before.length > 0) steps.push({ shows: before, message: null });
  return steps;
}

const steps = stepsOf();
/** The number of steps that are shown. */
let shown = steps.length;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {number} count */
function show(count) {
  shown = count;
  for (const [index, step] of steps.entries()) {
    for (const node of step.shows) node.toggleAttribute("hidden", index >= shown);
  }
  place.value = String(shown);
  place.setAttribute("aria-valuetext", `${shown} of ${steps.length}`);
  dots.hidden = true;
  transcript.scrollTop = transcript.scrollHeight;
}

/** @param {boolean} next */
function setPlaying(next) {
  clearTimeout(timer);
  dots.hidden = true;
  play.classList.toggle("playing", next);
  const label = next ? "Pause" : "Play";
  play.setAttribute("aria-label", label);
  play.title = label;
  if (!next) return;
  if (shown === steps.length) show(0);
  wait();
}

/** Wait for the next step as long as its writer needs. */
function wait() {
  const { message } = steps[shown];
  const isOther = message?.classList.contains("other") ?? false;
  dots.hidden = !isOther;
  transcript.scrollTop = transcript.scrollHeight;
  const letters = message?.textContent?.length ?? 0;
  const ms = isOther ? Math.min(LONGEST_MS, TYPING_MS + letters * LETTER_MS) : PAUSE_MS;
  timer = setTimeout(arrive, ms);
}

function arrive() {
  const { message } = steps[shown];
  show(shown + 1);
  message?.classList.add("arriving");
  const effect = message?.dataset.effect ?? "";
  if (MOTIONS.includes(effect)) message?.classList.add(`play-${effect}`);
  if (shown < steps.length) wait();
  else setPlaying(false);
}

dots.className = "msg other last typing-row";
dots.setAttribute("aria-hidden", "true");
const row = document.createElement("div");
row.className = "row";
const bubble = document.createElement("div");
bubble.className = "typing-bubble";
bubble.append(...[1, 2, 3].map(() => document.createElement("i")));
row.append(bubble);
dots.append(row);
log.append(dots);

place.max = String(steps.length);
play.addEventListener("click", () => setPlaying(!play.classList.contains("playing")));
place.addEventListener("input", () => {
  setPlaying(false);
  show(place.valueAsNumber);
});
element(".player").hidden = false;
show(steps.length);
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) setPlaying(true);
