// Message effects: Linq's names and the titles that a phone shows.

/** @type {Record<string, string>} */
export const BUBBLE_EFFECTS = { slam: "Slam", loud: "Loud", gentle: "Gentle", invisible: "Invisible Ink" };

/** @type {Record<string, string>} */
export const SCREEN_EFFECTS = {
  echo: "Echo",
  spotlight: "Spotlight",
  balloons: "Balloons",
  confetti: "Confetti",
  love: "Love",
  lasers: "Lasers",
  fireworks: "Fireworks",
  celebration: "Celebration",
  sparkles: "Sparkles",
  hearts: "Hearts",
  happy_birthday: "Happy Birthday",
};

/** @param {string} name */
export const effectTitle = (name) => BUBBLE_EFFECTS[name] ?? SCREEN_EFFECTS[name] ?? name;

/**
 * Return an effect as Linq's API writes it.
 * @param {string} name
 * @returns {{ name: string, type: "bubble" | "screen" }}
 */
export const effectNamed = (name) => ({ name, type: name in BUBBLE_EFFECTS ? "bubble" : "screen" });
