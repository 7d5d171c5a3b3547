// The emulator's control API: the acts of the person who holds the phone. Each function resolves to the response, or
// throws an Error with the emulator's own sentence as its message.

/** @import { Inbound, State } from "./types.d.ts" */

/**
 * POST `body` as JSON.
 * @param {string} path Below `/emulator/`.
 * @param {object} body
 */
async function post(path, body) {
  const response = await fetch(`/emulator/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const data = text ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(data.error?.message ?? `The emulator answered ${response.status}`);
  return data;
}

/** @returns {Promise<State>} */
export async function fetchState() {
  const response = await fetch("/emulator/state", { cache: "no-store" });
  if (!response.ok) throw new Error(`The emulator answered ${response.status}`);
  return response.json();
}

/**
 * @param {Inbound} message
 * @returns {Promise<{ chat_id: string | null, message_id: string | null }>} Both are null when the bot has blocked the
 *   person.
 */
export const sendMessage = (message) => post("inbound", message);

/**
 * Add or remove a tapback.
 * @param {{ from: string, message_id: string, part_index: number, operation: "add" | "remove", type: string,
 *   custom_emoji?: string }} reaction
 */
export const react = (reaction) => post("react", reaction);

/** @param {{ from: string, message_id: string, part_index: number, text: string }} edit */
export const editMessage = (edit) => post("edit", edit);

/** @param {{ from: string, message_id: string, option_id: string, operation: "add" | "remove" }} choice */
export const vote = (choice) => post("vote", choice);

/**
 * Report that a person has read a chat.
 * @param {string} from
 * @param {string} chatId
 */
export const markRead = (from, chatId) => post("read", { from, chat_id: chatId });

/**
 * @param {string} from
 * @param {string} chatId
 * @param {"started" | "stopped"} state
 */
export const setTyping = (from, chatId, state) => post("typing", { from, chat_id: chatId, state });

/**
 * @param {string} from
 * @param {string} chatId
 */
export const leave = (from, chatId) => post("leave", { from, chat_id: chatId });

/**
 * Add a person to a group.
 * @param {string} from
 * @param {string} chatId
 * @param {string} handle
 */
export const join = (from, chatId, handle) => post("join", { from, chat_id: chatId, handle });

/**
 * Deliver a webhook again: the same bytes under the same id.
 * @param {string} eventId
 */
export const replayDelivery = (eventId) => post(`deliveries/${encodeURIComponent(eventId)}/replay`, {});
