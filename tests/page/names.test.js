import assert from "node:assert/strict";
import { test } from "node:test";
import { fileSize } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/content/files.js";
import { chatTitle, nameIn } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/names.js";
import { initialPerson } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/people.js";
import { chatPreview, messagePreview } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/previews.js";
import {
  bot,
  chatData,
  chatIn,
  FRIEND,
  group,
  LINE,
  ME,
  memory,
  message,
  OTHER_LINE,
  person,
  reply,
  storeWith,
} from "./world.js";

const store = storeWith();

test("names are those that this phone's person would use", () => {
  const names = [ME, LINE, OTHER_LINE, FRIEND].map((handle) => nameIn(store, group(), handle));
  assert.deepEqual(names, ["You", "Your bot", "Your bot 2", "+1 415 555 0187"]);
});

test("a group has its own name, or those of the others", () => {
  assert.equal(chatTitle(store, { ...group(), name: "Cake @ Bob's" }), "Cake @ Bob's");
  assert.equal(chatTitle(store, { ...group(), name: null }), "+1 415 555 0187");
  const handles = [bot, person(ME), person("ada@example.com"), person("bob@example.com"), person(FRIEND)];
  assert.equal(chatTitle(store, { ...group(), handles }), "ada@example.com, bob@example.com & +1 415 555 0187");
});

test("a group that only the bot is left in is named after the bot", () => {
  assert.equal(chatTitle(store, { ...group(), handles: [bot, person(ME)] }), "Your bot");
});

test("the bot has the name of the card that it has shared in the chat", () => {
  const chat = {
    ...group(),
    is_group: false,
    handles: [bot, person(ME)],
    card: { first_name: "Bistro", last_name: "Bot" },
  };
  assert.equal(chatTitle(store, chat), "Bistro Bot");
  assert.equal(nameIn(store, chat, OTHER_LINE), "Your bot 2");
});

test("a chat of two is named after the other side", () => {
  assert.equal(chatTitle(store, { ...group(), is_group: false, handles: [bot, person(ME)] }), "Your bot");
});

test("a preview says what a message is", () => {
  const media = (/** @type {string} */ mime_type) => ({ type: "media", mime_type, filename: "a.pdf" });
  const previews = [
    message("hello"),
    message("", { parts: [media("image/png"), { type: "text", value: "look" }] }),
    message("", { parts: [media("application/pdf")] }),
    message("", { parts: [media("text/vcard")] }),
    message("", {
      poll: {
        options: [
          { option_id: "o1", text: "Tea" },
          { option_id: "o2", text: "Cake" },
        ],
      },
    }),
    message("", { parts: [{ type: "imessage_app", app: { name: "Chess" } }] }),
    message("", { parts: [], effect: { name: "confetti" } }),
    message("", { parts: [] }),
  ].map(messagePreview);
  assert.deepEqual(previews, [
    "hello",
    "Photo look",
    "a.pdf",
    "Contact Card",
    "Poll: Tea, Cake",
    "Chess",
    "Sent with Confetti",
    "Message",
  ]);
});

test("in a group the list names the sender, unless it is the person", () => {
  const members = [bot, person(ME), person(FRIEND)];
  const last = (/** @type {ReturnType<typeof message>} */ one) => {
    const loaded = storeWith(chatData([one], members));
    return chatPreview(loaded, chatIn(loaded));
  };
  assert.equal(last(reply("noted")), "Your bot: noted");
  assert.equal(last(message("mine")), "mine");
});

test("the tab's own person comes back, another one opens with ?as=", () => {
  const kept = memory();
  assert.equal(initialPerson(kept, ""), "+14155550142");
  kept.setItem("linqbot.me", FRIEND);
  assert.equal(initialPerson(kept, ""), FRIEND);
  assert.equal(initialPerson(kept, "?as=%2B447700900123"), "+447700900123");
  assert.equal(initialPerson(kept, "?as=+447700900123"), "+447700900123");
  assert.equal(initialPerson(kept, "?as=ada"), FRIEND);
});

test("sizes of files have at most three digits", () => {
  assert.deepEqual([undefined, 999, 1500, 12_345, 100_000_000, 2_500_000_000].map(fileSize), [
    "0 bytes",
    "999 bytes",
    "1.5 KB",
    "12 KB",
    "100 MB",
    "2.5 GB",
  ]);
});
