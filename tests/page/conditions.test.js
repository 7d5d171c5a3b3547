import assert from "node:assert/strict";
import { test } from "node:test";
import {
  clockDifference,
  conditionNotes,
  FAULT_KINDS,
  faultScope,
  faultTimes,
  faultTitle,
  isMoved,
  newFault,
  span,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/conditions.js";
import { LINE, ME } from "./world.js";

/** @import { Conditions, Fault } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */

/**
 * @param {Partial<Fault>} fault
 * @returns {Fault}
 */
const fault = (fault) => ({ id: "f", on: "api", match: "", times: 1, ...fault });

/**
 * @param {Partial<Conditions>} [more]
 * @returns {Conditions}
 */
const conditions = (more = {}) => ({
  now: "2026-11-20T12:00:00Z",
  ahead_s: 0,
  is_frozen: false,
  faults: [],
  opted_out: [],
  flagged_lines: [],
  ...more,
});

test("an ordinary Linq has no notes", () => {
  assert.deepEqual(conditionNotes(conditions()), []);
  assert.deepEqual(conditionNotes(null), []);
});

test("each condition has a note, and all but the clock can be ended", () => {
  const notes = conditionNotes(
    conditions({
      ahead_s: 86_400,
      faults: [fault({ status: 500, match: "chats.messages.send", times: null })],
      opted_out: [ME],
      flagged_lines: [LINE],
    }),
  );
  assert.deepEqual(
    notes.map(({ text }) => text),
    [
      "Clock: 1 day ahead of real time",
      "500 Internal error, sending a message: until switched off",
      "+1 415 555 0142 has opted out",
      "+1 202 555 0100 is flagged",
    ],
  );
  assert.deepEqual(
    notes.map(({ off }) => off && [off.kind, off.id]),
    [null, ["fault", "f"], ["opt-out", ME], ["line", LINE]],
  );
});

test("every kind of fault on the page does what its label says, and has it as its title", () => {
  const wanted = [
    { on: "api", status: 429, retry_after: 5 },
    { on: "api", status: 500 },
    { on: "api", drop: "answer" },
    { on: "api", drop: "connection" },
    { on: "api", delay_ms: 5000 },
    { on: "delivery", status: 500 },
    { on: "delivery", duplicate: true },
    { on: "message", code: 4001 },
  ];
  for (const [kind, { label, which }] of Object.entries(FAULT_KINDS)) {
    const made = newFault(kind, { match: "", times: 1, seconds: 5 });
    assert.deepEqual(made, { ...wanted.shift(), ...(which && { match: "" }), times: 1 });
    assert.ok(faultTitle(fault(made)).startsWith(label), `${kind}: ${faultTitle(fault(made))}`);
  }
});

test("a fault is limited to calls or events, for some times or until it is switched off", () => {
  const { match, times } = newFault("limit", { match: "chats.create", times: 3, seconds: 1.2 });
  assert.deepEqual([match, times], ["chats.create", 3]);
  assert.equal(newFault("limit", { match: "", times: 1, seconds: 1.2 }).retry_after, 2);
  assert.equal(newFault("slow", { match: "", times: null, seconds: 0.5 }).times, null);
  assert.ok(!("match" in newFault("unsent", { match: "unused", times: 1, seconds: 0 })));
});

test("faults of other programs have titles too", () => {
  assert.equal(faultTitle(fault({ drop: "request" })), "The request is lost");
  assert.equal(faultTitle(fault({ status: 503 })), "Answers 503");
  assert.equal(faultTitle(fault({ on: "delivery", reorder: true })), "A webhook comes after the next one");
  assert.equal(faultTitle(fault({ on: "delivery", drop: "answer" })), "A webhook is lost");
  assert.equal(faultTitle(fault({ on: "delivery", delay_ms: 1500 })), "A webhook is late (1.5 s)");
  assert.equal(faultTitle(fault({ on: "chat", code: 1 })), "A change of a chat fails");
});

test("the scope is a known name, or the text as it is", () => {
  assert.equal(faultScope(fault({ match: "chats.typing" })), "typing dots");
  assert.equal(faultScope(fault({ match: "POST /v3/polls" })), "POST /v3/polls");
  assert.equal(faultScope(fault({ on: "delivery", match: "reaction." })), "a tapback");
  assert.equal(faultScope(fault({})), "");
});

test("the number of times is said in words", () => {
  assert.equal(faultTimes(fault({ times: 1 })), "once");
  assert.equal(faultTimes(fault({ times: 4 })), "4 times");
  assert.equal(faultTimes(fault({ times: null })), "until switched off");
});

test("a span has its two largest units", () => {
  assert.equal(span(0), "0 s");
  assert.equal(span(59), "59 s");
  assert.equal(span(3600), "1 h");
  assert.equal(span(3 * 86_400 + 7200 + 59), "3 days 2 h");
  assert.equal(span(86_400 + 61), "1 day 1 min");
  assert.equal(span(3599.9), "1 h");
});

test("the clock counts as moved from one second on, and while it is stopped", () => {
  assert.equal(clockDifference(conditions({ ahead_s: 0.9 })), "real time");
  assert.equal(isMoved(conditions({ ahead_s: 0.9 })), false);
  assert.equal(clockDifference(conditions({ ahead_s: -90 })), "1 min 30 s behind real time");
  assert.equal(clockDifference(conditions({ is_frozen: true })), "stopped");
  assert.equal(isMoved(conditions({ is_frozen: true })), true);
});
