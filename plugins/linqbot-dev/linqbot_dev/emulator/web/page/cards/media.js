// Pictures, videos, voice memos and files, as they look in a bubble.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { localUrl } from "../elements/urls.js";
import { fileSize } from "../model/content/files.js";
import { isVcard } from "../model/content/vcard.js";
import { contactCard } from "./contacts.js";

/** @import { Part } from "../client/types.d.ts" */

const BARS = 28; // of the waveform of a voice memo

/** @param {Part} part */
export const isVisual = (part) => part.type === "media" && /^(image|video)\//.test(part.mime_type ?? "");

/**
 * Make the content of a media part's bubble.
 * @param {Part} part
 */
export function mediaContent(part) {
  const type = part.mime_type ?? "";
  const url = localUrl(part.url);
  if (!url) return fileCard(part);
  if (type.startsWith("image/")) {
    const image = h("img", { class: part.sticker ? "sticker" : "picture", src: url, alt: part.filename ?? "Picture" });
    return orFile(image, part);
  }
  if (type.startsWith("video/")) {
    const label = part.filename ?? "Video";
    const props = { class: "picture", src: url, controls: true, preload: "metadata", playsinline: true };
    return orFile(h("video", { ...props, "aria-label": label }), part);
  }
  if (isVcard(part)) return contactCard(url, part);
  if (type.startsWith("audio/")) return voiceMemo(url, part);
  return fileCard(part);
}

/**
 * Show a file card in place of an element that the browser cannot show, such as a HEIC picture or a dead link.
 * @param {HTMLElement} node
 * @param {Part} part
 */
function orFile(node, part) {
  node.addEventListener("error", () => node.replaceWith(fileCard(part)));
  return node;
}

/** @param {Part} part */
function fileCard({ url, filename, size_bytes: size }) {
  const kind = filename?.match(/[^.]\.([^.]+)$/)?.[1].toUpperCase();
  const href = localUrl(url);
  const link = href && { href, target: "_blank", rel: "noopener noreferrer", download: filename };
  const text = h(
    "span",
    { class: "file-text" },
    h("strong", {}, filename ?? "File"),
    h("small", {}, [kind, fileSize(size)].filter(Boolean).join(" · ")),
  );
  const mark = h("span", { class: "file-icon" }, icon("doc"));
  return h(link ? "a" : "span", { class: "file-card", ...link }, mark, text);
}

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
 * Make a voice memo: a play button, a waveform that fills, and the time. A file that the browser cannot play is a file card.
 * @param {string} url
 * @param {Part} part
 */
function voiceMemo(url, part) {
  const audio = h("audio", { src: url, preload: "metadata" });
  const bars = waveform(part.id ?? part.filename ?? "");
  const time = h("span", { class: "voice-time" }, "0:00");
  const toggle = () => {
    if (audio.paused) audio.play().catch(() => player.replaceWith(fileCard(part)));
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
