// Pictures, films, voice and files: how they look in a bubble, and how a file of this computer becomes a part.

import { h, icon, webUrl } from "../elements/dom.js";

const OWN_FILE = /^\/attachments\/[0-9a-f-]{36}\//;

/** The address as this page may load it: the emulator has several names, and this page was opened under one of them. */
export function localUrl(url) {
  const parsed = webUrl(url);
  if (!parsed) return null;
  const isOwn = ["127.0.0.1", "localhost", "[::1]"].includes(parsed.hostname) || OWN_FILE.test(parsed.pathname);
  return isOwn && parsed.port === location.port ? parsed.pathname + parsed.search : parsed.href;
}

const UNITS = ["bytes", "KB", "MB", "GB"];

export function fileSize(bytes) {
  let size = bytes ?? 0;
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

function fileCard(part) {
  const href = localUrl(part.url);
  const link = { href, target: "_blank", rel: "noopener noreferrer", download: part.filename };
  return h(
    href ? "a" : "span",
    { class: "file-card", ...(href ? link : {}) },
    h("span", { class: "file-icon" }, icon("doc")),
    h(
      "span",
      { class: "file-text" },
      h("strong", {}, part.filename ?? "File"),
      h(
        "small",
        {},
        [part.filename?.split(".").pop()?.toUpperCase(), fileSize(part.size_bytes)].filter(Boolean).join(" · "),
      ),
    ),
  );
}

// A browser that cannot show it (HEIC, a URL that is gone) still shows that there is a file.
const orFile = (node, part) => {
  node.addEventListener("error", () => node.replaceWith(fileCard(part)));
  return node;
};

function seconds(value) {
  const whole = Number.isFinite(value) ? Math.round(value) : 0;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** A voice memo: play button, a drawn waveform that fills, the time. */
function voice(part) {
  const audio = h("audio", { src: localUrl(part.url), preload: "metadata" });
  const bars = [...Array(28).keys()].map((i) => {
    const bar = h("i");
    // Drawn, not measured: decoding every file to show its loudness is not worth it. The id makes each look its own.
    const seed = (part.id ?? part.filename ?? "").charCodeAt(i % 16) || 40;
    bar.style.setProperty("--h", `${25 + ((seed * (i + 7)) % 75)}%`);
    return bar;
  });
  const wave = h("span", { class: "wave", "aria-hidden": "true" }, bars);
  const time = h("span", { class: "voice-time" }, "0:00");
  const button = h(
    "button",
    {
      type: "button",
      class: "voice-play",
      "aria-label": "Play audio message",
      on: {
        click: () => (audio.paused ? audio.play().catch(() => player.replaceWith(fileCard(part))) : audio.pause()),
      },
    },
    icon("play"),
  );
  const player = h("span", { class: "voice" }, button, wave, time, audio);
  const show = () => {
    button.replaceChildren(icon(audio.paused ? "play" : "pause"));
    button.setAttribute("aria-label", audio.paused ? "Play audio message" : "Pause audio message");
    const done = audio.duration ? audio.currentTime / audio.duration : 0;
    bars.forEach((bar, i) => bar.classList.toggle("done", i / bars.length < done));
    time.textContent = seconds(audio.currentTime || audio.duration);
  };
  for (const type of ["play", "pause", "timeupdate", "loadedmetadata", "ended"]) audio.addEventListener(type, show);
  return player;
}

/** What is inside the bubble of a media part. */
export function mediaContent(part) {
  const type = part.mime_type ?? "";
  const url = localUrl(part.url);
  if (!url) return fileCard(part);
  if (type.startsWith("image/")) {
    const image = h("img", { class: part.sticker ? "sticker" : "picture", src: url, alt: part.filename ?? "Picture" });
    return orFile(image, part);
  }
  if (type.startsWith("video/"))
    return orFile(
      h("video", { class: "picture", src: url, controls: true, preload: "metadata", playsinline: true }),
      part,
    );
  if (type.startsWith("audio/")) return voice(part);
  return fileCard(part);
}

export const isVisual = (part) => part.type === "media" && /^(image|video)\//.test(part.mime_type ?? "");

/** A file of this computer as an inbound part. */
export function filePart(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("error", () => reject(reader.error));
    reader.addEventListener("load", () =>
      resolve({
        type: "media",
        filename: file.name || "file",
        mime_type: file.type || "application/octet-stream",
        data_base64: reader.result.slice(reader.result.indexOf(",") + 1),
      }),
    );
    reader.readAsDataURL(file);
  });
}
