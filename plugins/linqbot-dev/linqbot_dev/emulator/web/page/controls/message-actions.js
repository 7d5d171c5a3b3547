// What the menu of a message offers for trying the bot: the same event, turn or conversation again, and what a message of
// the bot looks like on each service.

import { deliverAgain, restartFrom, runAgain } from "../client/conditions.js";
import { later } from "../elements/later.js";
import { succeeds, toast } from "../elements/toast.js";

/** @import { Message } from "../client/types.d.ts" */
/** @import { Store } from "../model/store.js" */

const openPreview = later(async () => (await import("../preview/preview.js")).openPreview);

/**
 * Return the entries for a message; none for a message of another person. `about` tells similar ones apart.
 * @param {Store} store
 * @param {Message} message
 * @returns {{ icon: string, label: string, about?: string, run: () => unknown }[]}
 */
export function messageActions(store, message) {
  const { id } = message;
  const send = store.previewOf(id);
  if (send) return [{ icon: "phones", label: "Preview", run: () => openPreview(store, message, send) }];
  if (!store.isOwn(message)) return [];
  const again = {
    icon: "replay",
    label: "Deliver Again",
    about: "The same webhook once more. A bot that has stored it does nothing.",
    run: () => deliver(id),
  };
  if (!store.hasRunner) return [again];
  return [
    again,
    {
      icon: "play",
      label: "Run Again",
      about: "The bot handles it again, as it is now, and sends everything again.",
      run: () => run(id),
    },
    {
      icon: "rewind",
      label: "Restart from Here",
      about: "Everything returns to the time before it. Then it is sent again.",
      run: () => restart(store, id),
    },
  ];
}

/** @param {string} id */
async function deliver(id) {
  if (await succeeds(deliverAgain(id))) {
    toast("Delivered again, with the same id. A bot that has stored the event ignores it.");
  }
}

/**
 * Let the bot handle a message again.
 * @param {string} id
 */
export async function run(id) {
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
