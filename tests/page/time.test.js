import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin"; // a zone that changes its clocks
// Imported after the zone is set, because the module makes its formats when it is loaded.
const { clockTime, dayName, listTime, now, preciseTime, setNow, statusBarTime } = await import(
  "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/time.js"
);

/**
 * @param {string} iso
 * @param {Intl.DateTimeFormatOptions} options
 */
const formatted = (iso, options) => new Intl.DateTimeFormat(undefined, options).format(new Date(iso));

test("now is the emulator's clock", () => {
  setNow("2030-05-01T12:00:00Z");
  assert.ok(Math.abs(now().getTime() - Date.parse("2030-05-01T12:00:00Z")) < 1000);
});

test("days are named up to a week ago, older ones are dates", () => {
  setNow("2026-11-20T12:00:00+01:00");
  assert.equal(dayName("2026-11-20T00:00:01+01:00"), "Today");
  assert.equal(dayName("2026-11-19T23:59:59+01:00"), "Yesterday");
  assert.equal(dayName("2026-11-14T12:00:00+01:00"), formatted("2026-11-14T12:00:00+01:00", { weekday: "long" }));
  const date = { weekday: /** @type {const} */ ("short"), month: /** @type {const} */ ("short") };
  assert.equal(
    dayName("2026-11-13T12:00:00+01:00"),
    formatted("2026-11-13T12:00:00+01:00", { ...date, day: "numeric" }),
  );
});

test("a day on which the clocks change is one day too", () => {
  setNow("2026-10-26T12:00:00+01:00"); // the day before had 25 hours
  assert.equal(dayName("2026-10-25T00:30:00+02:00"), "Yesterday");
  setNow("2026-03-30T12:00:00+02:00"); // the day before had 23 hours
  assert.equal(dayName("2026-03-29T23:30:00+02:00"), "Yesterday");
});

test("the list shows the clock's time of today, then a day, then a date", () => {
  setNow("2026-11-20T12:00:00+01:00");
  assert.equal(listTime("2026-11-20T09:05:00+01:00"), clockTime("2026-11-20T09:05:00+01:00"));
  assert.equal(listTime("2026-11-19T09:05:00+01:00"), "Yesterday");
  assert.match(listTime("2026-10-01T09:05:00+02:00"), /26/);
});

test("the status bar shows no AM or PM", () => {
  setNow("2026-11-20T21:41:00+01:00");
  assert.match(statusBarTime(), /^\d{1,2}.41$/);
});

test("the inspector's times have milliseconds", () => {
  assert.match(preciseTime("2026-11-20T21:41:07.089+01:00"), /^21.41.07.089$/);
});

test("an input for a date holds local time", async () => {
  const { toInputValue } = await import("../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/time.js");
  assert.equal(toInputValue(new Date("2026-11-20T23:30:00Z")), "2026-11-21T00:30:00");
  assert.equal(toInputValue(new Date("2026-07-20T23:30:00Z")), "2026-07-21T01:30:00");
});
