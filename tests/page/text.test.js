import assert from "node:assert/strict";
import { test } from "node:test";
import { isJumbo, runsOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/content/text.js";

/** @param {string} value */
const text = (value) => ({ type: "text", value });

/** @param {import("../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts").Part} part */
const shown = (part) =>
  runsOf(part).map((run) => [run.text, ...run.marks.map((mark) => mark.cls ?? mark.animation ?? mark.href)]);

test("one to three emoji are large", () => {
  for (const value of ["😂", " 👍🎉 ", "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪", "👍🏽", "1️⃣"]) assert.ok(isJumbo(text(value)), value);
});

test("more emoji, letters and digits are not", () => {
  for (const value of ["", "😂😂😂😂", "ok 👍", "123", "#*", "a"]) assert.ok(!isJumbo(text(value)), value);
  assert.ok(!isJumbo({ type: "link", value: "😂" }));
  assert.ok(!isJumbo({ ...text("😂"), text_decorations: [{ range: [0, 2], style: "bold" }] }));
});

test("a plain text is one run, an empty one none", () => {
  assert.deepEqual(shown(text("hello")), [["hello"]]);
  assert.deepEqual(shown(text("")), []);
});

test("ranges count UTF-16 code units", () => {
  const part = {
    ...text("🎂 cake"),
    text_decorations: [{ range: /** @type {[number, number]} */ ([3, 7]), style: "bold" }],
  };
  assert.deepEqual(shown(part), [["🎂 "], ["cake", "style-bold"]]);
});

test("marks that overlap share the runs that they have in common", () => {
  /** @type {{ range: [number, number], style?: string, animation?: string }[]} */
  const text_decorations = [
    { range: [0, 4], style: "bold" },
    { range: [2, 6], animation: "shake" },
  ];
  assert.deepEqual(shown({ ...text("abcdef"), text_decorations }), [
    ["ab", "style-bold"],
    ["cd", "style-bold", "shake"],
    ["ef", "shake"],
  ]);
});

test("a mention without a range is the whole text", () => {
  assert.deepEqual(shown({ ...text("hey"), mentions: [{ range: null }] }), [["hey", "mention"]]);
});

test("ranges outside of the text lose nothing of it", () => {
  /** @type {{ range: [number, number], style: string }[]} */
  const text_decorations = [
    { range: [1, 99], style: "bold" },
    { range: [3, 3], style: "italic" },
  ];
  assert.equal(
    runsOf({ ...text("abc"), text_decorations })
      .map((run) => run.text)
      .join(""),
    "abc",
  );
});

test("a link ends before the punctuation after it", () => {
  assert.deepEqual(shown(text("see https://example.com/a?b=1, please")), [
    ["see "],
    ["https://example.com/a?b=1", "https://example.com/a?b=1"],
    [", please"],
  ]);
});

test("a link keeps the pairs of parentheses in it", () => {
  for (const link of [
    "https://en.wikipedia.org/wiki/A_(b)",
    "https://example.com/a(b)c",
    "https://example.com/(a)?b=(c)",
  ]) {
    for (const [before, after] of [
      ["", ""],
      ["(see ", ")."],
      ["“", "”"],
    ]) {
      const found = shown(text(before + link + after)).filter((run) => run.length > 1);
      assert.deepEqual(found, [[link, link]]);
    }
  }
});
