// Keeps the store current with the emulator's event stream. After every connect and reconnect the whole state is
// fetched, because events may have been missed. Events that arrive during that fetch are applied after it. Each
// event replaces the record that it names, so an event that the state already holds does no harm.

import { fetchState } from "./control.js";

/** @import { Store } from "../model/store.js" */

const RETRY_MS = 1000;

/** @type {Record<string, (store: Store, data: any) => void>} */
const APPLY = {
  chat: (store, data) => store.upsertChat(data),
  message: (store, data) => store.upsertMessage(data),
  message_deleted: (store, data) => store.deleteMessage(data),
  payment: (store, data) => store.setPayment(data),
  typing: (store, data) => store.setTyping(data),
  delivery: (store, data) => store.addDelivery(data),
  call: (store, data) => store.addCall(data),
  observation: (store, data) => store.addObservation(data),
  conditions: (store, data) => store.setConditions(data),
  runner: (store, data) => store.setRunner(data),
};

/**
 * Keep `store` current as long as the page is open.
 * @param {Store} store
 * @param {(isUp: boolean) => void} onConnection Called after each load, and after each loss of the connection.
 */
export function follow(store, onConnection) {
  /** @type {[name: string, data: unknown][] | null} The events that arrive during a load. */
  let waiting = null;

  function connect() {
    const source = new EventSource("/emulator/stream");
    let isOver = false;

    function retry() {
      if (isOver) return;
      isOver = true;
      // The browser itself gives up after some responses, for example a 503.
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
