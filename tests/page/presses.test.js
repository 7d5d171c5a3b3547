// A press holds back what is shown anew, so that its click is not lost.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Presses } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/elements/presses.js";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

function world() {
  const page = new EventTarget();
  const presses = new Presses(page);
  /** @type {string[]} */
  const ran = [];
  const act = (/** @type {string[]} */ ...types) => {
    for (const type of types) page.dispatchEvent(new Event(type));
  };
  return { act, ran, change: () => presses.runOutside(() => ran.push("shown")) };
}

test("without a press, it runs soon", async () => {
  const { ran, change } = world();
  change();
  await Promise.resolve();
  assert.deepEqual(ran, ["shown"]);
});

test("during a press it waits until the click was handled", async () => {
  const { act, ran, change } = world();
  act("pointerdown");
  change();
  mock.timers.tick(100);
  act("pointerup", "click");
  await Promise.resolve();
  assert.deepEqual(ran, []);
  mock.timers.tick(0);
  assert.deepEqual(ran, ["shown"]);
});

test("a touch is a click a moment after its release", () => {
  const { act, ran, change } = world();
  act("pointerdown", "pointerup");
  mock.timers.tick(20);
  change();
  act("click");
  assert.deepEqual(ran, []);
  mock.timers.tick(0);
  assert.deepEqual(ran, ["shown"]);
});

test("a press that scrolls, or lasts long, holds nothing back", () => {
  const { act, ran, change } = world();
  act("pointerdown", "pointercancel");
  change();
  mock.timers.tick(0);
  act("pointerdown");
  change();
  mock.timers.tick(400);
  assert.deepEqual(ran, ["shown", "shown"]);
});
