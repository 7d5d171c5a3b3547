// What the bot made of an exchange, in words and without elements.

import { span } from "../model/conditions.js";
import { isDone, WRITTEN } from "../model/exchanges.js";
import { now } from "../model/time.js";
import { attemptStatus, callStatus, shortPath, tone } from "./summary.js";

/** @import { Attempt, MetQuestion, Observation, TurnError } from "../client/types.d.ts" */
/** @import { Exchange } from "../model/exchanges.js" */

/**
 * The outcome of an exchange. `facts` are short: handler, place, milliseconds, replies. `sentence` says what went wrong,
 * or why nothing happened. `tone` is `good`, `bad`, `idle` for no handler, or empty while nothing is known.
 * @typedef {{ tone: "good" | "bad" | "idle" | "", facts: string[], sentence: string, error?: TurnError | null }} Outcome
 */

/**
 * @param {string | null | undefined} file
 * @param {number | null | undefined} line
 */
export const placeOf = (file, line) => (file ? `${file}${line ? `:${line}` : ""}` : "");

/** @param {number | null | undefined} ms */
function milliseconds(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/** @param {Exchange} exchange */
export const latestTurn = (exchange) => exchange.turns.at(-1)?.data ?? null;

/**
 * @param {Exchange} exchange
 * @returns {Outcome}
 */
export function outcomeOf(exchange) {
  const turn = latestTurn(exchange);
  if (exchange.isCutOff) {
    const facts = [turn?.handler ?? "", placeOf(turn?.file, turn?.line)].filter(Boolean);
    return { tone: "bad", facts, sentence: CUT_OFF };
  }
  if (turn) return outcomeOfTurn(turn, exchange);
  if (exchange.joinedTo) return outcomeOfJoined(exchange.joinedTo);
  const failed = failedAttempt(exchange);
  const facts = [repliesOf(exchange.sent.length)].filter(Boolean);
  if (failed) {
    const others = exchange.deliveries.some(({ data }) => isTaken(data.attempts?.at(-1)));
    const sentence = `${others ? "Did not reach every subscription." : "Did not reach the bot."} ${reasonOf(failed)}`;
    return { tone: "bad", facts, sentence };
  }
  if (exchange.deliveries.length === 0) return { tone: "", facts, sentence: "" };
  const refused = refusalOf(exchange);
  if (refused) return { tone: "bad", facts: ["delivered", ...facts], sentence: refused };
  const isSent = exchange.deliveries.some(({ data }) => data.attempts?.length);
  if (isSent && exchange.behind) {
    const sentence = `${WAITS}${delayOf(exchange.behind)}`;
    return { tone: "idle", facts: ["delivered", ...facts], sentence };
  }
  return isSent
    ? { tone: "", facts: ["delivered", ...facts], sentence: "" }
    : { tone: "", facts: ["waiting for the receiver’s answer"], sentence: "" };
}

/**
 * Return the outcome of a message that was handled as one with an earlier one.
 * @param {Exchange} first The exchange of that one.
 * @returns {Outcome}
 */
function outcomeOfJoined(first) {
  const sentence = `The bot handled it as one message with the ${first.joined.length > 1 ? "first of these" : "one before it"}.`;
  return { tone: outcomeOf(first).tone, facts: [`1 of ${first.joined.length + 1} joined messages`], sentence };
}

/** @type {Record<string, "bad" | "idle">} The tones of outcomes, of which a turn that ended well has none. */
const TONES = { not_handled: "idle", deferred: "idle", retried: "bad", dead_lettered: "bad" };

const RUN_AGAIN = " Correct the code, then choose Run Again.";

const STILL_RUNS = "Still running. The handler has not returned yet.";

const CUT_OFF = "The bot’s process ended before it had handled this. It handles this again after its next start.";

const WAITS = "It waits for an earlier message of this chat";

/**
 * Return the milliseconds until a turn goes on: one that was put off, or one that waits in the middle of its run. 0 if that
 * is not known, or over.
 * @param {Exchange} exchange
 */
export function delayMs({ turns }) {
  const last = turns.at(-1);
  if (last?.data.retry_in_s == null) return 0;
  return Math.max(0, last.ms + (last.data.duration_ms ?? 0) + last.data.retry_in_s * 1000 - now().getTime());
}

/**
 * Return true if a turn waits for something that its report names, such as the rate limit.
 * @param {Exchange} exchange
 */
function isPutOff(exchange) {
  const { outcome, reason } = latestTurn(exchange) ?? {};
  return outcome === "deferred" || (Boolean(reason) && delayMs(exchange) > 0);
}

/**
 * Return the end of a sentence about a message that others wait for: why it is not done, and when the bot goes on with it.
 * @param {Exchange} exchange
 */
function delayOf(exchange) {
  const { outcome, reason } = latestTurn(exchange) ?? {};
  if (isPutOff(exchange)) return `${because(reason)}.${goesOn(exchange, "That one")}`;
  return `: the bot handles one after the other, and that one ${outcome === "running" ? "still runs" : "runs again"}.`;
}

/** @param {string | null | undefined} reason */
const because = (reason) => (reason ? `: ${reason.replace(/\.$/, "")}` : "");

/**
 * Return when a turn goes on, as a sentence with a space before it.
 * @param {Exchange} exchange
 * @param {string} [it]
 */
function goesOn(exchange, it = "It") {
  const ms = delayMs(exchange);
  const does = latestTurn(exchange)?.outcome === "running" ? "goes on" : "runs again";
  return ` ${it} ${does}${ms ? ` in ${span(Math.ceil(ms / 1000))}` : ""}.`;
}

/**
 * Return the number of replies of all attempts. One that repeats a step of an earlier one sends nothing again.
 * @param {Exchange} exchange
 */
function repliesOfAll({ turns }) {
  /** @type {Record<number, number>} The latest report of an attempt that runs has the most. */
  const byAttempt = {};
  for (const { data } of turns) byAttempt[data.attempt ?? 1] = data.replies ?? 0;
  return Object.values(byAttempt).reduce((sum, one) => sum + one, 0);
}

/** @param {number} count */
const repliesOf = (count) => (count > 0 ? counted(count, "reply", "replies") : "");

/**
 * Return who was asked in a chat of their own; empty if no one was.
 * @param {Observation | null} turn
 */
const askedElsewhere = (turn) => (turn?.asks_elsewhere?.length ? `asked ${turn.asks_elsewhere.join(", ")}` : "");

/**
 * @param {Observation} turn
 * @param {Exchange} exchange
 */
function factsOf(turn, exchange) {
  const { outcome, attempt = 1 } = turn;
  const replies = turn.replies == null ? exchange.sent.length : repliesOfAll(exchange);
  const asked = askedElsewhere(turn);
  return [
    turn.handler ?? "",
    placeOf(turn.file, turn.line),
    outcome === "not_handled" ? "" : milliseconds(turn.duration_ms),
    exchange.joined.length > 0 ? `${exchange.joined.length + 1} joined messages` : "",
    outcome === "not_handled" || (asked && !replies) ? "" : counted(replies, "reply", "replies").replace(/^0/, "no"),
    asked,
    attempt > 1 ? `attempt ${attempt}` : "",
  ].filter(Boolean);
}

/**
 * @param {Observation} turn
 * @param {Exchange} exchange
 * @returns {Outcome}
 */
function outcomeOfTurn(turn, exchange) {
  const { outcome, error = null } = turn;
  const facts = factsOf(turn, exchange);
  switch (outcome) {
    case "taken":
      return outcomeOfTaken(turn, exchange.takenBy);
    case "running": {
      const sentence = delayMs(exchange) ? `It waits${because(turn.reason)}.${goesOn(exchange)}` : STILL_RUNS;
      return { tone: "idle", facts, sentence };
    }
    default: {
      const sentence = `${turn.why ?? ""}${nextOf(turn, exchange)} ${questionsOf(turn)}`.trim();
      return { tone: TONES[outcome ?? ""] ?? (error ? "bad" : "good"), facts, sentence, error };
    }
  }
}

/**
 * Return what happens next, or what the author can do, as a sentence with a space before it.
 * @param {Observation} turn
 * @param {Exchange} exchange
 */
function nextOf({ outcome, event_type: eventType }, exchange) {
  if (outcome === "retried" || outcome === "deferred") return goesOn(exchange);
  return outcome === "dead_lettered" && WRITTEN.has(eventType ?? "") ? RUN_AGAIN : "";
}

/**
 * Return the outcome of a message that the handler of an earlier one took while it ran.
 * @param {Observation} turn
 * @param {Exchange | null} by The exchange of that one; null if it is no longer kept.
 * @returns {Outcome}
 */
function outcomeOfTaken({ handler, file, line }, by) {
  const facts = [handler ?? "", placeOf(file, line), "taken by the running handler"].filter(Boolean);
  const last = by && latestTurn(by);
  const taken = "The handler of an earlier message took it with ctx.incoming().";
  if (!by) return { tone: "good", facts, sentence: taken };
  const { tone: how, sentence, error } = outcomeOf(by);
  if (!by.isCutOff && (!last || last.outcome === "running")) {
    return { tone: last ? "idle" : "", facts, sentence: `${taken} That handler still runs.` };
  }
  const replies = last?.replies ?? by.sent.length;
  const end = sentence || `It ended with ${counted(replies, "reply", "replies").replace(/^0/, "no")}.`;
  return { tone: how, facts, sentence: `${taken} ${end}`, error };
}

/** @type {Record<MetQuestion["result"], (question: string) => string>} */
const MET = {
  answered: (question) => `It answers ${question}.`,
  invalid: (question) => `It is no valid answer to ${question}, so the bot asked for another.`,
  given_up: (question) => `It is no valid answer to ${question}, and was the last try: the question has ended.`,
  cancelled: (question) => `It ended ${question} without an answer.`,
  timed_out: (question) => `No answer came in time to ${question}: the question has ended.`,
  kept_open: (question) => `It is no answer to ${question}, which stays open.`,
  counted: (question) => `It counts as a vote on ${question}, which stays open.`,
  passed_on: (question) => `The question is ${question}.`,
  late: (question) => `The question was ${question}.`,
};

/**
 * Return what became of the open question that an event concerns, and the question that the bot then asked.
 * @param {Observation} turn
 */
function questionsOf({ question, asks, asks_elsewhere: people = [], handler }) {
  const of = question && question.handler !== handler ? ` of ${question.handler}` : "";
  const met = question ? MET[question.result](`“${oneLine(question.text)}”${of}`) : "";
  const to = people.length > 0 ? ` to ${people.join(", ")}` : "";
  return [met, asks ? `The question${to} is “${oneLine(asks)}”.` : ""].filter(Boolean).join(" ");
}

/** @param {string} text */
const oneLine = (text) => text.replace(/\s+/g, " ").trim();

/**
 * Return in a few words what the phone shows under a message; nothing if the bot took it.
 * @param {Exchange} exchange
 * @returns {string}
 */
export function briefly(exchange) {
  if (exchange.joinedTo) return briefly(exchange.joinedTo);
  const { tone: how, error, sentence } = outcomeOf(exchange);
  const note = latestTurn(exchange)?.notes?.find(({ title }) => title);
  if (error) return at(error.type, error);
  if (note) return at(note.title ?? "", note);
  if (latestTurn(exchange)?.outcome === "taken") return exchange.takenBy ? briefly(exchange.takenBy) : "";
  if (isWhole(exchange, sentence)) return sentence;
  if (how === "bad" || how === "idle") return at(sentence.split(/[.:](?: |$)/)[0], runningAt(latestTurn(exchange)));
  if (!isSilent(exchange)) return "";
  const asked = askedElsewhere(latestTurn(exchange));
  if (asked) return asked.replace("asked", "Asked");
  const ended = ENDS_QUESTION.has(latestTurn(exchange)?.question?.result ?? "");
  return ended ? "The question has ended" : "Handled without a reply";
}

/**
 * Return the place where the handler of a running turn waits, if it is known.
 * @param {Observation | null} turn
 */
const runningAt = (turn) => (turn?.outcome === "running" && turn.notes?.[0]) || {};

/** The ends of a question. */
const ENDS_QUESTION = new Set(["given_up", "cancelled", "timed_out"]);

/**
 * Return the call that Linq refused, and why, if the bot did not answer the message; empty otherwise. A receipt and a
 * typing indicator are no answer.
 * @param {Exchange} exchange
 */
function refusalOf({ calls, receipts }) {
  if (calls.some(({ data }) => isDone(data.status) && data.method !== "GET")) return "";
  const refused = [...receipts, ...calls].findLast((trace) => trace.kind === "call" && (trace.data.status ?? 0) >= 400);
  if (refused?.kind !== "call") return "";
  const { method, path, status, answer } = refused.data;
  const { code, message } = answer?.error ?? {};
  const why = [code && `, code ${code}`, message && `: ${message.replace(/\.$/, "")}`].filter(Boolean).join("");
  return `Linq refused ${method} ${shortPath(path)} with ${status}${why}.`;
}

/**
 * Return true if the phone shows the whole sentence: its end is what the person must know.
 * @param {Exchange} exchange
 * @param {string} sentence
 */
const isWhole = (exchange, sentence) =>
  sentence !== "" && (isPutOff(exchange.behind ?? exchange) || refusalOf(exchange) !== "");

/**
 * Return true if a handler took a message and did nothing. A bot reads and marks messages as read by itself.
 * @param {Exchange} exchange
 */
function isSilent(exchange) {
  const turn = latestTurn(exchange);
  const acts = exchange.calls.some(({ data }) => data.method !== "GET");
  return turn?.outcome === "acked" && Boolean(turn.handler) && !turn.replies && !acts;
}

/**
 * @param {string} what
 * @param {{ file?: string | null, line?: number | null }} place
 */
const at = (what, { file, line }) => (file ? `${what} at ${placeOf(file, line)}` : what);

/**
 * Return the latest attempt of a delivery that has not succeeded.
 * @param {Exchange} exchange
 * @returns {Attempt | null}
 */
function failedAttempt(exchange) {
  for (const { data } of exchange.deliveries) {
    const last = data.attempts?.at(-1);
    if (last && !isTaken(last)) return last;
  }
  return null;
}

/** @param {Attempt | undefined} attempt */
const isTaken = (attempt) => attempt !== undefined && tone(attemptStatus(attempt)) === "good";

/** @param {Attempt} attempt */
export const reasonOf = (attempt) => attempt.reason ?? `The receiver answered ${attemptStatus(attempt)}.`;

/**
 * Return true if the bot, a webhook or a call of the exchange failed.
 * @param {Exchange} exchange
 */
export const isFailed = (exchange) =>
  outcomeOf(exchange).tone === "bad" ||
  exchange.calls.some(({ data }) => tone(callStatus(data)) === "bad") ||
  failedAttempt(exchange) !== null;
