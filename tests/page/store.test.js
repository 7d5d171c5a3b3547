import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countOf,
  messagesBetween,
  messagesOf,
  shownChat,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/chats.js";
import { Store } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/store.js";
import { bot, chatData, chatIn, FRIEND, LINE, ME, memory, message, person, reply, storeWith } from "./world.js";

/** @import { Message, Notice } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */

const now = "2026-01-01T00:00:00Z";
const lines = [{ phone_number: LINE }];

// --- unread ---

test("messages of the bot are unread until they are seen", () => {
  const store = storeWith(chatData([message("hi"), reply("one"), reply("two")]));
  assert.equal(store.unread(chatIn(store)), 2);
  store.markSeen(chatIn(store));
  assert.equal(store.unread(chatIn(store)), 0);
  store.upsertMessage(reply("three"));
  assert.equal(store.unread(chatIn(store)), 1);
});

test("a person who answers has seen the messages before", () => {
  const store = storeWith(chatData([reply("one"), message("hi"), reply("two")]));
  assert.equal(store.unread(chatIn(store)), 1);
});

test("a message that was read on another phone is not unread", () => {
  const store = storeWith(chatData([reply("one", { delivery_status: "read" })]));
  assert.equal(store.unread(chatIn(store)), 0);
});

test("each person has their own unread messages", () => {
  const store = storeWith(chatData([message("hi"), reply("one")], [bot, person(ME), person(FRIEND)]));
  store.markSeen(chatIn(store));
  store.switchPerson(FRIEND);
  assert.equal(store.unread(chatIn(store)), 2);
});

test("seen messages are still seen after a reload", () => {
  const kept = memory();
  const state = { now, lines, chats: [chatData([reply("one")])] };
  const before = new Store(ME, kept);
  before.load(state);
  before.markSeen(chatIn(before));
  const after = new Store(ME, kept);
  after.load(state);
  assert.equal(after.unread(chatIn(after)), 0);
});

// --- the inspector ---

test("a person who asks for a message before the inspector has loaded is answered once it has", async () => {
  const store = storeWith(chatData([message("hi")]));
  /** @type {string[]} */
  const asked = [];
  store.inspect("m1");
  store.onInspect((id) => asked.push(id));
  await Promise.resolve();
  store.inspect("m2");
  assert.deepEqual(asked, ["m1", "m2"]);
});

// --- earlier messages ---

test("earlier messages are put before those that the page has, and their places in the chat stay the same", () => {
  const all = ["one", "two", "three", "four", "five"].map((text) => message(text));
  const store = storeWith({ ...chatData(all.slice(4)), earlier: 4 });
  const before = messagesBetween(chatIn(store), 3, 5);
  store.addEarlier("chat", { earlier: 2, messages: all.slice(2, 4) });
  assert.deepEqual(
    [before, messagesBetween(chatIn(store), 3, 5), messagesBetween(chatIn(store), 0, 3)],
    [[all[4]], all.slice(3), [all[2]]],
  );
  assert.deepEqual([countOf(chatIn(store)), messagesOf(chatIn(store))], [5, all.slice(2)]);
});

test("an earlier message that was changed meanwhile keeps the change, and is not announced", () => {
  const [old, last] = [reply("old"), reply("last")];
  const store = storeWith({ ...chatData([last]), earlier: 1 });
  store.onArrival(() => assert.fail("announced"));
  store.upsertMessage({ ...old, edits: 1 });
  store.addEarlier("chat", { earlier: 0, messages: [old] });
  assert.deepEqual(
    messagesOf(chatIn(store)).map(({ id, edits }) => [id, edits]),
    [
      [old.id, 1],
      [last.id, undefined],
    ],
  );
});

// --- messages ---

test("messages stand in the order of their times, however these are written", () => {
  const store = storeWith(
    chatData([
      message("second", { created_at: "2026-01-01T12:00:00Z" }),
      message("first", { created_at: "2026-01-01T12:30:00+01:00" }),
    ]),
  );
  assert.deepEqual(
    messagesOf(chatIn(store)).map(({ parts }) => parts?.[0].value),
    ["first", "second"],
  );
});

test("new messages are announced, those of the first load and changed ones are not", () => {
  const store = storeWith(chatData([reply("old")]));
  /** @type {string[]} */
  const arrived = [];
  store.onArrival(({ id }) => arrived.push(id));
  const later = reply("new");
  store.upsertMessage(later);
  store.upsertMessage({ ...later, delivery_status: "read" });
  assert.deepEqual(arrived, [later.id]);
});

test("messages that came during an outage are announced", () => {
  const [old, missed] = [reply("old"), reply("missed")];
  const store = storeWith(chatData([old]));
  /** @type {string[]} */
  const arrived = [];
  store.onArrival(({ id }) => arrived.push(id));
  store.load({ now, lines, chats: [chatData([old, missed])] });
  assert.deepEqual(arrived, [missed.id]);
});

test("a message may come before its chat", () => {
  const store = storeWith();
  store.upsertMessage(message("hi"));
  store.upsertChat({ id: "chat", handles: [bot, person(ME)], service: "SMS" });
  assert.equal(chatIn(store).service, "SMS");
  assert.equal(messagesOf(chatIn(store)).length, 1);
});

test("a message ends the typing of its sender", () => {
  const store = storeWith(chatData());
  store.setTyping({ chat_id: "chat", handle: LINE, state: "started" });
  assert.deepEqual([...chatIn(store).typing], [LINE]);
  store.upsertMessage(reply("hi"));
  assert.deepEqual([...chatIn(store).typing], []);
});

test("a deleted message is gone", () => {
  const gone = reply("gone");
  const store = storeWith(chatData([gone]));
  store.deleteMessage({ chat_id: "chat", id: gone.id });
  assert.deepEqual(messagesOf(chatIn(store)), []);
});

// --- listeners ---

test("listeners are called once per batch, with all of its topics", async () => {
  const store = storeWith(chatData());
  await Promise.resolve();
  /** @type {string[][]} */
  const batches = [];
  store.onChange((topics) => batches.push([...topics]));
  store.upsertMessage(message("hi"));
  store.upsertMessage(reply("hello"));
  store.clearTraces();
  assert.deepEqual(batches, []);
  await Promise.resolve();
  assert.deepEqual(batches, [["chats", "traces"]]);
});

// --- places ---

test("a person without chats starts in a first conversation with the first line", () => {
  const store = storeWith();
  assert.deepEqual(store.place, { view: "draft", line: LINE, others: [], service: "iMessage", first: true });
  assert.ok(store.isFirst && store.suggestsMessage);
});

test("the first message is suggested once: not to a second person, and not when others have written", () => {
  assert.deepEqual(
    [storeWith(), storeWith(chatData([message("hi")]))].map((store) => {
      store.switchPerson(FRIEND);
      return [store.place.view, store.suggestsMessage];
    }),
    Array(2).fill(["draft", false]),
  );
});

test("the only chat is open at once", () => {
  assert.deepEqual(storeWith(chatData()).place, { view: "chat", chatId: "chat" });
});

test("with several chats the list is shown, and after a reload the chat that was open", () => {
  const kept = memory();
  const state = { now, lines, chats: [chatData(), { ...chatData(), id: "other" }] };
  const store = new Store(ME, kept);
  store.load(state);
  assert.deepEqual(store.place, { view: "list" });
  store.go({ view: "chat", chatId: "other" });
  const again = new Store(ME, kept);
  again.load(state);
  assert.equal(again.openChat?.id, "other");
});

test("a kept chat that is gone leads to the list", () => {
  const kept = memory();
  kept.setItem("linqbot.view", JSON.stringify({ view: "chat", chatId: "gone" }));
  const store = new Store(ME, kept);
  store.load({ now, lines, chats: [chatData()] });
  assert.deepEqual(store.place, { view: "list" });
});

test("another person sees their own chats only", () => {
  const store = storeWith(chatData(), { ...chatData([], [bot, person(FRIEND)]), id: "theirs" });
  assert.deepEqual(
    store.myChats().map(({ id }) => id),
    ["chat"],
  );
  store.switchPerson(FRIEND);
  assert.deepEqual(store.place, { view: "chat", chatId: "theirs" });
});

// --- people ---

test("a chat is found by its members, in any order", () => {
  const store = storeWith(chatData([], [person(FRIEND), bot, person(ME)]));
  assert.equal(store.findChat(LINE, [FRIEND])?.id, "chat");
  assert.equal(store.findChat(LINE, []), undefined);
});

test("a member who left is no member", () => {
  const store = storeWith(chatData([], [bot, person(ME), { ...person(FRIEND), status: "left" }]));
  assert.equal(store.findChat(LINE, [])?.id, "chat");
});

test("the phone could belong to all members and remembered people, but not to a line", () => {
  const store = storeWith(chatData([], [bot, person(ME), person(FRIEND)]));
  assert.deepEqual(store.people(["+447700900123", FRIEND]), [ME, "+447700900123", FRIEND]);
});

test("conditions are replaced as a whole, and the clock follows", async () => {
  const { now } = await import("../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/time.js");
  const store = new Store(ME, memory());
  const conditions = {
    now: "2031-01-01T00:00:00Z",
    ahead_s: 0,
    is_frozen: false,
    faults: [],
    opted_out: [],
    flagged_lines: [],
  };
  store.load({ now: "2026-01-01T00:00:00Z", conditions, has_runner: true });
  assert.ok(store.hasRunner);
  store.setConditions({ ...conditions, opted_out: [ME] });
  assert.deepEqual(store.conditions?.opted_out, [ME]);
  assert.equal(now().getUTCFullYear(), 2031);
});

// --- after leaving ---

/**
 * @param {Message} before
 * @param {Partial<Notice>} more
 * @returns {Notice}
 */
const notice = ({ id, created_at }, more) => ({ kind: "left", created_at, by: ME, handle: ME, after: id, ...more });

/** @param {Store} store */
const shownIds = (store) => messagesOf(shownChat(store) ?? chatIn(store)).map(({ id }) => id);

test("the dots of a writer who has said something before are there after a reload", () => {
  const store = storeWith({ ...chatData([message("hi"), reply("one")]), typing: [LINE] });
  assert.deepEqual([...chatIn(store).typing], [LINE]);
});

test("what is written after a person has left a group is not on their phone", () => {
  const [first, second] = [message("hi"), reply("after")];
  const left = { ...person(ME), status: "left", left_at: first.created_at };
  const store = storeWith(chatData([first], [bot, left, person(FRIEND)]));
  store.upsertMessage(second);
  store.setTyping({ chat_id: "chat", handle: FRIEND, state: "started" });
  store.go({ view: "chat", chatId: "chat" });
  assert.deepEqual(shownIds(store), [first.id]);
  assert.equal(store.unread(store.myChats()[0]), 0);
  assert.deepEqual([...(shownChat(store)?.typing ?? [])], []);
});

test("a person who is back in a group does not get what was written meanwhile", () => {
  const [first, meanwhile, back] = [message("hi"), reply("after"), reply("welcome back")];
  const named = notice(meanwhile, { kind: "named", by: FRIEND, handle: null, value: "Without her" });
  const notices = [notice(first, {}), named, notice(meanwhile, { kind: "added", by: FRIEND })];
  const store = storeWith({ ...chatData([first, meanwhile, back], [bot, person(ME), person(FRIEND)]), notices });
  store.go({ view: "chat", chatId: "chat" });
  assert.deepEqual(shownIds(store), [first.id, back.id]);
  assert.deepEqual(shownChat(store)?.notices, [notices[0], notices[2]]);
  store.switchPerson(FRIEND);
  store.go({ view: "chat", chatId: "chat" });
  assert.deepEqual(shownIds(store), [first.id, meanwhile.id, back.id]);
  assert.equal(shownChat(store)?.notices?.length, 3);
});

test("a person who was added to a group does not get what was written before, at the same instant either", () => {
  const before = message("hi");
  const after = reply("welcome", { created_at: before.created_at });
  const notices = [notice(before, { kind: "added", by: FRIEND })];
  const store = storeWith({ ...chatData([before, after]), notices, earlier: 40 });
  store.go({ view: "chat", chatId: "chat" });
  assert.deepEqual(shownIds(store), [after.id]);
  assert.equal(countOf(shownChat(store) ?? chatIn(store)), 1);
});
