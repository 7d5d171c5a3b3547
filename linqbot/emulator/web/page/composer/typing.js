// Telling the emulator that the person types: started with the first letter, stopped after a silence, when the field
// is emptied or left. A sent message ends it by itself, as with Linq.

import * as control from "../model/control.js";

const SILENCE_MS = 4000;

export function typingNotice(store) {
  let told = null; // {me, chatId} the emulator believes is typing
  let silence;

  // A hint: when it is lost, nothing is.
  const tell = ({ me, chatId }, state) => control.setTyping(me, chatId, state).catch(() => {});

  function stop() {
    clearTimeout(silence);
    if (told) tell(told, "stopped");
    told = null;
  }

  return {
    stop,
    /** The message is on its way and says it all. */
    forget() {
      clearTimeout(silence);
      told = null;
    },
    typed(text) {
      const { chatId } = store.place;
      if (!chatId) return;
      if (!text.trim()) {
        stop();
        return;
      }
      if (!told) {
        told = { me: store.me, chatId };
        tell(told, "started");
      }
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE_MS);
    },
  };
}
