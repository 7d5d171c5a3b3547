// The page's start. The store holds the state and the stream keeps it current. Each part shows some of the state, and
// sends the person's acts to the emulator through client/control.js.

import { mountChatList } from "./chats/chat-list.js";
import { secondPhoneButton } from "./chats/second-phone.js";
import { mountSwitcher } from "./chats/switcher.js";
import { mountConversation } from "./conversation/conversation.js";
import { buttonTo, byId } from "./elements/dom.js";
import { icon, iconButton, loadIcons } from "./elements/icons.js";
import { later, loadLater } from "./elements/later.js";
import { follow } from "./client/stream.js";
import { Presses } from "./elements/presses.js";
import { isOpenAtFirst, showPanel } from "./elements/side-panel.js";
import { initialPerson, personName, phoneMemory } from "./model/people.js";
import { DraftTexts } from "./model/drafts.js";
import { Store } from "./model/store.js";
import { statusBarTime } from "./model/time.js";

const CLOCK_MS = 5000;
// A restart of the emulator takes about a second. A note that is shown for a moment only startles.
const RECONNECT_DELAY_MS = 400;

const memory = phoneMemory(sessionStorage, location.search);
const presses = new Presses(window);
const store = new Store(initialPerson(memory, location.search), memory, (run) => presses.runOutside(run));
const texts = new DraftTexts(memory);

const toggleInspector = laterPanel(async () => {
  const [{ mountBanner }, { mountInspector }] = await Promise.all([
    import("./inspector/banner.js"),
    import("./inspector/inspector.js"),
  ]);
  mountBanner(byId("bot-banner"), store);
  return mountInspector(byId("inspector"), store);
});

const toggleControls = laterPanel(async () => {
  const [{ mountChips }, { mountControls }] = await Promise.all([
    import("./controls/chips.js"),
    import("./controls/panel.js"),
  ]);
  const toggle = mountControls(byId("controls"), store);
  mountChips(byId("conditions"), store, toggle);
  return toggle;
});

const openSaving = later(async () => (await import("./saving/saving.js")).openSaving);

const fetchEarlier = later(async () => (await import("./client/earlier.js")).fetchEarlier);

/**
 * Return the function that opens a panel or closes it. The panel is mounted once its modules have loaded.
 * @param {() => Promise<() => void>} mount
 */
function laterPanel(mount) {
  /** @type {Promise<() => void> | undefined} */
  let mounted;
  return later(() => {
    mounted ??= mount();
    return mounted;
  });
}

/**
 * @param {string} panel The id.
 * @param {() => void} click
 * @param {(Node | string)[]} content
 */
const panelButton = (panel, click, ...content) =>
  buttonTo(click, { class: "pill", "aria-controls": panel, "aria-expanded": "false" }, ...content);

function mountParts() {
  mountSwitcher(byId("topbar-person"), store);
  byId("topbar-tools").append(
    secondPhoneButton(byId("stage"), store),
    iconButton("save", "Save this conversation", () => openSaving(store), "pill"),
    panelButton("controls", toggleControls, icon("clock"), "Time and faults"),
    panelButton("inspector", toggleInspector, icon("inspect"), "Inspector"),
  );
  showPanel(byId("inspector"), isOpenAtFirst());
  byId("status-icons").append(icon("signal", "signal"), icon("wifi", "wifi"), icon("battery", "battery"));
  mountChatList(byId("list"), store, texts, toggleInspector, toggleControls);
  mountConversation(byId("chat"), store, texts, toggleInspector, toggleControls);
}

function showPlace() {
  const view = store.place.view === "list" ? "list" : "chat";
  byId("screen").dataset.view = view;
  byId("list").inert = view !== "list";
  byId("chat").inert = view === "list";
  // The first place is there at once; only later places slide in.
  requestAnimationFrame(() => byId("screen").classList.toggle("ready", store.loaded));
}

function showTime() {
  byId("clock").textContent = statusBarTime();
}

/**
 * Show whose phone this is: the second one has no bar above it.
 * @param {HTMLElement} root
 */
function nameThePhone(root) {
  const show = () => {
    root.textContent = personName(store.me);
  };
  show();
  store.onChange((topics) => topics.has("me") && show());
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let outage;

/** @param {boolean} isUp */
function showConnection(isUp) {
  const note = byId("reconnecting");
  clearTimeout(outage);
  if (isUp) note.hidden = true;
  else {
    outage = setTimeout(() => {
      note.hidden = false;
    }, RECONNECT_DELAY_MS);
  }
}

// Inside of another page this is the second phone: a phone, and nothing around it but the person's name.
const isFramed = new URLSearchParams(location.search).has("phone");
document.body.classList.toggle("framed", isFramed);
loadIcons();
mountParts();
if (isFramed) nameThePhone(byId("island"));
store.onChange((topics) => topics.has("place") && showPlace());
store.onChange(showTime);
setInterval(showTime, CLOCK_MS);
follow(store, showConnection);
const loaded = store.onChange(() => {
  if (!store.loaded) return;
  loaded();
  // After the first frame with the state.
  requestAnimationFrame(() =>
    setTimeout(() => {
      loadLater();
      fetchEarlier(store);
    }),
  );
});
showTime();
