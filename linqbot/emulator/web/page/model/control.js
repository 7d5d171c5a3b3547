// The emulator's control API: what the person does. Each call resolves to the answer, or throws an Error whose
// message is the emulator's own sentence.

async function post(path, body) {
  const answer = await fetch(`/emulator/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  const data = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Error(data.error?.message ?? `The emulator answered ${answer.status}`);
  return data;
}

export async function fetchState() {
  const answer = await fetch("/emulator/state", { cache: "no-store" });
  if (!answer.ok) throw new Error(`The emulator answered ${answer.status}`);
  return answer.json();
}

export const sendMessage = (message) => post("inbound", message);
export const react = (reaction) => post("react", reaction);
export const markRead = (from, chatId) => post("read", { from, chat_id: chatId });
export const setTyping = (from, chatId, state) => post("typing", { from, chat_id: chatId, state });
export const editMessage = (edit) => post("edit", edit);
export const replayDelivery = (eventId) => post(`deliveries/${encodeURIComponent(eventId)}/replay`, {});
export const vote = (choice) => post("vote", choice);
export const leave = (from, chatId) => post("leave", { from, chat_id: chatId });
export const join = (from, chatId, handle) => post("join", { from, chat_id: chatId, handle });
