// The part of the control API that changes the conditions: clock, faults, opt-outs, lines, and starting again.

import { post, request } from "./control.js";

/** @import { NewFault, Stored } from "./types.d.ts" */

/**
 * Move the clock forward. The promise resolves when everything that was due on the way has happened.
 * @param {{ advance_s: number } | { to: string }} move
 * @returns {Promise<{ now: string, stopped: string | null }>} `stopped` says why the clock has not got there.
 */
export const moveClock = (move) => post("clock", move);

/** @param {NewFault} fault */
export const addFault = (fault) => post("faults", fault);

/** @param {string} id */
export const removeFault = (id) => request("DELETE", `faults/${encodeURIComponent(id)}`);

/**
 * @param {string} handle
 * @param {boolean} isOut
 */
export const setOptOut = (handle, isOut) => post("opt-out", { handle, opted_out: isOut });

/**
 * @param {string} line
 * @param {boolean} isFlagged
 */
export const setFlagged = (line, isFlagged) =>
  post("lines", { phone_number: line, status: isFlagged ? "FLAGGED" : "ACTIVE" });

/**
 * Return what the bot stores, of a chat and of all chats.
 * @param {string | undefined} chatId
 * @returns {Promise<Stored>}
 */
export const fetchStored = (chatId) =>
  request("GET", `stored${chatId ? `?chat_id=${encodeURIComponent(chatId)}` : ""}`);

/** Empty the emulator and, under `linqbot dev`, the bot's storage. */
export const resetAll = () => post("reset", {});

/**
 * Deliver the event of a message again: the same bytes under the same id.
 * @param {string} messageId
 */
export const deliverAgain = (messageId) => post("deliver-again", { message_id: messageId });

/**
 * Let the bot handle a message again, with everything that it sends.
 * @param {string} messageId
 */
export const runAgain = (messageId) => post("run-again", { message_id: messageId });

/**
 * Return emulator and bot to the state before a message, and write it again.
 * @param {string} messageId
 * @returns {Promise<{ chat_id: string, message_id: string }>}
 */
export const restartFrom = (messageId) => post("restart", { message_id: messageId });
