// The strip under the conversation's bar: a request for the person's location, and that it is being shared.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { later } from "../elements/later.js";
import { showVersion } from "../elements/reconcile.js";
import { succeeds } from "../elements/toast.js";
import { stopLocation } from "../client/control.js";

/** @import { ShownChat } from "../model/chats.js" */
/** @import { Store } from "../model/store.js" */

const openLocationSheet = later(async () => (await import("../attach/location.js")).openLocationSheet);

/** @type {Set<string>} The requests that the person has answered or put away, by chat and time. */
const done = new Set();

/**
 * Show in the strip what it has to say now. Unchanged, it stays as it is: a screen reader would read it out again.
 * @param {HTMLElement} strip
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {() => void} onChange Called after the person has put a request away.
 */
export function showStrip(strip, store, chat, onChange) {
  const { id, location_asked_at: askedAt, locations } = chat;
  if (shareOf(store, chat)) done.add(`${id} ${askedAt}`);
  const version = JSON.stringify([id, store.me, askedAt, done.has(`${id} ${askedAt}`), locations]);
  showVersion(strip, version, () => stripContent(store, chat, onChange));
}

/**
 * Return the person's shared location.
 * @param {Store} store
 * @param {ShownChat} chat
 */
const shareOf = (store, { locations }) => locations?.find(({ handle }) => handle === store.me);

/**
 * @param {Store} store
 * @param {ShownChat} chat
 * @param {() => void} onChange
 */
function stripContent(store, chat, onChange) {
  const { id, location_asked_at: askedAt } = chat;
  if (!id) return [];
  const mine = shareOf(store, chat);
  const share = button(mine ? "Move" : "Share", () => openLocationSheet(store, id));
  if (mine) {
    const place = `${mine.latitude.toFixed(3)}, ${mine.longitude.toFixed(3)}`;
    const stop = button("Stop", () => succeeds(stopLocation(store.me, id)));
    return [icon("pin"), h("span", {}, "You share your location", h("small", {}, place)), share, stop];
  }
  const request = `${id} ${askedAt}`;
  if (!askedAt || done.has(request)) return [];
  const refuse = button("Not Now", () => {
    done.add(request);
    onChange();
  });
  return [icon("pin"), h("span", {}, "The bot asks for your location"), share, refuse];
}

/**
 * @param {string} label
 * @param {() => unknown} click
 */
const button = (label, click) => buttonTo(click, { class: "text-button" }, label);
