import assert from "node:assert/strict";
import { test } from "node:test";
import { canRepeat, pytestOf } from "../../linqbot/emulator/web/page/inspector/pytest.js";
import { curlOfCall, curlOfDelivery, quoted, triggerOf } from "../../linqbot/emulator/web/page/inspector/shell.js";
import { FRIEND, LINE, ME } from "./world.js";

/** @import { Message, SentDelivery } from "../../linqbot/emulator/web/page/client/types.d.ts" */
/** @import { Step } from "../../linqbot/emulator/web/page/inspector/pytest.js" */

const data = {
  id: "m1",
  chat: { id: "c", is_group: false, owner_handle: { handle: LINE } },
  sender_handle: { handle: ME },
  parts: [{ type: "text", value: "it's" }],
  service: "iMessage",
  effect: null,
  reply_to: null,
};

/**
 * @param {string} type
 * @param {object} about
 * @returns {SentDelivery}
 */
const sent = (type, about) => ({
  event_id: "e",
  event_type: type,
  subscription_id: "s",
  target_url: "http://127.0.0.1:8000/webhooks/linq",
  headers: { "webhook-signature": "v1,a b=" },
  body: JSON.stringify({ webhook_version: "2026-02-03", data: about }),
});

test("a word of the shell is quoted only where it must be", () => {
  assert.deepEqual(["+1415", "a b", "it's", "$HOME", ""].map(quoted), [
    "+1415",
    "'a b'",
    "'it'\\''s'",
    "'$HOME'",
    "''",
  ]);
});

test("a message is triggered with its text, its sender and its chat", () => {
  assert.equal(
    triggerOf(sent("message.received", data)).replaceAll(" \\\n ", ""),
    `linqbot trigger message.received --text 'it'\\''s' --from ${ME} --to ${LINE} --chat c ` +
      "--set data.effect=null --set data.reply_to=null --url http://127.0.0.1:8000/webhooks/linq\n",
  );
});

test("any other event is triggered with all of its data", () => {
  assert.match(triggerOf(sent("reaction.added", { reaction_type: "love" })), /--set 'data={"reaction_type":"love"}'/);
});

test("a webhook is sent again with its bytes and its signature", () => {
  const curl = curlOfDelivery(sent("message.received", data));
  assert.match(curl, /-H 'webhook-signature: v1,a b='/);
  assert.match(curl, /--data-raw '{"webhook_version"/);
});

test("a call is made again with its query and its body", () => {
  const call = { at: "", method: "GET", path: "/v3/chats", query: "limit=1&cursor=a", status: 200 };
  assert.match(
    curlOfCall(call, "http://127.0.0.1:4010"),
    /-X GET 'http:\/\/127.0.0.1:4010\/v3\/chats\?limit=1&cursor=a'/,
  );
});

/**
 * @param {Partial<Step>} more
 * @returns {Step}
 */
const step = (more) => ({ eventType: "message.received", data, calls: [], turns: [], messages: new Map(), ...more });

/** @param {Partial<Message> & { id: string }} message */
const answered = (message) => ({
  at: "",
  method: "POST",
  path: "/v3/chats/c/messages",
  status: 202,
  answer: { message: { parts: [{ type: "text", value: "hi" }], ...message } },
});

test("a test sends what the person sent and expects what the bot answered", () => {
  const calls = [answered({ id: "r1", effect: { name: "slam" }, reply_to: { message_id: "m1" } })];
  const messages = new Map([["r1", { ...calls[0].answer.message, chat_id: "c", created_at: "" }]]);
  const turns = [{ outcome: "acked", handler: "cafe:greet" }];
  assert.equal(
    pytestOf([step({ calls, messages, turns })], { line: LINE, people: [ME], module: "cafe" }),
    `"""A conversation copied from the emulator's page. Save this file next to cafe.py, and run: pytest"""

from cafe import bot

from linqbot.testing import PhoneFor


async def test_it_s(phone_for: PhoneFor) -> None:
    async with phone_for(bot) as phone:
        said = await phone.text("it's")
        reply = await phone.next_reply()
        assert reply == "hi"
        assert reply.effect == "slam"
        assert reply.thread == said.id
        assert await phone.replies() == []
`,
  );
});

test("a group has its people, and its speaker", () => {
  const said = { ...data, sender_handle: { handle: FRIEND } };
  const source = pytestOf([step({}), step({ data: said })], { line: LINE, people: [ME, FRIEND], module: "bot" });
  assert.match(source, new RegExp(`group = phone.group\\("\\${FRIEND}"\\)`));
  assert.match(source, new RegExp(`await group.by\\("\\${FRIEND}"\\).text\\("it's"\\)`));
});

test("an attempt that failed is expected, and time passes before the next", () => {
  const turns = [
    { outcome: "retried", error: { type: "KeyError", message: "" }, retry_in_s: 0.9 },
    { outcome: "acked", handler: "bot:greet" },
  ];
  const source = pytestOf([step({ turns })], { line: LINE, people: [ME], module: "cafe" });
  assert.match(
    source,
    /\(error,\) = await phone.errors\(\)\n\s+assert type\(error\).__name__ == "KeyError"\n\s+await phone.advance\(2\)/,
  );
});

test("events that a phone cannot cause are not copied as a test", () => {
  assert.deepEqual(["message.received", "reaction.added", "payment.completed", null].map(canRepeat), [
    true,
    true,
    false,
    false,
  ]);
});

test("an act that takes something back begins with what it takes back, on the poll of the bot", () => {
  const poll = { options: [{ option_id: "o1", text: "Pizza" }] };
  const asked = { at: "", method: "POST", path: "/v3/chats/c/polls", status: 202, answer: { message_id: "p1", poll } };
  const vote = { message_id: "p1", option_id: "o1", sender_handle: { handle: ME } };
  const steps = [
    step({ calls: [asked] }),
    step({ eventType: "poll.vote.added", data: vote, poll }),
    step({ eventType: "poll.vote.removed", data: vote, poll }),
  ];
  const source = pytestOf(steps, { line: LINE, people: [ME], module: "bot" });
  assert.match(source, /reply = await phone.next_reply\(\)\n\s+assert list\(reply.votes\) == \["Pizza"\]/);
  assert.match(source, /phone.vote\(reply, "Pizza"\)\n\s+await phone.vote\(reply, "Pizza", remove=True\)/);
});

test("a payment request has another id in each run", () => {
  const made = { at: "", method: "POST", path: "/v3/payment_requests", status: 201, answer: { id: "pr_12ab" } };
  const sent = answered({ id: "r1", parts: [{ type: "text", value: "Pay: https://pay.example/tok_12ab" }] });
  const paid = step({ eventType: "payment.succeeded", data: { id: "pr_12ab" } });
  const source = pytestOf([step({ calls: [made, sent] }), paid], { line: LINE, people: [ME], module: "bot" });
  assert.match(source, /payment = phone.payments\[0\]\n\s+assert reply == .*\.replace\("12ab", payment.partition/);
  assert.match(source, /await phone.pay\(payment\)/);
});

test("a customer authorizes a charge once, and the bot collects it", () => {
  const charge = { at: "", method: "POST", path: "/v3/payments", status: 201, answer: { id: "pay_1" } };
  const steps = [
    step({ calls: [charge] }),
    step({ eventType: "payment.authorized", data: { id: "pay_1" }, calls: [charge] }),
    step({ eventType: "payment.succeeded", data: { id: "pay_1" } }),
  ];
  const source = pytestOf(steps, { line: LINE, people: [ME], module: "bot" });
  assert.deepEqual(source.match(/phone\.pay\w*.*/g), ["phone.payments[0]", "phone.pay(payment)"]);
});

test("a reply whose answer was lost is expected once", () => {
  const lost = { ...answered({ id: "r1" }), lost: /** @type {const} */ ("answer") };
  const source = pytestOf([step({ calls: [lost, answered({ id: "r1" })] })], {
    line: LINE,
    people: [ME],
    module: "bot",
  });
  assert.equal(source.match(/next_reply/g)?.length, 1);
});

test("the time that passed between the steps of a whole chat passes in its test, and brings scheduled sends", () => {
  const sent = step({ eventType: "linqbot.send", data: {}, calls: [answered({ id: "r1" })], ms: 3_600_400 });
  const steps = [step({ ms: 0 }), step({ ms: 5000 }), sent, step({ ms: 3_601_000 }), step({ ms: 3_700_000 })];
  const source = pytestOf(steps, { line: LINE, people: [ME], module: "bot" });
  assert.deepEqual(source.match(/(?<=await phone\.)(text|advance\(\d+|next_reply)/g), [
    ...["text", "text", "advance(3601", "next_reply", "text", "advance(99", "text"],
  ]);
});

test("a bot that gave an event up has failed each time before the next step", () => {
  const failed = { outcome: "retried", error: { type: "KeyError", message: "" }, retry_in_s: 0.9 };
  const given_up = { ...failed, outcome: "dead_lettered", retry_in_s: null };
  const source = pytestOf([step({ turns: [failed, given_up] }), step({})], { line: LINE, people: [ME], module: "bot" });
  assert.equal(source.match(/phone\.errors/g)?.length, 2);
  assert.equal(source.match(/phone\.advance/g)?.length, 1);
});
