// The names of people, and the person whose phone this tab is. Names live in this browser only; the emulator knows
// handles.

import { formatHandle, normaliseHandle } from "./handles.js";

export const FIRST_PERSON = "+14155550142";
const BOOK = "linqbot.people";
const ME = "linqbot.me";

/** @typedef {Pick<Storage, "getItem" | "setItem">} Memory */

/** @returns {Record<string, string>} */
function readBook() {
  try {
    return JSON.parse(localStorage.getItem(BOOK) ?? "null") ?? {};
  } catch {
    return {}; // The phone must open even when the browser refuses its storage, or holds something else under this key.
  }
}

const book = readBook();

/**
 * Keep a person, with a name if there is one.
 * @param {string} handle
 * @param {string} [name]
 */
export function rememberPerson(handle, name = "") {
  book[handle] = name.trim() || book[handle] || "";
  localStorage.setItem(BOOK, JSON.stringify(book));
}

/** @type {Map<string, string>} The names of the people that the emulator began with. */
const declared = new Map();

/**
 * Take over the people that the emulator began with. A name that was given here comes before theirs.
 * @param {{ handle: string, name: string | null }[]} people
 */
export function declarePeople(people) {
  declared.clear();
  for (const { handle, name } of people) declared.set(handle, name ?? "");
}

export const rememberedPeople = () => [...new Set([...declared.keys(), ...Object.keys(book)])];

/**
 * Return the name that was given to a person; undefined or empty without one.
 * @param {string} handle
 * @returns {string | undefined}
 */
export const givenName = (handle) => book[handle] || declared.get(handle);

/** @param {string} handle */
export const personName = (handle) => givenName(handle) || formatHandle(handle);

/**
 * Return what a phone remembers. The second phone on a page shares the tab's storage, so its keys have a prefix.
 * @param {Memory} memory The tab's.
 * @param {string} search The query of the page's address; `phone` names a further phone on the page.
 * @returns {Memory}
 */
export function phoneMemory(memory, search) {
  const phone = new URLSearchParams(search).get("phone");
  if (!phone) return memory;
  return {
    getItem: (key) => memory.getItem(`${phone} ${key}`),
    setItem: (key, value) => memory.setItem(`${phone} ${key}`, value),
  };
}

/**
 * Return the person whose phone this tab is. Two tabs can be two phones: `memory` is the tab's own, and `?as=` opens
 * the phone of another person.
 * @param {Memory} memory
 * @param {string} search The query of the page's address.
 */
export function initialPerson(memory, search) {
  const asked = new URLSearchParams(search).get("as");
  // A + that is not escaped arrives as a space.
  return (asked && normaliseHandle(asked.replace(/^ /, "+"))) || memory.getItem(ME) || FIRST_PERSON;
}

/**
 * Return the person that a first visit begins with: the first of those that the emulator began with, if there are any and
 * nobody else was asked for.
 * @param {Memory} memory
 * @param {string} me The person so far.
 */
export function firstPerson(memory, me) {
  const isChosen = me !== FIRST_PERSON || memory.getItem(ME) !== null || declared.has(me);
  return isChosen ? me : ([...declared.keys()][0] ?? me);
}

/**
 * @param {Memory} memory
 * @param {string} handle
 */
export const keepPerson = (memory, handle) => memory.setItem(ME, handle);
