// What the menu of a person's own message offers for trying the bot: the same event, turn or conversation again.

import { deliverAgain, restartFrom, runAgain } from "../client/conditions.js";
import { succeeds, toast } from "../elements/toast.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

/**
 * Return the entries for a message; none for a message of the bot or of another person.
 * @param {Store} store
 * @param {Message} message
 * @returns {{ icon: string, label: string, run: () => unknown }[]}
 */
export function messageActions(store, { id }) {
  const again = { icon: "replay", label: "Deliver Again", run: () => deliver(id) };
  if (!store.runner) return [again];
  return [
    again,
    { icon: "play", label: "Run Again", run: () => run(id) },
    { icon: "rewind", label: "Restart from Here", run: () => restart(store, id) },
  ];
}

/** @param {string} id */
async function deliver(id) {
  if (await succeeds(deliverAgain(id))) {
    toast("Delivered again, with the same id. A bot that has stored the event ignores it.");
  }
}

/** @param {string} id */
async function run(id) {
  if (await succeeds(runAgain(id))) toast("The bot handles the message again, and sends everything again.");
}

/**
 * @param {Store} store
 * @param {string} id
 */
async function restart(store, id) {
  toast("Restarting …");
  await succeeds(
    restartFrom(id).then(({ chat_id: chatId }) => {
      store.go({ view: "chat", chatId });
      toast("Restarted from this message.");
    }),
  );
}
