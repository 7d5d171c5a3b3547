import assert from "node:assert/strict";
import { test } from "node:test";
import {
  curlOfCall,
  curlOfDelivery,
  quoted,
  triggerOf,
} from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/inspector/shell.js";
import { LINE, ME } from "./world.js";

/** @import { SentDelivery } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/client/types.d.ts" */

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
