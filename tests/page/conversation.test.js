import assert from "node:assert/strict";
import { test } from "node:test";
import { breaksOf } from "../../linqbot/emulator/web/page/conversation/runs.js";
import { FRIEND, message, person, reply } from "./world.js";

/** @param {number} minutes */
const at = (minutes) => ({ created_at: new Date(Date.UTC(2026, 0, 1) + minutes * 60_000).toISOString() });

/** @param {ReturnType<typeof message>[]} messages */
const marks = (...messages) =>
  breaksOf(messages).map(
    ({ hasTime, isFirst, isLast }) => `${hasTime ? "time " : ""}${isFirst ? "<" : ""}${isLast ? ">" : ""}`,
  );

test("the first message has its time over it", () => {
  assert.deepEqual(marks(message("a", at(0))), ["time <>"]);
});

test("messages of one sender stand together, until another sender or a pause", () => {
  const [a, b, c, d] = [message("a", at(0)), message("b", at(4)), reply("c", at(5)), reply("d", at(11))];
  assert.deepEqual(marks(a, b, c, d), ["time <", ">", "<>", "<>"]);
});

test("after an hour the next message has its time over it", () => {
  assert.deepEqual(marks(message("a", at(0)), message("b", at(61))), ["time <>", "time <>"]);
  assert.deepEqual(marks(message("a", at(0)), message("b", at(60))), ["time <>", "<>"]);
});

test("two people of a group are two senders", () => {
  const other = message("b", { ...at(1), from_handle: person(FRIEND) });
  assert.deepEqual(marks(message("a", at(0)), other), ["time <>", "<>"]);
});

test("no message has no break", () => {
  assert.deepEqual(breaksOf([]), []);
});
