// An echo in plain JavaScript, with nothing but Node. It answers the webhook first, and stores nothing. To judge it: docs/judge.md
import { createServer } from "node:http";
import { createHmac, timingSafeEqual } from "node:crypto";

const { LINQ_API_V3_API_KEY: key, LINQ_API_V3_BASE_URL: linq, LINQ_WEBHOOK_SECRET: secret, PORT: port } = process.env;

function isGenuine(headers, body) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const wanted = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64")).update(signed).digest("base64");
  const given = String(headers["webhook-signature"] ?? "").split(" ").map((entry) => Buffer.from(entry));
  return given.some((entry) => entry.length === wanted.length + 3 && timingSafeEqual(entry, Buffer.from(`v1,${wanted}`)));
}

async function reply(event) {
  const text = event.data.parts.map((part) => part.value ?? "").join("");
  await fetch(`${linq}/v3/chats/${event.data.chat.id}/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ message: { parts: [{ type: "text", value: `You said: ${text}` }] } }),
  });
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  if (request.method !== "POST" || request.url !== "/webhook") return response.writeHead(404).end();
  if (!isGenuine(request.headers, body)) return response.writeHead(401).end();
  response.writeHead(200).end();
  const event = JSON.parse(body);
  if (event.event_type === "message.received") await reply(event).catch(console.error);
}).listen(Number(port), "127.0.0.1");
