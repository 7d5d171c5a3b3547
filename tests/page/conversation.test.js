import assert from "node:assert/strict";
import { test } from "node:test";
import { breaksOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/conversation/runs.js";
import { noticeText } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/conversation/notices.js";
import { FRIEND, group, LINE, ME, message, person, reply, storeWith } from "./world.js";

/** @import { Notice } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */

/** @param {number} minutes */
const at = (minutes) => ({ created_at: new Date(Date.UTC(2026, 0, 1) + minutes * 60_000).toISOString() });

/** @param {(ReturnType<typeof message> | Notice)[]} messages */
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

test("a notice ends a run, and has its time over it after a pause", () => {
  /** @type {Notice} */
  const named = { kind: "named", by: ME, ...at(1) };
  assert.deepEqual(marks(message("a", at(0)), named, message("b", at(2))), ["time <>", "<>", "<>"]);
  assert.equal(marks(message("a", at(0)), { ...named, ...at(90) })[1], "time <>");
});

test("a notice says who did what, as a phone writes it", () => {
  const store = storeWith();
  const says = (/** @type {Omit<Notice, "created_at">} */ one) => noticeText(store, group(), { ...at(0), ...one });
  const friend = "+1\u00a0415\u00a0555\u00a00187";
  assert.equal(says({ kind: "left", by: ME, handle: ME }), "You left the conversation.");
  assert.equal(says({ kind: "joined", by: FRIEND, handle: FRIEND }), `${friend} joined the conversation.`);
  assert.equal(says({ kind: "added", by: FRIEND, handle: ME }), `${friend} added you to the conversation.`);
  assert.equal(
    says({ kind: "removed", by: LINE, handle: FRIEND }),
    `Your\u00a0bot removed ${friend} from the conversation.`,
  );
  assert.equal(says({ kind: "named", by: ME, value: "Cake" }), "You named the conversation “Cake”.");
  assert.equal(says({ kind: "named", by: ME, value: null }), "You removed the name from the conversation.");
  assert.equal(says({ kind: "icon", by: LINE, value: "http://x" }), "Your\u00a0bot changed the group photo.");
  assert.equal(says({ kind: "background", by: ME, value: null }), "You removed the background.");
});
