// Links, app cards, App Clips, and types of parts that this page does not know.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { localUrl, webUrl } from "../elements/urls.js";

/** @import { Part } from "../client/types.d.ts" */

/**
 * Make a card; a link if `url` is an address of the web.
 * @param {string | undefined} url
 * @param {{ title: string, caption?: string, art: string, image?: string }} content `art` is the icon that is shown
 *   when there is no image.
 */
function card(url, { title, caption, art, image }) {
  const target = webUrl(url);
  const picture = localUrl(image);
  const cover = h("span", { class: "card-cover" }, picture ? h("img", { src: picture, alt: "" }) : icon(art));
  const foot = h("span", { class: "card-foot" }, h("strong", {}, title), caption && h("small", {}, caption));
  if (!target) return h("span", { class: "card" }, cover, foot);
  return h("a", { class: "card", href: target.href, target: "_blank", rel: "noopener noreferrer" }, cover, foot);
}

/** @param {string} path */
function readable(path) {
  try {
    return decodeURI(path);
  } catch {
    return path; // a % that escapes nothing
  }
}

/** @param {Part} part */
export function linkCard({ value = "" }) {
  const target = webUrl(value);
  if (!target) return h("span", { class: "plain-link" }, value);
  const path = readable(target.pathname).replace(/\/$/, "");
  return card(value, { title: path ? path.slice(1) : target.hostname, caption: target.hostname, art: "globe" });
}

/** @param {Part} part */
export function appCard({ app, layout = {}, url, fallback_text: fallback }) {
  const target = webUrl(url);
  const picture = localUrl(layout.image_url);
  const title = layout.caption ?? layout.image_title ?? fallback ?? app?.name ?? "App";
  const over = picture && [layout.image_title, layout.image_subtitle].filter(Boolean).join(" · ");
  const cover = h(
    "span",
    { class: "card-cover" },
    picture ? h("img", { src: picture, alt: "" }) : icon("sparkles"),
    over && h("span", { class: "card-over" }, over),
  );
  const foot = h(
    "span",
    { class: "card-foot" },
    cardLine("strong", title, layout.trailing_caption),
    cardLine("small", layout.subcaption, layout.trailing_subcaption),
    app?.name && h("small", { class: "card-app" }, app.name),
  );
  if (!target) return h("span", { class: "card" }, cover, foot);
  return h("a", { class: "card", href: target.href, target: "_blank", rel: "noopener noreferrer" }, cover, foot);
}

/**
 * Make a line of an app card: a text at its start and one at its end.
 * @param {"strong" | "small"} tag
 * @param {string | undefined} start
 * @param {string | undefined} end
 */
function cardLine(tag, start, end) {
  if (!start && !end) return null;
  return h("span", { class: "card-line" }, h(tag, {}, start ?? ""), end && h(tag, {}, end));
}

/** @param {Part} part */
export function appClipCard(part) {
  return card(part.value, {
    title: part.title ?? part.caption ?? "App Clip",
    caption: part.description,
    art: "window",
    image: part.image_url,
  });
}

/** @param {Part} part */
export const unknownPart = (part) =>
  h("span", { class: "unknown-part" }, `${part.type ?? "Something"} (not shown on this phone)`);
