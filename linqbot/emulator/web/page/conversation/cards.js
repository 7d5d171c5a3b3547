// Parts that are neither text nor media: links, app cards, App Clips, polls, and types that this page does not know.

import { h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { localUrl, webUrl } from "../elements/urls.js";
import { personName } from "../model/people.js";

/** @import { Part, Poll, PollOption } from "../client/types.d.ts" */

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
  return card(url, {
    title: layout.caption ?? layout.image_title ?? fallback ?? app?.name ?? "App",
    caption: [layout.subcaption, app?.name].filter(Boolean).join(" · "),
    art: "sparkles",
    image: layout.image_url,
  });
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

/**
 * Make a poll with its votes.
 * @param {Poll} poll
 * @param {string} me
 * @param {(option: PollOption, isMine: boolean) => void} onVote Called when the person presses an option; `isMine` is
 *   true if they have voted for it.
 */
export function pollCard(poll, me, onVote) {
  const total = poll.total_voters ?? 0;
  return h(
    "span",
    { class: "poll" },
    h("small", {}, "Poll"),
    poll.options.map((option) => pollOption(option, total, me, onVote)),
    h("small", {}, `${total} ${total === 1 ? "vote" : "votes"}`),
  );
}

/**
 * @param {PollOption} option
 * @param {number} total The number of voters.
 * @param {string} me
 * @param {(option: PollOption, isMine: boolean) => void} onVote
 */
function pollOption(option, total, me, onVote) {
  const voters = (option.voters ?? []).map((voter) => voter.handle);
  const isMine = voters.includes(me);
  const bar = h("span", { class: "poll-bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", String(total ? voters.length / total : 0));
  return h(
    "button",
    {
      type: "button",
      class: `poll-option${isMine ? " mine" : ""}`,
      "aria-pressed": String(isMine),
      on: { click: () => onVote(option, isMine) },
    },
    bar,
    h("span", { class: "poll-check" }, isMine && icon("check")),
    h("span", { class: "poll-text" }, option.text),
    h("span", { class: "poll-count", title: voters.map(personName).join(", ") }, String(voters.length)),
  );
}

/** @param {Part} part */
export const unknownPart = (part) =>
  h("span", { class: "unknown-part" }, `${part.type ?? "Something"} (not shown on this phone)`);
