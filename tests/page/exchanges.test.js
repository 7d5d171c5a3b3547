import assert from "node:assert/strict";
import { test } from "node:test";
import { briefly, outcomeOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/inspector/outcome.js";
import { exchangesOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/exchanges.js";
import { setNow } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/time.js";
import { Traces } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/traces.js";

/** @import { Call, Delivery, Observation } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */
/** @import { Exchange } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/exchanges.js" */

/** @param {number} seconds */
const at = (seconds) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();

/**
 * Return a webhook of the chat `c`.
 * @param {number} seconds
 * @param {string} type
 * @param {string | null} messageId
 * @param {Partial<Delivery>} [more]
 * @returns {Delivery}
 */
const webhook = (seconds, type, messageId, more = {}) => ({
  event_id: `${type} ${messageId} ${seconds}`,
  event_type: type,
  subscription_id: "s",
  chat_id: "c",
  message_id: messageId,
  created_at: at(seconds),
  attempts: [{ status: 200 }],
  ...more,
});

/**
 * Return the call that sends a message.
 * @param {number} seconds
 * @param {string} id
 * @param {Partial<Call>} [more]
 * @returns {Call}
 */
const send = (seconds, id, more = {}) => ({
  at: at(seconds),
  method: "POST",
  path: "/v3/chats/c/messages",
  status: 202,
  chat_id: "c",
  answer: { message: { id } },
  ...more,
});

/**
 * Return the report of a turn over a message.
 * @param {string} messageId
 * @param {number} seconds
 * @param {Partial<Observation>} [more]
 * @returns {Observation}
 */
const turn = (messageId, seconds, more = {}) => ({
  kind: "turn",
  event_type: "message.received",
  message_id: messageId,
  chat_id: "c",
  started_at: at(seconds),
  duration_ms: 500,
  outcome: "acked",
  handler: "bot:greet",
  ...more,
});

/** @param {(traces: Traces) => void} add */
function grouped(add) {
  const traces = new Traces();
  add(traces);
  return exchangesOf(traces.list);
}

test("receipts, typing and the birth of the chat belong to the message", () => {
  const [exchange, ...others] = grouped((traces) => {
    for (const type of ["chat.typing_indicator.started", "chat.created"]) traces.addDelivery(webhook(0, type, null));
    traces.addDelivery(webhook(1, "message.received", "m1"));
    traces.addDelivery(webhook(2, "message.sent", "r1"));
    traces.addCall({ ...send(1.2, "x"), path: "/v3/chats/c/read", answer: null });
    traces.addCall(send(1.5, "r1"));
    traces.addDelivery(webhook(3, "message.read", "r1"));
  });
  assert.deepEqual(others, []);
  assert.deepEqual([exchange.messageId, exchange.sent, exchange.calls.length], ["m1", ["r1"], 1]);
  assert.equal(exchange.receipts.length, 5);
});

test("a handler that has not returned says so, and its calls are its own; one that did nothing says so too", () => {
  const [running] = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", "m1", { event_id: "e1" }));
    traces.addObservation(turn("m1", 2, { event_id: "e1", outcome: "running", duration_ms: 10_000, replies: 0 }));
    traces.addCall(send(30, "r1"));
  });
  assert.deepEqual([running.sent, briefly(running)], [["r1"], "Still running"]);
  const [silent] = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", "m1", { event_id: "e1" }));
    for (const outcome of ["running", "acked"]) {
      traces.addObservation(turn("m1", 2, { event_id: "e1", outcome, replies: 0 }));
    }
  });
  assert.deepEqual([silent.turns.length, briefly(silent)], [1, "Handled without a reply"]);
});

test("messages that were handled as one say so, and fail as one", () => {
  const exchanges = grouped((traces) => {
    for (const [index, id] of ["m1", "m2", "m3"].entries()) {
      traces.addDelivery(webhook(1 + index, "message.received", id, { event_id: `e${id}` }));
    }
    traces.addObservation(turn("m3", 5, { event_id: "em1", joined: ["m2", "m3"] }));
    traces.addCall(send(5.2, "r1"));
  });
  assert.deepEqual(
    exchanges.map((one) => outcomeOf(one).facts),
    [["bot:greet", "500 ms", "3 joined messages", "1 reply"], ["1 of 3 joined messages"], ["1 of 3 joined messages"]],
  );
  assert.equal(outcomeOf(exchanges[2]).sentence, "The bot handled it as one message with the first of these.");
  const error = { type: "KeyError", message: "'soup'", file: "bot.py", line: 3 };
  const failed = grouped((traces) => {
    for (const id of ["m1", "m2"]) traces.addDelivery(webhook(1, "message.received", id, { event_id: `e${id}` }));
    traces.addObservation(turn("m2", 5, { event_id: "em1", joined: ["m2"], outcome: "retried", error }));
  });
  assert.deepEqual(failed.map(briefly), ["KeyError at bot.py:3", "KeyError at bot.py:3"]);
  assert.deepEqual(
    failed.map((one) => one.behind),
    [null, null],
  );
});

test("a message that a running handler took says what became of it there", () => {
  const taken = turn("m2", 2, { event_id: "em2", outcome: "taken", taken_by: "em1", duration_ms: 0, replies: 0 });
  /** @param {Partial<Observation>} end */
  const second = (end) =>
    grouped((traces) => {
      for (const id of ["m1", "m2"]) traces.addDelivery(webhook(1, "message.received", id, { event_id: `e${id}` }));
      traces.addObservation(taken);
      if (end.outcome) traces.addObservation(turn("m1", 1, { event_id: "em1", ...end }));
    })[1];
  const took = "The handler of an earlier message took it with ctx.incoming().";
  assert.equal(outcomeOf(second({})).sentence, `${took} That handler still runs.`);
  assert.deepEqual(outcomeOf(second({ outcome: "acked", replies: 2 })), {
    tone: "good",
    facts: ["bot:greet", "taken by the running handler"],
    sentence: `${took} It ended with 2 replies.`,
    error: null,
  });
  const error = { type: "KeyError", message: "'soup'", file: "bot.py", line: 3 };
  assert.equal(briefly(second({ outcome: "retried", error })), "KeyError at bot.py:3");
  assert.equal(briefly(second({ outcome: "acked", replies: 0 })), "Handled without a reply");
  assert.equal(briefly(second({ outcome: "running" })), "Still running");
  assert.equal(briefly(second({})), "");
});

test("an event that concerns an open question says what became of the question", () => {
  /** @param {Partial<Observation>} more */
  const of = (more) => {
    const [exchange] = grouped((traces) => traces.addObservation(turn("m1", 1, { event_id: "e", ...more })));
    return [outcomeOf(exchange).sentence, briefly(exchange)];
  };
  const asked = { text: "How\nmany?", handler: "bot:greet" };
  const ended = "The question has ended";
  /** @type {[Observation["question"], Partial<Observation>, string, string][]} */
  const rows = [
    [
      { ...asked, result: "answered" },
      { asks: "When?", replies: 1 },
      "It answers “How many?”. The question is “When?”.",
      "",
    ],
    [
      { ...asked, handler: "bot:book", result: "kept_open" },
      { replies: 1 },
      "It is no answer to “How many?” of bot:book, which stays open.",
      "",
    ],
    [
      { ...asked, result: "counted" },
      { handler: null, replies: 0 },
      "It counts as a vote on “How many?” of bot:greet, which stays open.",
      "",
    ],
    [
      { ...asked, handler: "bot:book", result: "passed_on" },
      { handler: null, replies: 0, why: "linqbot took it." },
      "linqbot took it. The question is “How many?” of bot:book.",
      "",
    ],
    [
      { ...asked, handler: "bot:book", result: "late" },
      { handler: null, replies: 1, why: "linqbot took it." },
      "linqbot took it. The question was “How many?” of bot:book.",
      "",
    ],
    [
      { ...asked, result: "invalid" },
      { replies: 1 },
      "It is no valid answer to “How many?”, so the bot asked for another.",
      "",
    ],
    [
      { ...asked, result: "given_up" },
      { replies: 0 },
      "It is no valid answer to “How many?”, and was the last try: the question has ended.",
      ended,
    ],
    [
      { ...asked, result: "timed_out" },
      { replies: 0 },
      "No answer came in time to “How many?”: the question has ended.",
      ended,
    ],
    [{ ...asked, result: "cancelled" }, { replies: 0 }, "It ended “How many?” without an answer.", ended],
    [{ ...asked, result: "cancelled" }, { replies: 1 }, "It ended “How many?” without an answer.", ""],
  ];
  for (const [question, more, sentence, brief] of rows) {
    assert.deepEqual(of({ question, ...more }), [sentence, brief]);
  }
});

test("two subscriptions that get one event are one exchange", () => {
  const exchanges = grouped((traces) => {
    for (const id of ["s", "t"]) {
      traces.addDelivery(webhook(1, "message.received", "m1", { subscription_id: id, event_id: "e" }));
    }
  });
  assert.deepEqual(
    exchanges.map(({ deliveries }) => deliveries.length),
    [2],
  );
});

test("a call belongs to the turn that it was made in, even after the next message", () => {
  const exchanges = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", "m1"));
    traces.addDelivery(webhook(1.1, "message.received", "m2"));
    traces.addCall(send(1.3, "r1"));
    traces.addObservation(turn("m1", 1));
    traces.addCall(send(1.8, "r2"));
    traces.addObservation(turn("m2", 1.6));
  });
  assert.deepEqual(
    exchanges.map(({ sent }) => sent),
    [["r1"], ["r2"]],
  );
});

test("a call that is repeated after a lost answer is one reply", () => {
  const [exchange] = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", "m1"));
    traces.addCall(send(2, "r1", { lost: "answer" }));
    traces.addCall(send(3, "r1"));
  });
  assert.deepEqual([exchange.calls.length, outcomeOf(exchange).facts], [2, ["delivered", "1 reply"]]);
});

test("without reports, a call belongs to the message before it, and a late one to none", () => {
  const exchanges = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", "m1"));
    traces.addCall(send(2, "r1"));
    traces.addCall(send(3600, "r2"));
  });
  assert.deepEqual(
    exchanges.map(({ messageId, sent }) => [messageId, sent]),
    [
      ["m1", ["r1"]],
      [null, ["r2"]],
    ],
  );
});

test("a tapback belongs to the message that it is on", () => {
  const id = "85e35080-34ed-4329-a53c-4711aadf4799";
  const exchanges = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", id));
    traces.addDelivery(webhook(2, "message.received", "m2"));
    traces.addCall(send(3, "", { path: `/v3/messages/${id}/reactions`, answer: {} }));
    traces.addDelivery(webhook(3, "reaction.added", id, { by_bot: true }));
  });
  assert.deepEqual(
    exchanges.map(({ calls, receipts }) => [calls.length, receipts.length]),
    [
      [1, 1],
      [0, 0],
    ],
  );
});

test("a receipt that a handler took is an exchange of its own, and an unhandled one is not", () => {
  const read = webhook(2, "message.read", "r1");
  const delivered = webhook(3, "message.delivered", "r1");
  const exchanges = grouped((traces) => {
    traces.addDelivery(read);
    traces.addDelivery(delivered);
    traces.addObservation(turn("r1", 2, { event_id: read.event_id, event_type: "message.read" }));
    const ignored = { event_id: delivered.event_id, event_type: "message.delivered", outcome: "not_handled" };
    traces.addObservation(turn("r1", 3, ignored));
  });
  const [handled] = exchanges.filter(({ turns }) => turns.length > 0);
  assert.equal(handled.eventType, "message.read");
  assert.equal(exchanges.flatMap(({ turns }) => turns).length, 1);
});

test("a report outlives the webhook it is about", () => {
  const [exchange] = grouped((traces) => traces.addObservation(turn("m1", 1, { event_id: "gone" })));
  assert.deepEqual([exchange.eventId, exchange.messageId], ["gone", "m1"]);
});

/** @param {Partial<Observation>} report */
function handledBy(report) {
  const [exchange] = grouped((traces) => {
    traces.addDelivery(webhook(1, "message.received", "m1"));
    traces.addObservation(turn("m1", 1, report));
  });
  return exchange;
}

/** @param {Partial<Observation>} report */
const outcome = (report) => outcomeOf(handledBy(report));

test("the outcome names handler, place, time and replies", () => {
  const facts = ["bot:greet", "bot.py:12", "12.3 ms", "2 replies"];
  const { tone, facts: found } = outcome({ file: "bot.py", line: 12, duration_ms: 12.34, replies: 2 });
  assert.deepEqual([tone, found], ["good", [...facts.slice(0, 2), "12 ms", facts[3]]]);
});

test("a question to a person of another chat names the person in place of a missing reply", () => {
  const asks = { asks: "May\nI?", asks_elsewhere: ["+14155550199"] };
  /** @param {Partial<Observation>} report */
  const shown = (report) => {
    const exchange = handledBy({ ...asks, ...report });
    return [outcomeOf(exchange).facts.slice(2), outcomeOf(exchange).sentence, briefly(exchange)];
  };
  const sentence = "The question to +14155550199 is “May I?”.";
  assert.deepEqual(shown({ replies: 0 }), [["asked +14155550199"], sentence, "Asked +14155550199"]);
  assert.deepEqual(shown({ replies: 1 }), [["1 reply", "asked +14155550199"], sentence, ""]);
});

test("the sentence is the bot’s, and the page adds what happens next", () => {
  setNow(at(0), true);
  const why = "It says why: bot:greet.";
  const asks = { asks: "How\nmany?" };
  const sentences = [
    { outcome: "not_handled", handler: null, why },
    { outcome: "retried", why, retry_in_s: 1.54 },
    { outcome: "deferred", why, retry_in_s: 20 },
    { outcome: "dead_lettered", why },
    { outcome: "dead_lettered", why, event_type: "reaction.added" },
    { outcome: "acked", why, ...asks },
    { outcome: "retried", retry_in_s: 1.54 },
    { outcome: "acked", ...asks },
  ].map((report) => outcome(report).sentence);
  assert.deepEqual(sentences, [
    why,
    `${why} It runs again in 4 s.`,
    `${why} It runs again in 22 s.`,
    `${why} Correct the code, then choose Run Again.`,
    why,
    `${why} The question is “How many?”.`,
    "It runs again in 4 s.",
    "The question is “How many?”.",
  ]);
});

test("the phone says in a few words what the matter is, and where", () => {
  const error = { type: "KeyError", message: "'soup'", file: "bot.py", line: 11 };
  const blocked = { title: "Blocked the event loop", message: "Await it.", file: "bot.py", line: 9 };
  const words = [
    { outcome: "retried", error },
    { outcome: "not_handled", why: "No handler took it: no filter fits." },
    { outcome: "dead_lettered", why: "It was given up in the handler bot:greet: it is too old." },
    { outcome: "not_handled", notes: [{ title: null, message: "Add a handler." }] },
    { outcome: "acked", notes: [blocked] },
    { outcome: "acked" },
    { outcome: "acked", replies: 1 },
  ].map((report) => briefly(handledBy(report)));
  assert.deepEqual(words, [
    "KeyError at bot.py:11",
    "No handler took it",
    "It was given up in the handler bot:greet",
    "",
    "Blocked the event loop at bot.py:9",
    "Handled without a reply",
    "",
  ]);
});

test("without a report, the delivery says how it stands", () => {
  /** @param {Delivery["attempts"]} attempts */
  const stands = (attempts) => {
    const [exchange] = grouped((traces) => traces.addDelivery(webhook(1, "message.received", "m1", { attempts })));
    return outcomeOf(exchange);
  };
  assert.equal(stands([]).facts[0], "waiting for the receiver’s answer");
  assert.equal(stands([{ status: 200 }]).facts[0], "delivered");
  const refused = stands([{ status: null, reason: "Connection refused." }]);
  assert.deepEqual([refused.tone, refused.sentence], ["bad", "Did not reach the bot. Connection refused."]);
});

test("a thousand records are grouped at once", () => {
  const traces = new Traces();
  for (let n = 0; n < 250; n += 1) {
    traces.addDelivery(webhook(n, "message.received", `m${n}`));
    traces.addObservation(turn(`m${n}`, n));
    traces.addCall(send(n + 0.1, `r${n}`));
    traces.addDelivery(webhook(n + 0.3, "message.sent", `r${n}`));
  }
  const exchanges = exchangesOf(traces.list);
  assert.equal(exchanges.length, 250);
  assert.ok(exchanges.every(({ sent, receipts }) => sent.length === 1 && receipts.length === 1));
});

test("the replies of a failed attempt count: the next one does not send them again", () => {
  const [exchange] = grouped((traces) => {
    traces.addObservation(turn("m1", 1, { event_id: "e", attempt: 1, outcome: "retried", replies: 1 }));
    traces.addObservation(turn("m1", 2, { event_id: "e", attempt: 2, outcome: "running", replies: 0 }));
    traces.addObservation(turn("m1", 2, { event_id: "e", attempt: 2, outcome: "acked", replies: 2 }));
  });
  assert.deepEqual(outcomeOf(exchange).facts.slice(-2), ["3 replies", "attempt 2"]);
});

test("a message behind one that runs or runs again says that it waits, until that one is done", () => {
  /** @param {Partial<Observation>[]} reports */
  const behind = (...reports) => {
    const exchanges = grouped((traces) => {
      for (const number of [1, 2]) {
        traces.addDelivery(webhook(number, "message.received", `m${number}`));
      }
      for (const [i, report] of reports.entries()) traces.addObservation(turn("m1", 1, { attempt: i + 1, ...report }));
    });
    return briefly(/** @type {Exchange} */ (exchanges.at(-1)));
  };
  assert.equal(behind({ outcome: "retried" }), "It waits for an earlier message of this chat");
  assert.equal(behind({ outcome: "running" }), "It waits for an earlier message of this chat");
  assert.equal(behind({ outcome: "running" }, { outcome: "acked" }), "");
  assert.equal(behind({ outcome: "retried" }, { outcome: "dead_lettered" }), "");
});

test("a message that is put off counts down to its next run, and so does each one behind it", () => {
  const reason = "Linq allows 30 messages a minute from a line to a person";
  /** @param {Partial<Observation>} report */
  const said = (report) => {
    const exchanges = grouped((traces) => {
      for (const number of [1, 2, 3]) traces.addDelivery(webhook(number, "message.received", `m${number}`));
      traces.addObservation(turn("m1", 10, { duration_ms: 0, ...report }));
    });
    return exchanges.map((exchange) => {
      const { sentence } = outcomeOf(exchange);
      return briefly(exchange) === sentence ? sentence : [sentence, briefly(exchange)];
    });
  };
  const why = `It is deferred: ${reason}.`;
  const deferred = { outcome: "deferred", reason, why, retry_in_s: 90.5 };
  const behind = `It waits for an earlier message of this chat: ${reason}.`;
  setNow(at(10), true);
  assert.deepEqual(said(deferred), [
    `${why} It runs again in 1 min 31 s.`,
    ...Array(2).fill(`${behind} That one runs again in 1 min 31 s.`),
  ]);
  setNow(at(80), true);
  assert.deepEqual(said(deferred)[2], `${behind} That one runs again in 21 s.`);
  setNow(at(101), true);
  assert.deepEqual(said(deferred), [`${why} It runs again.`, ...Array(2).fill(`${behind} That one runs again.`)]);
  const waiting = { outcome: "running", reason, retry_in_s: 8, duration_ms: 2000 };
  setNow(at(15), true);
  assert.deepEqual(said(waiting), [
    `It waits: ${reason}. It goes on in 5 s.`,
    ...Array(2).fill(`${behind} That one goes on in 5 s.`),
  ]);
  setNow(at(20), true);
  const still = "It waits for an earlier message of this chat";
  assert.deepEqual(said(waiting), [
    ["Still running. The handler has not returned yet.", "Still running"],
    ...Array(2).fill([`${still}: the bot handles one after the other, and that one still runs.`, still]),
  ]);
});

test("a message without an answer says which call was refused and why, also without a report of the bot", () => {
  const answer = { error: { status: 404, code: 2012, message: "This line has no active contact card" } };
  const path = "/v3/chats/1a2b3c4d-0000-4000-8000-000000000000/share_contact_card";
  const read = send(1.1, "", { path: "/v3/chats/c/read", status: 204, answer: null });
  const share = send(1.2, "", { path, status: 404, answer });
  const elsewhere = send(1.3, "", { path: "/v3/chats", status: 400, chat_id: null, answer: null });
  /** @param {{ calls: Call[], report?: Partial<Observation> }} what */
  const said = ({ calls, report }) => {
    const [exchange] = grouped((traces) => {
      traces.addDelivery(webhook(1, "message.received", "m1"));
      if (report) traces.addObservation(turn("m1", 1, report));
      for (const call of calls) traces.addCall(call);
    });
    assert.ok([outcomeOf(exchange).sentence, ""].includes(briefly(exchange)));
    return briefly(exchange);
  };
  const refusal =
    "Linq refused POST /v3/chats/1a2b…/share_contact_card with 404, code 2012: This line has no active contact card.";
  assert.deepEqual(
    [
      { calls: [read, share] },
      { calls: [read, share], report: { replies: 0, why: "Linq refused it." } },
      { calls: [elsewhere] },
      { calls: [share, send(1.5, "r1")] },
      { calls: [share, send(1.5, "r1")], report: { replies: 1 } },
      { calls: [read] },
      { calls: [send(90, "", { path: "/v3/chats", status: 400, chat_id: null, answer: null })] },
    ].map(said),
    [refusal, "Linq refused it.", "Linq refused POST /v3/chats with 400.", "", "", "", ""],
  );
});
