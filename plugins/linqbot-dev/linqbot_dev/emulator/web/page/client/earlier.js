// The stream begins with the newest messages of each chat, so that the page is there at once. The others are fetched in the
// background, the newest of them first: for scrolling back, for the search, and for threads.

import { fetchMessages } from "./control.js";

/** @import { Store } from "../model/store.js" */

const PAUSE_MS = 30; // between two answers, so that the person's clicks come first

/**
 * Fetch what is missing, now and after each new state.
 * @param {Store} store
 */
export function fetchEarlier(store) {
  let isFetching = false;

  async function fetchAll() {
    if (isFetching) return;
    isFetching = true;
    try {
      for (let chat = incomplete(store); chat; chat = incomplete(store)) {
        store.addEarlier(chat.id, await fetchMessages(chat.id, chat.earlier ?? 0));
        await new Promise((resume) => setTimeout(resume, PAUSE_MS));
      }
    } catch {
      // The connection is lost. The state that comes after it calls again.
    } finally {
      isFetching = false;
    }
  }

  store.onChange((topics) => topics.has("chats") && fetchAll());
  fetchAll();
}

/**
 * Return a chat of which messages are missing, the open one first.
 * @param {Store} store
 */
const incomplete = (store) => [store.openChat, ...store.chats.values()].find((chat) => chat?.earlier);
