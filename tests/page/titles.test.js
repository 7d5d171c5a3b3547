import assert from "node:assert/strict";
import { test } from "node:test";
import { titleOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/inspector/titles.js";
import { exchangesOf } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/exchanges.js";
import { Traces } from "../../plugins/linqbot-dev/linqbot_dev/emulator/web/page/model/traces.js";
import { chatData, reply, storeWith } from "./world.js";

test("an event that is about no message is not titled with the bot's answer to it", () => {
  const answer = reply("Welcome!");
  const traces = new Traces();
  traces.addDelivery({
    event_id: "e1",
    event_type: "participant.added",
    subscription_id: "s",
    chat_id: "chat",
    message_id: null,
    created_at: answer.created_at,
    attempts: [{ status: 200 }],
  });
  traces.addCall({
    at: answer.created_at,
    method: "POST",
    path: "/v3/chats/chat/messages",
    status: 202,
    chat_id: "chat",
    answer: { message: { id: answer.id } },
  });
  const [exchange] = exchangesOf(traces.list);
  assert.ok(exchange);
  assert.deepEqual(exchange.sent, [answer.id]);
  assert.deepEqual(titleOf(storeWith(chatData([answer])), exchange), { speaker: "", text: "participant.added" });
});
