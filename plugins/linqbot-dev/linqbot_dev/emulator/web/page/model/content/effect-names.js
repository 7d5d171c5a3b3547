// Message effects: Linq's names and the titles that a phone shows.

/** @type {Record<string, string>} */
export const BUBBLE_EFFECTS = { slam: "Slam", loud: "Loud", gentle: "Gentle", invisible: "Invisible Ink" };

/** @param {string} name */
export const effectTitle = (name) =>
  BUBBLE_EFFECTS[name] ?? name.replaceAll("_", " ").replace(/\b[a-z]/g, (letter) => letter.toUpperCase());

/**
 * Return an effect as Linq's API writes it.
 * @param {string} name
 * @returns {{ name: string, type: "bubble" | "screen" }}
 */
export const effectNamed = (name) => ({ name, type: name in BUBBLE_EFFECTS ? "bubble" : "screen" });
