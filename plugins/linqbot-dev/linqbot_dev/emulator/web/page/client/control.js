// The emulator's control API: the acts of the person who holds the phone. Each function resolves to the response, or
// throws an Error with the emulator's own sentence as its message.

/** @import { Background, Inbound, InboundFile, Message, Placement, SentDelivery } from "./types.d.ts" */

/**
 * POST `body` as JSON.
 * @param {string} path Below `/emulator/`.
 * @param {object} body
 */
export const post = (path, body) =>
  request("POST", path, { headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/**
 * @param {string} method
 * @param {string} path Below `/emulator/`.
 * @param {RequestInit} [more]
 */
export async function request(method, path, more = {}) {
  const response = await fetch(`/emulator/${path}`, { method, cache: "no-store", ...more }).catch((error) => {
    throw new Error("The emulator does not answer. Does it still run?", { cause: error });
  });
  const text = await response.text();
  const data = response.headers.get("content-type")?.startsWith("application/json") && text ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(data.error?.message ?? `The emulator answered ${response.status}`);
  return data;
}

/**
 * Return the newest 500 of the first `before` messages of a chat, and the number of messages before these.
 * @param {string} chatId
 * @param {number} before
 * @returns {Promise<{ earlier: number, messages: Message[] }>}
 */
export const fetchMessages = (chatId, before) =>
  request("GET", `chats/${encodeURIComponent(chatId)}/messages?before=${before}`);

/**
 * Return an event as it was sent, once for each subscription.
 * @param {string} eventId
 * @returns {Promise<SentDelivery[]>}
 */
export const fetchDeliveries = async (eventId) =>
  (await request("GET", `deliveries/${encodeURIComponent(eventId)}`)).deliveries;

/**
 * Return the source of a pytest.
 * @param {"chats" | "deliveries"} kind
 * @param {string} id The chat, or the event.
 * @returns {Promise<string>}
 */
export const fetchTest = async (kind, id) => (await request("GET", `${kind}/${encodeURIComponent(id)}/test`)).source;

/**
 * @param {Inbound} message
 * @returns {Promise<{ chat_id: string | null, message_id: string | null }>} Both are null when the bot has blocked the
 *   person.
 */
export const sendMessage = (message) => post("inbound", message);

/**
 * Add or remove a tapback.
 * @param {{ from: string, message_id: string, part_index: number, operation: "add" | "remove", type: string,
 *   custom_emoji?: string }} reaction
 */
export const react = (reaction) => post("react", reaction);

/** @param {{ from: string, message_id: string, part_index: number, text: string }} edit */
export const editMessage = (edit) => post("edit", edit);

/** @param {{ from: string, message_id: string, option_id: string, operation: "add" | "remove" }} choice */
export const vote = (choice) => post("vote", choice);

/**
 * Report that a person has read a chat.
 * @param {string} from
 * @param {string} chatId
 */
export const markRead = (from, chatId) => post("read", { from, chat_id: chatId });

/**
 * @param {string} from
 * @param {string} chatId
 * @param {"started" | "stopped"} state
 */
export const setTyping = (from, chatId, state) => post("typing", { from, chat_id: chatId, state });

/**
 * Leave a group, or remove another participant from it.
 * @param {string} from
 * @param {string} chatId
 * @param {string} [handle] The participant to remove.
 */
export const leave = (from, chatId, handle) => post("leave", { from, chat_id: chatId, handle });

/**
 * Add a person to a group.
 * @param {string} from
 * @param {string} chatId
 * @param {string} handle
 */
export const join = (from, chatId, handle) => post("join", { from, chat_id: chatId, handle });

/**
 * Put a sticker on a part of a message.
 * @param {{ from: string, message_id: string, part_index: number, placement: Placement, emoji?: string,
 *   data_base64?: string, filename?: string }} sticker Drawn from an emoji, or a picture.
 */
export const putSticker = (sticker) => post("react", { ...sticker, type: "sticker", operation: "add" });

/**
 * @param {string} from
 * @param {string} chatId
 * @param {string[]} options
 */
export const makePoll = (from, chatId, options) => post("poll", { from, chat_id: chatId, options });

/**
 * @param {string} from
 * @param {string} messageId
 * @param {string} option
 */
export const addPollOption = (from, messageId, option) =>
  post("poll/options", { from, message_id: messageId, options: [option] });

/**
 * Share a location, or move it.
 * @param {{ from: string, chat_id: string, latitude: number, longitude: number, for_s?: number }} location
 */
export const shareLocation = (location) => post("location", { ...location, state: "started" });

/**
 * @param {string} from
 * @param {string} chatId
 */
export const stopLocation = (from, chatId) => post("location", { from, chat_id: chatId, state: "stopped" });

/**
 * Share the person's name with a line.
 * @param {{ from: string, to: string, first_name: string, last_name: string }} card
 */
export const shareCard = (card) => post("card", card);

/** @param {string} id Of a payment request or a payment. */
export const pay = (id) => post("pay", { id });

/** @param {string} id Of a payment request or a payment. */
export const declinePayment = (id) => post("decline", { id });

/**
 * Connect a customer to the payment provider.
 * @param {string} from
 */
export const connectPayments = (from) => post("connect", { from });

/**
 * @param {string} from
 * @param {string} chatId
 * @param {string | null} name
 */
export const nameGroup = (from, chatId, name) => post("group/name", { from, chat_id: chatId, name });

/**
 * @param {string} from
 * @param {string} chatId
 * @param {InboundFile | null} image
 */
export const setGroupIcon = (from, chatId, image) => post("group/icon", { from, chat_id: chatId, image });

/**
 * @param {string} from
 * @param {string} chatId
 * @param {(Omit<Background, "image_url"> & { image?: InboundFile }) | null} background
 */
export const setBackground = (from, chatId, background) =>
  post("background", { from, chat_id: chatId, ...(background ?? { type: null }) });
