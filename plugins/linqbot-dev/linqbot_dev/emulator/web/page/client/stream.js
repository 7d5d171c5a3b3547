// The emulator's event stream, which keeps the store current. Its first event is the state; after each reconnect it begins
// with the state again, because events may have been missed. Each event replaces the record that it names, so an event that
// the state already holds does no harm.
//
// index.html runs this module before the others have loaded: the state is then here when they are.

/** @import { Store } from "../model/store.js" */

const RETRY_MS = 1000;

/** @type {Record<string, (store: Store, data: any) => void>} */
const APPLY = {
  state: (store, data) => store.load(data),
  chat: (store, data) => store.upsertChat(data),
  message: (store, data) => store.upsertMessage(data),
  message_deleted: (store, data) => store.deleteMessage(data),
  payment: (store, data) => store.setPayment(data),
  typing: (store, data) => store.setTyping(data),
  delivery: (store, data) => store.addDelivery(data),
  call: (store, data) => store.addCall(data),
  observation: (store, data) => store.addObservation(data),
  conditions: (store, data) => store.setConditions(data),
};

/** @type {[name: string, data: unknown][]} The events before `follow`. */
let waiting = [];
let receive = (/** @type {string} */ name, /** @type {unknown} */ data) => {
  waiting.push([name, data]);
};
/** @type {(isUp: boolean) => void} */
let report = () => {};

function connect() {
  const source = new EventSource("/emulator/stream");
  source.addEventListener("reset", () => {
    source.close();
    connect();
  });
  source.addEventListener("error", () => {
    // The browser itself gives up after some responses, for example a 503.
    source.close();
    report(false);
    setTimeout(connect, RETRY_MS);
  });
  for (const name of Object.keys(APPLY)) {
    source.addEventListener(name, ({ data }) => {
      receive(name, JSON.parse(data));
      if (name === "state") report(true);
    });
  }
}

/**
 * Keep `store` current as long as the page is open.
 * @param {Store} store
 * @param {(isUp: boolean) => void} onConnection Called after each state, and after each loss of the connection.
 */
export function follow(store, onConnection) {
  receive = (name, data) => APPLY[name](store, data);
  report = onConnection;
  for (const [name, data] of waiting) receive(name, data);
  waiting = [];
}

connect();
