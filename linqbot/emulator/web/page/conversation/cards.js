// Parts that are neither text nor media: links, app cards, App Clips, polls, and kinds this page does not know yet.

import { h, icon, webUrl } from "../elements/dom.js";
import { localUrl } from "./media.js";
import { personName } from "../model/people.js";

function card(url, { title, caption, art, image }) {
  const target = webUrl(url);
  const picture = localUrl(image);
  const cover = h("span", { class: "card-cover" }, picture ? h("img", { src: picture, alt: "" }) : icon(art));
  const foot = h("span", { class: "card-foot" }, h("strong", {}, title), caption && h("small", {}, caption));
  if (!target) return h("span", { class: "card" }, cover, foot);
  return h("a", { class: "card", href: target.href, target: "_blank", rel: "noopener noreferrer" }, cover, foot);
}

function readable(path) {
  try {
    return decodeURI(path);
  } catch {
    return path; // a % that escapes nothing
  }
}

export function linkCard(part) {
  const target = webUrl(part.value);
  if (!target) return h("span", { class: "plain-link" }, part.value);
  const path = readable(target.pathname).replace(/\/$/, "");
  return card(part.value, { title: path ? path.slice(1) : target.hostname, caption: target.hostname, art: "globe" });
}

export function appCard({ app, layout = {}, url, fallback_text: fallback }) {
  return card(url, {
    title: layout.caption ?? layout.image_title ?? fallback ?? app?.name ?? "App",
    caption: [layout.subcaption, app?.name].filter(Boolean).join(" · "),
    art: "sparkles",
    image: layout.image_url,
  });
}

export function appClipCard(part) {
  return card(part.value, {
    title: part.title ?? part.caption ?? "App Clip",
    caption: part.description,
    art: "window",
    image: part.image_url,
  });
}

/** A poll with its votes; `onVote(option, isMine)` when one is pressed. */
export function pollCard(poll, me, onVote) {
  const options = poll.options.map((option) => {
    const voters = option.voters ?? [];
    const isMine = voters.some((voter) => (voter.handle?.handle ?? voter.handle) === me);
    const bar = h("span", { class: "poll-bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", poll.total_voters ? voters.length / poll.total_voters : 0);
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
      h(
        "span",
        {
          class: "poll-count",
          title: voters.map((voter) => personName(voter.handle?.handle ?? voter.handle)).join(", "),
        },
        String(voters.length),
      ),
    );
  });
  const total = poll.total_voters ?? 0;
  return h(
    "span",
    { class: "poll" },
    h("small", {}, "Poll"),
    options,
    h("small", {}, `${total} ${total === 1 ? "vote" : "votes"}`),
  );
}

export const unknownPart = (part) =>
  h("span", { class: "unknown-part" }, `${part.type ?? "Something"} (not shown on this phone)`);
