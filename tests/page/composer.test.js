import assert from "node:assert/strict";
import { test } from "node:test";
import {
  draftAfter,
  draftOfEdit,
  Drafts,
  emptyDraft,
  isEmpty,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/composer/draft.js";
import {
  deliver,
  inboundMessage,
  Outbox,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/composer/sending.js";
import { DraftTexts } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/drafts.js";
import { draftChat } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/chats.js";
import { chatData, chatIn, FRIEND, group, LINE, ME, memory, message, storeWith } from "./world.js";

/** @import { SentDraft } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/composer/sending.js" */

/**
 * @param {Partial<SentDraft>} [more]
 * @returns {SentDraft}
 */
const sent = (more = {}) => ({ draft: emptyDraft(), chat: group(), place: { view: "list" }, me: ME, ...more });

/**
 * Answer the control API while `run` runs; return the paths and the bodies that were posted.
 * @param {() => Promise<void>} run
 * @param {(body: any) => Response} [answer]
 */
async function posted(run, answer = () => Response.json({ chat_id: "new", message_id: "m" })) {
  /** @type {{ path: string, body: any }[]} */
  const requests = [];
  const original = globalThis.fetch;
  globalThis.fetch = async (path, options) => {
    const body = JSON.parse(String(options?.body));
    requests.push({ path: String(path), body });
    return answer(body);
  };
  try {
    await run();
  } finally {
    globalThis.fetch = original;
  }
  return requests;
}

test("a draft of spaces is empty, one with a file is not", () => {
  assert.ok(isEmpty({ ...emptyDraft(), text: " \n" }));
  assert.ok(!isEmpty({ ...emptyDraft(), files: [/** @type {File} */ ({})] }));
});

test("each conversation keeps its draft", () => {
  const drafts = new Drafts(new DraftTexts(memory()));
  drafts.open("a");
  drafts.current.text = "for a";
  drafts.open("b");
  assert.equal(drafts.current.text, "");
  drafts.open("a");
  assert.equal(drafts.current.text, "for a");
});

test("a draft goes on in the conversation that has begun meanwhile", () => {
  const kept = memory();
  const drafts = new Drafts(new DraftTexts(kept));
  drafts.open("me draft");
  drafts.current.text = "half";
  drafts.keepText();
  drafts.moveTo("me chat");
  assert.deepEqual([drafts.key, drafts.current.text], ["me chat", "half"]);
  assert.deepEqual([new DraftTexts(kept).get("me draft"), new DraftTexts(kept).get("me chat")], ["", "half"]);
  drafts.open("me draft");
  assert.equal(drafts.current.text, "");
});

test("an edit sets the draft aside, and its text is kept over a reload", () => {
  const kept = memory();
  const drafts = new Drafts(new DraftTexts(kept));
  drafts.open("a");
  Object.assign(drafts.current, { text: "half", effect: "slam" });
  const first = draftOfEdit(message("old"), 0, drafts.current);
  const second = draftOfEdit(message("older"), 0, first);
  drafts.current = { ...second, text: "changed" };
  drafts.keepText();
  assert.equal(new DraftTexts(kept).get("a"), "half");
  assert.deepEqual(draftAfter(second), { ...emptyDraft(), text: "half", effect: "slam" });
  assert.deepEqual(draftAfter(emptyDraft()), emptyDraft());
});

test("an edit starts with the part's text and drops everything else", () => {
  const draft = draftOfEdit(message("before"), 0, emptyDraft());
  assert.deepEqual([draft.text, draft.reply, draft.effect, draft.files], ["before", null, null, []]);
});

test("a message goes to its chat", () => {
  const { to, chat_id: chatId, group: members, service } = inboundMessage(sent(), []);
  assert.deepEqual([to, chatId, members, service], [LINE, "group", undefined, undefined]);
});

test("the first message names the service and the others of a group", () => {
  const recipients = { line: LINE, others: [FRIEND], service: /** @type {const} */ ("SMS") };
  const body = inboundMessage(sent({ chat: draftChat(ME, recipients) }), []);
  assert.deepEqual([body.chat_id, body.service, body.group], [undefined, "SMS", [FRIEND]]);
});

test("a message over another service names the service, and the chat has it afterwards", async () => {
  const store = storeWith({ ...chatData(), service: "iMessage" });
  store.go({ view: "chat", chatId: "chat", service: "SMS" });
  const draft = { ...emptyDraft(), text: "green", effect: "slam" };
  const { place } = store;
  const [{ body }] = await posted(
    () => deliver(store, sent({ draft, chat: chatIn(store), place })),
    () => Response.json({ chat_id: "chat", message_id: "m" }),
  );
  assert.deepEqual([body.chat_id, body.service, body.effect], ["chat", "SMS", undefined]);
  assert.deepEqual(store.place, { view: "chat", chatId: "chat" });
});

test("a message over the chat's own service names no service", () => {
  assert.equal(inboundMessage(sent({ place: { view: "chat", chatId: "group" } }), []).service, undefined);
});

test("the first message to the bot alone has no group", () => {
  const chat = draftChat(ME, { line: LINE, others: [], service: "iMessage" });
  assert.ok(!("group" in inboundMessage(sent({ chat }), [])));
});

test("an effect is sent over iMessage only", () => {
  const draft = { ...emptyDraft(), effect: "slam" };
  assert.deepEqual(inboundMessage(sent({ draft }), []).effect, { name: "slam", type: "bubble" });
  const sms = sent({ draft, chat: { ...group(), service: "SMS" } });
  assert.ok(!("effect" in inboundMessage(sms, [])));
});

test("a reply names the part it answers", () => {
  const to = message("question");
  const draft = { ...emptyDraft(), reply: { message: to, partIndex: 1 } };
  assert.deepEqual(inboundMessage(sent({ draft }), []).reply_to, { message_id: to.id, part_index: 1 });
});

test("a link alone is a link part, a link in a sentence is text", async () => {
  const send = (/** @type {string} */ text) =>
    posted(() => deliver(storeWith(), sent({ draft: { ...emptyDraft(), text } })));
  const [alone] = await send("https://example.com/menu");
  assert.deepEqual(alone.body.parts, [{ type: "link", value: "https://example.com/menu" }]);
  const [sentence] = await send("see https://example.com/menu");
  assert.equal(sentence.body.parts[0].type, "text");
});

test("an edit is posted as one", async () => {
  const edited = message("before");
  const draft = { ...draftOfEdit(edited, 0, emptyDraft()), text: "after" };
  const [{ path, body }] = await posted(() => deliver(storeWith(), sent({ draft })));
  assert.equal(path, "/emulator/edit");
  assert.deepEqual(body, { from: ME, message_id: edited.id, part_index: 0, text: "after" });
});

test("after the first message its chat is open, unless the person has gone elsewhere", async () => {
  const chat = draftChat(ME, { line: LINE, others: [], service: "iMessage" });
  const store = storeWith();
  const first = sent({ draft: { ...emptyDraft(), text: "hi" }, chat, place: store.place });
  store.go({ view: "list" });
  await posted(() => deliver(store, first));
  assert.deepEqual(store.place, { view: "list" });
  /** @type {string[]} */
  const begun = [];
  store.upsertChat({ ...chatData(), id: "new" });
  await posted(() => deliver(store, { ...first, place: store.place }, (chatId) => begun.push(chatId)));
  assert.deepEqual(store.place, { view: "chat", chatId: "new" });
  assert.deepEqual(begun, ["new"]);
});

test("an answer that arrives before its chat is known opens the chat once it is", async () => {
  const chat = draftChat(ME, { line: LINE, others: [], service: "iMessage" });
  const store = storeWith();
  const { place } = store;
  await posted(() => deliver(store, sent({ draft: { ...emptyDraft(), text: "hi" }, chat, place })));
  store.upsertChat({ ...chatData(), id: "another" });
  await Promise.resolve();
  assert.equal(store.place, place);
  store.upsertChat({ ...chatData(), id: "new" });
  await Promise.resolve();
  assert.deepEqual(store.place, { view: "chat", chatId: "new" });
});

test("a person who goes elsewhere before the chat is known stays there", async () => {
  const chat = draftChat(ME, { line: LINE, others: [], service: "iMessage" });
  const store = storeWith();
  await posted(() => deliver(store, sent({ draft: { ...emptyDraft(), text: "hi" }, chat, place: store.place })));
  store.go({ view: "list" });
  store.upsertChat({ ...chatData(), id: "new" });
  await Promise.resolve();
  assert.deepEqual(store.place, { view: "list" });
});

test("the first message of a blocked person opens no chat", async () => {
  const chat = draftChat(ME, { line: LINE, others: [], service: "iMessage" });
  const store = storeWith();
  const { place } = store;
  const blocked = () => Response.json({ chat_id: null, message_id: null });
  await posted(() => deliver(store, sent({ draft: { ...emptyDraft(), text: "hi" }, chat, place })), blocked);
  assert.equal(store.place, place);
});

test("drafts are sent one after the other, also after a refusal", async () => {
  const store = storeWith(chatData());
  const outbox = new Outbox(store);
  /** @type {unknown[]} */
  const refused = [];
  const texts = ["one", "two", "three"];
  const refuse = () => Response.json({ error: { message: "Not today" } }, { status: 403 });
  const requests = await posted(async () => {
    await new Promise((resolve) => {
      for (const text of texts) {
        const draft = { ...emptyDraft(), text };
        const onRefused = (/** @type {unknown} */ error) => {
          refused.push(error);
          if (refused.length === texts.length) resolve(null);
        };
        outbox.send({ ...sent(), draft, chat: chatIn(store) }, { onBegun: () => {}, onRefused });
      }
    });
  }, refuse);
  assert.deepEqual(
    requests.map(({ body }) => body.parts[0].value),
    texts,
  );
  assert.deepEqual(
    refused.map((error) => /** @type {Error} */ (error).message),
    ["Not today", "Not today", "Not today"],
  );
});
