// What a message can hold: styles, contact cards, payments; and threads, search and the window of a long chat.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TranscriptWindow } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/conversation/window.js";
import { sortedWith } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/chats.js";
import {
  isDecorated,
  moved,
  toggled,
  trimmed,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/content/decorations.js";
import {
  amountText,
  nextStep,
  paymentsIn,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/content/payments.js";
import { readVcard, writeVcard } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/content/vcard.js";
import { DraftTexts, draftKey } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/drafts.js";
import { phoneMemory } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/people.js";
import { excerpt, search } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/search.js";
import { replyCount, rootOf, threadOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/threads.js";
import { chatData, chatIn, ME, memory, message, reply, storeWith } from "./world.js";

/** @import { Decoration, Payment } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */

const bold = { style: "bold" };
const shake = { animation: "shake" };

test("a style is given to a range and taken away again", () => {
  const given = toggled([], [2, 6], bold);
  assert.deepEqual(given, [{ range: [2, 6], style: "bold" }]);
  assert.ok(isDecorated(given, [3, 5], bold));
  assert.deepEqual(toggled(given, [3, 5], bold), [
    { range: [2, 3], style: "bold" },
    { range: [5, 6], style: "bold" },
  ]);
  assert.deepEqual(toggled(given, [0, 0], bold), given);
});

test("a range that has a style only in part gets it in whole", () => {
  const both = toggled(toggled([], [0, 3], bold), [2, 8], bold);
  assert.ok(isDecorated(both, [0, 8], bold));
});

test("an animation overlaps nothing, as Linq's rule R45 wants", () => {
  const animated = toggled(toggled([], [0, 8], bold), [2, 4], shake);
  assert.deepEqual(animated, [
    { range: [0, 2], style: "bold" },
    { range: [2, 4], animation: "shake" },
    { range: [4, 8], style: "bold" },
  ]);
  assert.ok(!isDecorated(toggled(animated, [0, 8], bold), [2, 4], shake));
});

test("styles may overlap one another", () => {
  assert.equal(toggled(toggled([], [0, 8], bold), [2, 4], { style: "italic" }).length, 2);
});

test("ranges move with the text around them", () => {
  /** @type {Decoration[]} */
  const before = [{ range: [4, 8], style: "bold" }];
  assert.deepEqual(moved(before, "the cake", "all the cake")[0].range, [8, 12]);
  assert.deepEqual(moved(before, "the cake", "the cakes")[0].range, [4, 9]);
  assert.deepEqual(moved(before, "the cake", "the c")[0].range, [4, 5]);
  assert.deepEqual(moved(before, "the cake", "the "), []);
  assert.deepEqual(moved(before, "the cake is", "the cake was")[0].range, [4, 8]);
});

test("white space around a text that is cut off moves its ranges", () => {
  assert.deepEqual(trimmed([{ range: [2, 6], style: "bold" }], "  cake  "), [{ range: [0, 4], style: "bold" }]);
});

test("a vCard is read with folded lines, groups, types and escapes", () => {
  const text =
    "BEGIN:VCARD\r\nFN:Ada\\, Countess of Love\r\n lace\r\nitem1.TEL;TYPE=CELL:tel:+447700900123\r\nEMAIL:ada@example.com\r\nEND:VCARD\r\nTEL:1";
  assert.deepEqual(readVcard(text), {
    name: "Ada, Countess of Lovelace",
    phones: ["+447700900123"],
    emails: ["ada@example.com"],
  });
  assert.deepEqual(readVcard("what is this"), { name: "", phones: [], emails: [] });
});

test("a written vCard reads back", () => {
  const text = writeVcard({ firstName: "Ada;", lastName: "Love, lace", handle: "cat@example.com" });
  assert.deepEqual(readVcard(text), { name: "Ada; Love, lace", phones: [], emails: ["cat@example.com"] });
});

/** @type {Payment} */
const request = {
  id: "pr_1",
  status: "requested",
  currency: "usd",
  amount: 4250,
  checkout_url: "https://pay.example/1",
};
/** @type {Payment} */
const charge = {
  id: "pay_1",
  status: "awaiting_user_action",
  currency: "usd",
  amount_cents: 990,
  approval_url: "https://a.example/pay_1",
};

test("what a payer can do follows from the status", () => {
  const steps = ["requested", "declined", "succeeded", "canceled"].map((status) => nextStep({ ...request, status }));
  assert.deepEqual(steps, ["pay", "pay", null, null]);
  const charges = ["needs_connection", "awaiting_user_action", "authorized"].map((status) =>
    nextStep({ ...charge, status }),
  );
  assert.deepEqual(charges, ["connect", "pay", null]);
  assert.match(amountText(request), /42[.,]50/);
  assert.match(amountText({ ...request, currency: "jpy" }), /4,?250/);
});

test("a payment is found by its address in a link, a text or the card of an app", () => {
  const store = storeWith(chatData());
  store.setPayment(request);
  store.setPayment(charge);
  const found = (/** @type {string} */ value, type = "text") => paymentsIn(store, { type, value }).map(({ id }) => id);
  assert.deepEqual(found("Pay at https://pay.example/1, please"), ["pr_1"]);
  assert.deepEqual(found("https://a.example/pay_1", "link"), ["pay_1"]);
  assert.deepEqual(found("https://pay.example/2"), []);
  assert.deepEqual(found("https://pay.example/1", "media"), []);
  const inPart = (/** @type {string} */ url, type = "imessage_app") =>
    paymentsIn(store, { type, url }).map(({ id }) => id);
  assert.deepEqual(inPart("https://pay.example/1"), ["pr_1"]);
  assert.deepEqual(inPart("https://pay.example/1", "media"), []);
});

test("a thread holds replies, and replies to replies", () => {
  const first = message("first");
  const answer = reply("answer", { reply_to: { message_id: first.id } });
  const deeper = message("deeper", { reply_to: { message_id: answer.id } });
  const aside = message("aside");
  const chat = chatIn(storeWith(chatData([first, answer, deeper, aside])));
  assert.equal(rootOf(chat, deeper.id), first.id);
  assert.equal(rootOf(chat, aside.id), aside.id);
  assert.deepEqual(
    threadOf(chat, first.id).map(({ id }) => id),
    [first.id, answer.id, deeper.id],
  );
  assert.deepEqual([replyCount(chat, first.id), replyCount(chat, answer.id)], [2, 0]);
});

test("a search finds chats by title and messages by text, latest first", () => {
  const store = storeWith(chatData([message("Cake at noon"), reply("Tea"), message("more CAKE")]));
  assert.deepEqual(
    search(store, "cake").messages.map(({ message: one }) => one.parts?.[0].value),
    ["more CAKE", "Cake at noon"],
  );
  assert.equal(search(store, "your bot").chats.length, 1);
  assert.deepEqual(excerpt("Shall we bring a large chocolate cake today?", "cake"), {
    before: "…large chocolate ",
    match: "cake",
    after: " today?",
  });
});

test("the texts of drafts outlive a reload, and empty ones are forgotten", () => {
  const kept = memory();
  const texts = new DraftTexts(kept);
  let changes = 0;
  texts.onChange(() => {
    changes += 1;
  });
  texts.set(draftKey(ME, "chat"), "not yet");
  texts.set(draftKey(ME, "chat"), "not yet");
  assert.equal(new DraftTexts(kept).get(draftKey(ME, "chat")), "not yet");
  texts.set(draftKey(ME, "chat"), "");
  assert.equal(kept.getItem("linqbot.drafts"), "{}");
  assert.equal(changes, 2);
});

test("a second phone on the page remembers apart from the first", () => {
  const tab = memory();
  phoneMemory(tab, "").setItem("linqbot.me", "one");
  phoneMemory(tab, "?phone=2").setItem("linqbot.me", "two");
  assert.equal(phoneMemory(tab, "").getItem("linqbot.me"), "one");
  assert.equal(phoneMemory(tab, "?phone=2").getItem("linqbot.me"), "two");
});

test("a new message is put at the end without sorting, a late one is not", () => {
  const [first, second, third] = [message("1"), message("2"), message("3")];
  assert.deepEqual(sortedWith([first], second, true), [first, second]);
  assert.equal(sortedWith([first, third], second, true), null);
  const edited = { ...first, edits: 1 };
  assert.deepEqual(sortedWith([first, second], edited, false), [edited, second]);
  assert.equal(sortedWith(null, first, true), null);
});

test("the window of a long chat moves both ways and never grows beyond its limit", () => {
  const shown = new TranscriptWindow();
  shown.showEnd(10_000);
  assert.deepEqual([shown.start, shown.end, shown.atEnd], [9940, 10_000, true]);
  for (let i = 0; i < 10; i += 1) shown.earlier();
  assert.deepEqual([shown.start, shown.end, shown.atEnd], [9640, 9880, false]);
  shown.resize(10_001); // a message arrives while the person reads old ones
  assert.deepEqual([shown.start, shown.end], [9640, 9880]);
  for (let i = 0; i < 10; i += 1) shown.later();
  assert.deepEqual([shown.start, shown.end, shown.atEnd], [9761, 10_001, true]);
  shown.resize(10_002);
  assert.equal(shown.end, 10_002);
  shown.around(17);
  assert.ok(shown.start <= 17 && 17 < shown.end && shown.end - shown.start <= 240);
  shown.around(18);
  assert.ok(shown.start <= 17);
});

test("the window of a short chat holds all of it", () => {
  const shown = new TranscriptWindow();
  shown.showEnd(3);
  assert.deepEqual([shown.start, shown.end, shown.hasEarlier], [0, 3, false]);
  shown.resize(1);
  assert.deepEqual([shown.start, shown.end], [0, 1]);
});
