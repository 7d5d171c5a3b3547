// Messages that the person has unsent. Linq has no event for this and the bot keeps the message, so the emulator knows
// nothing of it: this browser remembers the ids, for all phones that it shows.

const UNSENT = "linqbot.unsent";
const MOST_KEPT = 500;

/** How long a phone offers to undo sending. */
export const UNDO_MS = 2 * 60 * 1000;

/** @returns {string[]} */
function kept() {
  try {
    return JSON.parse(localStorage.getItem(UNSENT) ?? "[]");
  } catch {
    return []; // The browser refuses its storage, or holds something else under this key.
  }
}

let unsent = new Set(kept());

/** @param {string} id Of a message. */
export const isUnsent = (id) => unsent.has(id);

/** @param {string} id Of a message. */
export function unsend(id) {
  unsent = new Set([...kept(), id].slice(-MOST_KEPT));
  localStorage.setItem(UNSENT, JSON.stringify([...unsent]));
}

/**
 * Call `listener` after another phone of this browser has unsent a message.
 * @param {() => void} listener
 */
export function onUnsent(listener) {
  addEventListener("storage", ({ key }) => {
    if (key !== UNSENT) return;
    unsent = new Set(kept());
    listener();
  });
}
