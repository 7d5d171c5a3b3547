// Who is who: people's names and avatars, and which person this phone belongs to. Names live in this browser only;
// the emulator knows handles.

import { h, icon } from "../elements/dom.js";

export const FIRST_PERSON = "+14155550142";
const BOOK = "linqbot.people";
const ME = "linqbot.me";

/** `+14155550142` → `+1 415 555 0142`; an e-mail address stays as it is. */
export function formatHandle(handle) {
  const american = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(handle);
  if (american) return `+1 ${american[1]} ${american[2]} ${american[3]}`;
  const digits = /^\+(\d{2})(\d{4,13})$/.exec(handle);
  return digits ? `+${digits[1]} ${digits[2].replace(/(\d{3})(?=\d{3,4}(?!\d{5}))/g, "$1 ").trim()}` : handle;
}

/** The E.164 form of what was typed, or null. */
export function normaliseHandle(typed) {
  const compact = typed.replace(/[\s().-]/g, "");
  return /^\+[1-9]\d{6,14}$/.test(compact) ? compact : null;
}

function readBook() {
  try {
    return JSON.parse(localStorage.getItem(BOOK)) ?? {};
  } catch {
    return {}; // an unreadable book is an empty book; the phone must open all the same
  }
}

const book = readBook();

export function rememberPerson(handle, name = "") {
  book[handle] = name.trim() || book[handle] || "";
  localStorage.setItem(BOOK, JSON.stringify(book));
}

export const rememberedPeople = () => Object.keys(book);
export const personName = (handle) => book[handle] || formatHandle(handle);

// A tab is a phone: sessionStorage keeps two people in two tabs apart, ?as= opens the second one.
export function initialPerson() {
  const asked = new URLSearchParams(location.search).get("as");
  return (asked && normaliseHandle(asked.replace(/^ /, "+"))) || sessionStorage.getItem(ME) || FIRST_PERSON;
}

export const keepPerson = (handle) => sessionStorage.setItem(ME, handle);

function hue(text) {
  let sum = 0;
  for (const char of text) sum = (sum * 31 + char.codePointAt(0)) >>> 0;
  return sum % 6;
}

const initials = (name) =>
  name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => [...word][0])
    .join("")
    .toUpperCase();

/** The round picture of a person: initials when they have a name, else a silhouette. */
export function avatar(handle) {
  const name = book[handle];
  return h(
    "span",
    { class: `avatar hue-${hue(handle)}`, "aria-hidden": "true" },
    name ? initials(name) : icon("person"),
  );
}

/** The picture of our line number `index`: a robot. */
export const botAvatar = (index) =>
  h("span", { class: `avatar bot bot-${index % 3}`, "aria-hidden": "true" }, icon("bot"));
