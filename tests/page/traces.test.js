import assert from "node:assert/strict";
import { test } from "node:test";
import {
  jsonPieces,
  summaryOf,
  tone,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/inspector/summary.js";
import { Traces } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/traces.js";

/** @import { Row } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/exchanges.js" */
/** @import { Trace } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/traces.js" */

const delivery = {
  event_id: "e",
  event_type: "message.received",
  subscription_id: "s",
  created_at: "2026-01-01T00:00:05Z",
};
const call = { at: "2026-01-01T00:00:01Z", method: "POST", path: "/v3/chats", status: 201, ms: 3 };

/** @param {Trace} trace */
const summary = (trace) => summaryOf(/** @type {Row} */ (trace));

/** @param {(traces: Traces) => void} add */
function added(add) {
  const traces = new Traces();
  add(traces);
  return traces.list;
}

test("a delivery with a new attempt stays where it was", () => {
  const list = added((traces) => {
    traces.addDelivery(delivery);
    traces.addCall(call);
    traces.addDelivery({ ...delivery, attempts: [{ status: 500, ms: 1 }] });
  });
  assert.deepEqual(
    list.map(({ kind, at }) => [kind, at]),
    [
      ["delivery", delivery.created_at],
      ["call", call.at],
    ],
  );
  assert.equal(summary(list[0]).status, "500");
});

test("two calls that look alike are two entries", () => {
  const list = added((traces) => {
    traces.addCall(call);
    traces.addCall(call);
  });
  assert.equal(new Set(list.map(({ key }) => key)).size, 2);
});

test("a call and a report that come twice, by the state and by the stream, are one entry each", () => {
  const list = added((traces) => {
    for (const _ of [1, 2]) {
      traces.addCall({ ...call, id: "c" });
      traces.addObservation({ kind: "turn", event_id: "e", attempt: 1, started_at: call.at });
    }
    traces.addObservation({ kind: "turn", event_id: "e", attempt: 2, started_at: call.at });
  });
  assert.deepEqual(
    list.map(({ kind }) => kind),
    ["call", "observation", "observation"],
  );
});

test("the list has an end: the oldest entries go", () => {
  const list = added((traces) => {
    for (let status = 0; status < 1100; status += 1) traces.addCall({ ...call, status });
  });
  assert.deepEqual([list.length, summary(list[0]).status], [1000, "100"]);
});

test("a load is sorted by time", () => {
  const list = added((traces) => {
    traces.addDelivery(delivery);
    traces.addCall(call);
    traces.sort();
  });
  assert.deepEqual(
    list.map(({ kind }) => kind),
    ["call", "delivery"],
  );
});

test("a delivery shows its last attempt, and how many there were", () => {
  const attempts = [
    { status: 500, ms: 1 },
    { status: 200, ms: 7 },
  ];
  const [trace] = added((traces) => traces.addDelivery({ ...delivery, attempts }));
  assert.deepEqual(summary(trace), { title: "message.received", status: "200", ms: 7, extra: "2 attempts" });
});

test("a delivery without an answer is bad, one under way is neither good nor bad", () => {
  const [unanswered] = added((traces) => traces.addDelivery({ ...delivery, attempts: [{ status: null, ms: 9 }] }));
  assert.equal(summary(unanswered).status, "no answer");
  assert.equal(tone("no answer"), "bad");
  const [pending] = added((traces) => traces.addDelivery(delivery));
  assert.equal(tone(summary(pending).status), "");
});

test("paths are shown without the API's prefix and with short ids", () => {
  const path = "/api/partner/v3/chats/85e35080-34ed-4329-a53c-4711aadf4799/messages";
  const [trace] = added((traces) => traces.addCall({ ...call, path }));
  assert.equal(summary(trace).title, "/v3/chats/85e3…/messages");
});

test("a status is good, bad or neither", () => {
  const tones = ["200", "204", "302", "404", "500", "no answer", "…"].map(tone);
  assert.deepEqual(tones, ["good", "good", "", "bad", "bad", "bad", ""]);
});

test("the pieces of JSON are the JSON, with other classes for keys, strings and literals", () => {
  const data = { a: "x: 1", 'b"': [1.5, true, null] };
  const pieces = jsonPieces(data);
  assert.equal(pieces.map(({ text }) => text).join(""), JSON.stringify(data, null, 2));
  const coloured = pieces.filter(({ cls }) => cls).map(({ text, cls }) => [cls, text]);
  assert.deepEqual(coloured, [
    ["json-key", '"a"'],
    ["json-string", '"x: 1"'],
    ["json-key", '"b\\""'],
    ["json-literal", "1.5"],
    ["json-literal", "true"],
    ["json-literal", "null"],
  ]);
});
