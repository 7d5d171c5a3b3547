// A voice memo: a play button, a waveform that fills, and the time.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";

const BARS = 28;

/** @param {number} value */
function clock(value) {
  const whole = Number.isFinite(value) ? Math.round(value) : 0;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * Make the bars of a waveform. They are invented: decoding every file to show its loudness is not worth the work.
 * @param {string} seed Makes each waveform look different.
 */
function waveform(seed) {
  return Array.from({ length: BARS }, (_, i) => {
    const bar = h("i");
    const letter = seed.charCodeAt(i % 16) || 40;
    bar.style.setProperty("--h", `${25 + ((letter * (i + 7)) % 75)}%`);
    return bar;
  });
}

/**
 * @param {string} url
 * @param {string} seed
 * @param {() => HTMLElement} fallback Makes the element to show when the browser cannot play the file.
 */
export function voiceMemo(url, seed, fallback) {
  const audio = h("audio", { src: url, preload: "metadata" });
  const bars = waveform(seed);
  const time = h("span", { class: "voice-time" }, "0:00");
  const toggle = () => {
    if (audio.paused) audio.play().catch(() => player.replaceWith(fallback()));
    else audio.pause();
  };
  const button = buttonTo(toggle, { class: "voice-play", "aria-label": "Play audio message" }, icon("play"));
  const wave = h("span", { class: "wave", "aria-hidden": "true" }, bars);
  const player = h("span", { class: "voice" }, button, wave, time, audio);

  function render() {
    button.replaceChildren(icon(audio.paused ? "play" : "pause"));
    button.setAttribute("aria-label", audio.paused ? "Play audio message" : "Pause audio message");
    const done = audio.duration ? audio.currentTime / audio.duration : 0;
    for (const [i, bar] of bars.entries()) bar.classList.toggle("done", i / bars.length < done);
    time.textContent = clock(audio.currentTime || audio.duration);
  }

  for (const type of ["play", "pause", "timeupdate", "loadedmetadata", "ended"]) audio.addEventListener(type, render);
  return player;
}
