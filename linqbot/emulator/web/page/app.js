// The page: puts the rooms together. The store holds what is known, the stream keeps it current, each module shows its
// part of it and acts as the person through control.js.

import { mountChatList } from "./chats/chat-list.js";
import { mountConversation } from "./conversation/conversation.js";
import { h, icon, loadIcons } from "./elements/dom.js";
import { mountInspector } from "./inspector/inspector.js";
import { Store } from "./model/store.js";
import { follow } from "./model/stream.js";
import { mountSwitcher } from "./chats/switcher.js";
import { statusBarTime } from "./model/time.js";

const CLOCK_MS = 5000;
// A restart of the emulator takes about a second; a note that flashes only startles.
const RECONNECT_DELAY_MS = 400;

loadIcons();

const byId = (id) => document.getElementById(id);
const store = new Store();
const { toggle: toggleInspector } = mountInspector(byId("inspector"), store);

mountSwitcher(byId("topbar-person"), store);
byId("topbar-tools").append(
  h("button", { type: "button", class: "pill", on: { click: toggleInspector } }, icon("inspect"), "Inspector"),
);
byId("status-icons").append(icon("signal", "signal"), icon("wifi", "wifi"), icon("battery", "battery"));
mountChatList(byId("list"), store, { toggleInspector });
mountConversation(byId("chat"), store, { toggleInspector });

store.onChange((topics) => {
  if (!topics.has("place")) return;
  const view = store.place.view === "list" ? "list" : "chat";
  byId("screen").dataset.view = view;
  byId("list").inert = view !== "list";
  byId("chat").inert = view === "list";
  // The first place is simply there; only later ones slide in.
  requestAnimationFrame(() => byId("screen").classList.toggle("ready", store.loaded));
});

const showTime = () => {
  byId("clock").textContent = statusBarTime();
};
store.onChange(showTime);
setInterval(showTime, CLOCK_MS);
showTime();

let outage;
follow(store, (isUp) => {
  clearTimeout(outage);
  if (isUp) byId("reconnecting").hidden = true;
  else
    outage = setTimeout(() => {
      byId("reconnecting").hidden = false;
    }, RECONNECT_DELAY_MS);
});
