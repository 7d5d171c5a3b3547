// A row in one line, without elements.

/** @import { Attempt, Call } from "../client/types.d.ts" */
/** @import { Row } from "../model/exchanges.js" */

/**
 * @typedef {{ title: string, status: string, ms?: number, method?: string, extra?: string }} Summary
 */

const UUID = /\b([0-9a-f]{4})[0-9a-f]{4}-[0-9a-f-]{27}\b/g;
/** What the row of a call says in place of its status, if a fault broke its connection. */
const LOST = { answer: "answer lost", request: "request lost", connection: "closed, no answer" };
const PENDING = "…";

/**
 * @param {Row} trace
 * @returns {Summary}
 */
export function summaryOf(trace) {
  if (trace.kind === "delivery") {
    const { event_type: title, attempts = [] } = trace.data;
    const last = attempts.at(-1);
    const extra = attempts.length > 1 ? `${attempts.length} attempts` : "";
    return { title, status: last ? attemptStatus(last) : PENDING, ms: last?.ms, extra };
  }
  const { path, method, ms } = trace.data;
  return { title: shortPath(path), method, status: callStatus(trace.data), ms };
}

/**
 * Return the HTTP status that the bot got, or what was lost on the way.
 * @param {Call} call
 */
export const callStatus = ({ status, lost }) => (lost ? LOST[lost] : String(status));

/**
 * Return the HTTP status of an attempt, or that no answer came.
 * @param {Attempt} attempt
 */
export const attemptStatus = ({ status }) => (status === null ? "no answer" : String(status));

/**
 * Return a path with its ids shortened.
 * @param {string} path
 */
export const shortPath = (path) => path.replace(/^\/api\/partner/, "").replace(UUID, "$1…");

/**
 * Return the class of a status: `good`, `bad`, or none for one that is neither.
 * @param {string} status An HTTP status, or why there is none.
 */
export function tone(status) {
  const code = Number(status);
  if (code >= 200 && code < 300) return "good";
  return status === PENDING || code < 400 ? "" : "bad";
}

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/g;

/**
 * Return indented JSON in pieces, each with a class for its colour or none.
 * @param {unknown} data
 * @returns {{ text: string, cls: string | null }[]}
 */
export function jsonPieces(data) {
  const json = JSON.stringify(data, null, 2);
  const pieces = [];
  let at = 0;
  for (const match of json.matchAll(TOKEN)) {
    const [all, string, colon, literal] = match;
    pieces.push({ text: json.slice(at, match.index), cls: null });
    if (literal !== undefined) pieces.push({ text: literal, cls: "json-literal" });
    else pieces.push({ text: string, cls: colon ? "json-key" : "json-string" }, { text: colon ?? "", cls: null });
    at = match.index + all.length;
  }
  pieces.push({ text: json.slice(at), cls: null });
  return pieces.filter(({ text }) => text);
}
