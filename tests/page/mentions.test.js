import assert from "node:assert/strict";
import { test } from "node:test";
import {
  membersToMention,
  mentionsIn,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/mentions.js";
import { FRIEND, group, LINE, OTHER_LINE, storeWith } from "./world.js";

const store = storeWith();

test("a member's name after an @ is a mention, with its range in UTF-16 code units", () => {
  assert.deepEqual(mentionsIn(store, group(), "🎂 @Your bot help"), [{ handle: LINE, range: [3, 12] }]);
});

test("every mention is found, in the order of the text", () => {
  const text = "@+1 415 555 0187 and @Your bot and @+1 415 555 0187";
  assert.deepEqual(
    mentionsIn(store, group(), text).map(({ handle }) => handle),
    [FRIEND, LINE, FRIEND],
  );
});

test("the second bot's name is no mention of the first bot", () => {
  const chat = group();
  chat.handles?.push({ handle: OTHER_LINE, is_me: false });
  assert.deepEqual(mentionsIn(store, chat, "@Your bot 2"), [{ handle: OTHER_LINE, range: [0, 11] }]);
});

test("outside of a group there are no mentions and no suggestions", () => {
  const chat = { ...group(), is_group: false };
  assert.deepEqual(mentionsIn(store, chat, "@Your bot"), []);
  assert.deepEqual(membersToMention(store, chat, "@").handles, []);
});

test("an @ suggests every other member", () => {
  assert.deepEqual(membersToMention(store, group(), "hi @"), { from: 3, handles: [LINE, FRIEND] });
});

test("the letters after the @ fit the start of a name or of one of its words, in either case", () => {
  for (const typed of ["@y", "@YOUR", "@bo", "@your bot"]) {
    assert.deepEqual(membersToMention(store, group(), typed), { from: 0, handles: [LINE] }, typed);
  }
});

test("after a finished mention, and inside of a word, nothing is suggested", () => {
  for (const typed of ["@Your bot ", "ada@y", "@stranger", "", "y"]) {
    assert.deepEqual(membersToMention(store, group(), typed).handles, [], typed);
  }
});
