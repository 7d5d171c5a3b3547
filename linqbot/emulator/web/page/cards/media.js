// Pictures, videos, voice memos and files, as they look in a bubble.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { localUrl } from "../elements/urls.js";
import { fileSize } from "../model/content/files.js";
import { isVcard } from "../model/content/vcard.js";
import { contactCard } from "./contacts.js";
import { voiceMemo } from "./voice.js";

/** @import { Part } from "../client/types.d.ts" */

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
  if (type.startsWith("audio/")) return voiceMemo(url, part.id ?? part.filename ?? "", () => fileCard(part));
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
