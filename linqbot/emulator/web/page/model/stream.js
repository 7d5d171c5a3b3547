// The emulator's event stream into the store. After every (re)connect the whole state is fetched, because events
// may have been missed; events that arrive while it is on its way wait for it, upserts make the overlap harmless.

import { fetchState } from "./control.js";

const RETRY_MS = 1000;

const APPLY = {
  chat: (store, data) => store.upsertChat(data),
  message: (store, data) => store.upsertMessage(data),
  message_deleted: (store, data) => store.deleteMessage(data),
  typing: (store, data) => store.setTyping(data),
  delivery: (store, data) => store.addDelivery(data),
  call: (store, data) => store.addCall(data),
  observation: (store, data) => store.addObservation(data),
};

/** Keep `store` current for as long as the page lives. `onConnection(isUp)` hears about outages. */
export function follow(store, onConnection) {
  let waiting = null; // a list while a load is under way

  function connect() {
    const source = new EventSource("/emulator/stream");
    let isOver = false;

    function retry() {
      if (isOver) return;
      isOver = true;
      // The browser's own retry stops for good on some answers; ours does not.
      source.close();
      onConnection(false);
      setTimeout(connect, RETRY_MS);
    }

    async function load() {
      waiting = [];
      try {
        store.load(await fetchState());
        for (const [name, data] of waiting) APPLY[name](store, data);
        onConnection(true);
      } catch {
        retry();
      } finally {
        waiting = null;
      }
    }

    source.addEventListener("open", load);
    source.addEventListener("reset", load);
    source.addEventListener("error", retry);
    for (const name of Object.keys(APPLY)) {
      source.addEventListener(name, ({ data }) => {
        if (waiting) waiting.push([name, JSON.parse(data)]);
        else APPLY[name](store, JSON.parse(data));
      });
    }
  }

  connect();
}
