// The sheet that shares a location with the bot, moves it, or stops sharing.

import { buttonTo, h } from "../elements/dom.js";
import { openSheet } from "../elements/sheet.js";
import { succeeds, toast } from "../elements/toast.js";
import { shareLocation, stopLocation } from "../client/control.js";

/** @import { Store } from "../model/store.js" */

/** @type {[name: string, latitude: number, longitude: number][]} */
const PLACES = [
  ["San Francisco", 37.7793, -122.4193],
  ["New York", 40.7128, -74.006],
  ["London", 51.5074, -0.1278],
  ["Berlin", 52.52, 13.405],
  ["Tokyo", 35.6762, 139.6503],
  ["Sydney", -33.8688, 151.2093],
];

/** @type {[label: string, seconds: string][]} */
const DURATIONS = [
  ["For one hour", "3600"],
  ["For a day", "86400"],
  ["Until I stop", ""],
];

/**
 * @param {string} label
 * @param {number} most The largest number; the smallest is its negative.
 */
const coordinate = (label, most) =>
  h(
    "label",
    { class: "sheet-field" },
    label,
    h("input", { type: "number", step: "any", min: String(-most), max: String(most), required: true }),
  );

/**
 * @param {Store} store
 * @param {string} chatId
 */
export function openLocationSheet(store, chatId) {
  const latitude = coordinate("Latitude", 90);
  const longitude = coordinate("Longitude", 180);
  const [north, east] = [latitude, longitude].map((label) => /** @type {HTMLInputElement} */ (label.lastElementChild));
  const set = (/** @type {number} */ lat, /** @type {number} */ long) => {
    north.value = String(lat);
    east.value = String(long);
  };
  const shared = store.chats.get(chatId)?.locations?.find(({ handle }) => handle === store.me);
  if (shared) set(shared.latitude, shared.longitude);
  else set(PLACES[0][1], PLACES[0][2]);
  const places = PLACES.map(([name, lat, long]) => buttonTo(() => set(lat, long), { class: "chip" }, name));
  const here = buttonTo(() => useDevice(set), { class: "chip" }, "This device");
  const duration = h(
    "select",
    {},
    DURATIONS.map(([label, value]) => h("option", { value }, label)),
  );
  const stop = async () => {
    if (await succeeds(stopLocation(store.me, chatId))) close();
  };

  function share() {
    if (!(north.reportValidity() && east.reportValidity())) return false;
    const forS = duration.value ? { for_s: Number(duration.value) } : {};
    const at = { latitude: Number(north.value), longitude: Number(east.value) };
    succeeds(shareLocation({ from: store.me, chat_id: chatId, ...at, ...forS }));
    return true;
  }

  const content = [
    h("div", { class: "known" }, places, here),
    h("div", { class: "sheet-fields" }, latitude, longitude),
    !shared && h("div", { class: "sheet-fields" }, h("label", { class: "sheet-field" }, "Share", duration)),
    shared && buttonTo(stop, { class: "danger" }, "Stop Sharing"),
  ];
  const close = openSheet(shared ? "Your Location" : "Share Location", content, {
    label: shared ? "Move" : "Share",
    run: share,
  });
}

/** @param {(latitude: number, longitude: number) => void} set */
function useDevice(set) {
  if (!navigator.geolocation) {
    toast("This browser gives no location to this page.");
    return;
  }
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => set(coords.latitude, coords.longitude),
    () => toast("The browser gave no location."),
  );
}
