// The details of a conversation: who is in it, adding and leaving in groups, and its ids for developers.

import { h, icon, toast } from "../elements/dom.js";
import * as control from "../model/control.js";
import { avatarIn, chatAvatar, chatTitle, nameIn } from "../model/chat.js";
import { formatHandle, normaliseHandle } from "../model/people.js";
import { openSheet } from "../elements/sheet.js";

async function attempt(call) {
  try {
    await call;
    return true;
  } catch (error) {
    toast(error.message);
    return false;
  }
}

function memberRow(store, chat, { handle, status }) {
  const name = nameIn(store, chat, handle);
  const left = status && status !== "active" ? ({ left: "Left", removed: "Removed" }[status] ?? status) : "";
  return h(
    "li",
    { class: left ? "gone" : "" },
    avatarIn(store, chat, handle),
    h(
      "span",
      { class: "member" },
      h("strong", {}, name),
      h("small", {}, [formatHandle(handle), left].filter(Boolean).join(" · ")),
    ),
  );
}

function fact(label, value) {
  return h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, value));
}

export function openDetails(store, chat) {
  const input = h("input", {
    type: "tel",
    placeholder: "+1 415 555 0199",
    "aria-label": "Number of the person to add",
  });
  const add = h(
    "form",
    {
      class: "inline-form",
      on: {
        submit: async (event) => {
          event.preventDefault();
          const handle = normaliseHandle(input.value);
          if (!handle) toast("A number in E.164 form, please: + and the country code first.");
          else if (await attempt(control.join(store.me, chat.id, handle))) close();
        },
      },
    },
    input,
    h("button", { type: "submit", class: "text-button" }, "Add"),
  );
  const leave = h(
    "button",
    {
      type: "button",
      class: "danger",
      on: {
        click: async () => {
          if (await attempt(control.leave(store.me, chat.id))) close();
        },
      },
    },
    icon("leave"),
    "Leave this Conversation",
  );
  const facts = h(
    "dl",
    { class: "facts" },
    fact("Service", chat.service ?? "iMessage"),
    chat.health_status?.status && fact("Health", chat.health_status.status),
    chat.id && fact("Chat id", chat.id),
  );
  const isMember = (chat.handles ?? []).some(
    (member) => member.handle === store.me && (member.status ?? "active") === "active",
  );
  const close = openSheet(
    "Details",
    [
      h("div", { class: "greeting small" }, chatAvatar(store, chat), h("h2", {}, chatTitle(store, chat))),
      h(
        "ul",
        { class: "members" },
        (chat.handles ?? []).map((member) => memberRow(store, chat, member)),
      ),
      chat.is_group && chat.id && isMember && add,
      facts,
      chat.is_group && chat.id && isMember && leave,
    ].filter(Boolean),
  );
}
