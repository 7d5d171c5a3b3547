// The breaks between messages: times after a pause, and runs of one sender.

import { senderOf, writtenAt } from "../model/chats.js";

/** @import { Message, Notice } from "../client/types.d.ts" */

const PAUSE_MS = 60 * 60 * 1000; // after a longer pause, the next message has its time over it
const RUN_MS = 5 * 60 * 1000; // within it, messages of one sender stand together

/**
 * Return for each message whether its time is shown over it, and whether it begins and ends a run of one sender. A notice
 * ends a run.
 * @param {(Message | Notice)[]} entries In the order they were written.
 */
export function breaksOf(entries) {
  const breaks = entries.map((message, i) => {
    const before = entries[i - 1];
    const gap = before ? writtenAt(message) - writtenAt(before) : Number.POSITIVE_INFINITY;
    return { hasTime: gap > PAUSE_MS, isFirst: gap > RUN_MS || speakerOf(message) !== speakerOf(before) };
  });
  return breaks.map((one, i) => ({ ...one, isLast: breaks[i + 1]?.isFirst ?? true }));
}

/** @param {Message | Notice} [entry] */
const speakerOf = (entry) => (entry && "id" in entry ? senderOf(entry) : "");
