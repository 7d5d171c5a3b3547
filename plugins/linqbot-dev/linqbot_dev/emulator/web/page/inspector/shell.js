// Commands that a person can paste into a shell.

/** @import { Call, SentDelivery } from "../client/types.d.ts" */

/**
 * Return a text as one word of a POSIX shell.
 * @param {string} text
 */
export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {string[]} words Each a word, or an option with its value. */
const command = (words) => words.join(" \\\n  ");

/**
 * Return the curl command that makes a call of the bot again. Its token is that of the environment; the emulator accepts
 * any, unless it was started with one.
 * @param {Call} call
 * @param {string} origin The emulator's.
 */
export function curlOfCall({ method, path, query, body }, origin) {
  const address = `${origin}${path}${query ? `?${query}` : ""}`;
  const words = [`curl -X ${method} ${quoted(address)}`, `-H "authorization: Bearer \${LINQ_API_V3_API_KEY:-any}"`];
  if (body) words.push("-H 'content-type: application/json'", `--data-raw ${quoted(JSON.stringify(body))}`);
  return `${command(words)}\n`;
}

/**
 * Return the curl command that sends a webhook to the bot again, with the bytes and the signature as they were sent.
 * @param {SentDelivery} delivery
 */
export function curlOfDelivery({ target_url: url, headers, body }) {
  const options = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  return `${command([`curl -i ${quoted(url ?? "")}`, ...options, `--data-raw ${quoted(body)}`])}\n`;
}

/**
 * Return the `linqbot trigger` command that sends an event like this one, with a new event id.
 * @param {SentDelivery} delivery
 */
export function triggerOf({ event_type: type, target_url: url, body }) {
  const { webhook_version: version, data } = JSON.parse(body);
  const words = [`linqbot trigger ${type}`];
  const isMessage = type === "message.received" && data.parts?.length === 1 && data.parts[0].type === "text";
  if (isMessage) words.push(...messageOptions(data));
  else words.push(`--set ${quoted(`data=${JSON.stringify(data)}`)}`);
  if (version !== "2026-02-03") words.push(`--version ${version}`);
  if (url) words.push(`--url ${quoted(url)}`);
  return `${command(words)}\n`;
}

/**
 * Return the options for a message with one text. The message has a new id, so that the bot does not take it for the
 * one that it has answered.
 * @param {any} data
 */
function messageOptions(data) {
  const [part] = data.parts;
  const words = [
    `--text ${quoted(part.value)}`,
    `--from ${quoted(data.sender_handle.handle)}`,
    `--to ${quoted(data.chat.owner_handle.handle)}`,
    `--chat ${quoted(data.chat.id)}`,
  ];
  if (data.chat.is_group) words.push("--set data.chat.is_group=true");
  if (part.mentions) words.push(`--set ${quoted(`data.parts=${JSON.stringify([part])}`)}`);
  for (const name of ["effect", "reply_to"]) {
    words.push(`--set ${quoted(`data.${name}=${JSON.stringify(data[name] ?? null)}`)}`);
  }
  if (data.service !== "iMessage") words.push(`--set data.service=${quoted(data.service)}`);
  return words;
}
