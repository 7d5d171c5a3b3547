// The conditions of the emulator in words: its moved clock, its faults, opt-outs and flagged lines. Without elements.

import { formatHandle } from "./handles.js";

/** @import { Conditions, Fault, NewFault } from "../client/types.d.ts" */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
/** The clock counts as moved from this many seconds on. */
const MOVED_S = 1;

/**
 * A fault that can be switched on. `which` are the names of what it can be limited to, `seconds` is the label of its
 * number of seconds, if it has one.
 * @typedef {{ label: string, about: string, which: "calls" | "events" | null, seconds?: string, start?: number,
 *   fault: (seconds: number) => NewFault }} FaultKind
 */

/** @type {Record<string, FaultKind>} */
export const FAULT_KINDS = {
  limit: {
    label: "429 Too many requests",
    about: "Linq refuses the call and says when to try again.",
    which: "calls",
    seconds: "Try again after (s)",
    start: 2,
    fault: (seconds) => ({ on: "api", status: 429, retry_after: Math.ceil(seconds) }),
  },
  error: {
    label: "500 Internal error",
    about: "Linq answers 500 and does nothing.",
    which: "calls",
    fault: () => ({ on: "api", status: 500 }),
  },
  lost: {
    label: "The answer is lost",
    about: "Linq does what was asked, but the connection breaks before the answer is complete.",
    which: "calls",
    fault: () => ({ on: "api", drop: "answer" }),
  },
  silent: {
    label: "No byte is answered",
    about: "Linq does nothing and closes the connection without sending a byte.",
    which: "calls",
    fault: () => ({ on: "api", drop: "connection" }),
  },
  slow: {
    label: "The answer is slow",
    about: "Linq does what was asked, but only after some seconds.",
    which: "calls",
    seconds: "Seconds",
    start: 5,
    fault: (seconds) => ({ on: "api", delay_ms: Math.round(seconds * 1000) }),
  },
  undelivered: {
    label: "A webhook fails",
    about: "The webhook does not reach the bot. Linq delivers it again, with growing pauses.",
    which: "events",
    fault: () => ({ on: "delivery", status: 500 }),
  },
  doubled: {
    label: "A webhook comes twice",
    about: "Linq delivers the same event twice. The bot must act on it once.",
    which: "events",
    fault: () => ({ on: "delivery", duplicate: true }),
  },
  unsent: {
    label: "A message fails later",
    about: "Linq accepts the message and then cannot deliver it: message.failed.",
    which: null,
    fault: () => ({ on: "message", code: 4001 }),
  },
};

/** The values of `match` for calls, with their labels. */
export const CALLS = {
  "": "Any call",
  "chats.messages.send": "Sending a message",
  "chats.create": "Opening a chat",
  "chats.typing": "Typing dots",
  "chats.mark_as_read": "Read receipts",
  "messages.add_reaction": "Tapbacks",
  "messages.update": "Edits",
  "attachments.create": "Uploads",
  "GET /v3": "Anything read",
};

/** The values of `match` for events, with their labels. */
export const EVENTS = {
  "": "Any event",
  "message.received": "A person's message",
  "message.edited": "An edit",
  "reaction.": "A tapback",
  "message.sent": "Receipt: sent",
  "message.delivered": "Receipt: delivered",
  "message.read": "Receipt: read",
  "chat.typing_indicator": "Typing dots",
};

/**
 * Return the body that switches a fault on.
 * @param {string} kind A key of `FAULT_KINDS`.
 * @param {{ match: string, times: number | null, seconds: number }} choice `times` null is until it is switched off.
 * @returns {NewFault}
 */
export function newFault(kind, { match, times, seconds }) {
  const { which, fault } = FAULT_KINDS[kind];
  return { ...fault(seconds), ...(which ? { match } : {}), times };
}

/**
 * Return the name of a fault, as `The answer is slow (5 s)`.
 * @param {Fault} fault
 */
export function faultTitle(fault) {
  if (fault.on === "api") return apiTitle(fault);
  if (fault.on === "message") return FAULT_KINDS.unsent.label;
  if (fault.on === "chat") return "A change of a chat fails";
  if (fault.duplicate) return FAULT_KINDS.doubled.label;
  if (fault.reorder) return "A webhook comes after the next one";
  if (fault.drop) return "A webhook is lost";
  return fault.status ? `${FAULT_KINDS.undelivered.label} (${fault.status})` : `A webhook is late (${seconds(fault)})`;
}

/** @param {Fault} fault */
function apiTitle(fault) {
  if (fault.drop === "connection") return FAULT_KINDS.silent.label;
  if (fault.drop === "request") return "The request is lost";
  if (fault.drop) return FAULT_KINDS.lost.label;
  if (fault.status === 429) return FAULT_KINDS.limit.label;
  if (fault.status) return fault.status === 500 ? FAULT_KINDS.error.label : `Answers ${fault.status}`;
  return `${FAULT_KINDS.slow.label} (${seconds(fault)})`;
}

/** @param {Fault} fault */
const seconds = ({ delay_ms: ms = 0 }) => `${ms / 1000} s`;

/**
 * Return what a fault is limited to, in small letters; empty if it is not limited.
 * @param {Fault} fault
 */
export function faultScope({ on, match }) {
  /** @type {Record<string, string>} */
  const names = on === "api" ? CALLS : EVENTS;
  const name = match && (names[match] ?? match);
  return name && name !== match ? name.charAt(0).toLowerCase() + name.slice(1) : name;
}

/**
 * Return how often a fault will still happen.
 * @param {Fault} fault
 */
export function faultTimes({ times }) {
  if (times === null) return "until switched off";
  return times === 1 ? "once" : `${times} times`;
}

/** @param {Conditions | null} conditions */
export const isMoved = (conditions) =>
  conditions !== null && (conditions.is_frozen || Math.abs(conditions.ahead_s) >= MOVED_S);

/**
 * Return a span of time in its two largest units, as `1 day 2 h`.
 * @param {number} s Seconds.
 */
export function span(s) {
  const whole = Math.round(s);
  const days = Math.floor(whole / DAY);
  const parts = [
    days && `${days} ${days === 1 ? "day" : "days"}`,
    Math.floor((whole % DAY) / HOUR) && `${Math.floor((whole % DAY) / HOUR)} h`,
    Math.floor((whole % HOUR) / MINUTE) && `${Math.floor((whole % HOUR) / MINUTE)} min`,
    `${whole % MINUTE} s`,
  ].filter((part) => part && part !== "0 s");
  return parts.slice(0, 2).join(" ") || "0 s";
}

/**
 * Return how the clock differs from real time.
 * @param {Conditions} conditions
 */
export function clockDifference({ ahead_s: ahead, is_frozen: isFrozen }) {
  if (isFrozen) return "stopped";
  if (Math.abs(ahead) < MOVED_S) return "real time";
  return `${span(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} real time`;
}

/**
 * A note about one condition. `off` says how it can be ended with one press; null if it cannot.
 * @typedef {{ key: string, text: string, off: { label: string, kind: "fault" | "opt-out" | "line", id: string } | null
 *   }} ConditionNote
 */

/**
 * Return a note for each condition that is not ordinary, the clock first.
 * @param {Conditions | null} conditions
 * @returns {ConditionNote[]}
 */
export function conditionNotes(conditions) {
  if (!conditions) return [];
  const clock = isMoved(conditions) ? [{ key: "clock", text: `Clock: ${clockDifference(conditions)}`, off: null }] : [];
  const faults = conditions.faults.map((fault) => {
    const scope = faultScope(fault);
    const text = `${faultTitle(fault)}${scope ? `, ${scope}` : ""}: ${faultTimes(fault)}`;
    return { key: fault.id, text, off: note("fault", fault.id, `Switch off: ${faultTitle(fault)}`) };
  });
  const people = conditions.opted_out.map((handle) => ({
    key: `out ${handle}`,
    text: `${formatHandle(handle)} has opted out`,
    off: note("opt-out", handle, `Opt ${formatHandle(handle)} in again`),
  }));
  const lines = conditions.flagged_lines.map((line) => ({
    key: `line ${line}`,
    text: `${formatHandle(line)} is flagged`,
    off: note("line", line, `Make ${formatHandle(line)} active again`),
  }));
  return [...clock, ...faults, ...people, ...lines];
}

/**
 * @param {"fault" | "opt-out" | "line"} kind
 * @param {string} id
 * @param {string} label
 */
const note = (kind, id, label) => ({ label, kind, id });
