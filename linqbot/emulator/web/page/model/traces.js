// The inspector's entries: webhooks, API calls and turns, in the order they happened.

/** @import { Call, Delivery, Observation } from "../client/types.d.ts" */

const MAX_TRACES = 500;

/**
 * @typedef {{ key: string, at: string, chatId: string | null } & (
 *   | { kind: "delivery", data: Delivery }
 *   | { kind: "call", data: Call }
 *   | { kind: "observation", data: Observation })} Trace
 */

export class Traces {
  /** @type {Trace[]} Oldest first, at most `MAX_TRACES`. */
  list = [];
  #count = 0;

  /**
   * Add a delivery, or replace it: the emulator sends a delivery again after each attempt.
   * @param {Delivery} data
   */
  addDelivery(data) {
    const key = `delivery ${data.event_id} ${data.subscription_id}`;
    const known = this.list.find((trace) => trace.key === key);
    const at = known?.at ?? data.created_at ?? data.attempts?.[0]?.at;
    this.#add({ kind: "delivery", key, ...place(at, data), data });
  }

  /** @param {Call} data */
  addCall(data) {
    this.#add({ kind: "call", key: `call ${this.#count}`, ...place(data.at, data), data });
  }

  /** @param {Observation} data */
  addObservation(data) {
    this.#add({ kind: "observation", key: `observation ${this.#count}`, ...place(data.at, data), data });
  }

  /** Sort the list by time, after a load that added one kind after the other. */
  sort() {
    this.list.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  }

  clear() {
    this.list = [];
  }

  /** @param {Trace} trace */
  #add(trace) {
    this.#count += 1;
    const index = this.list.findLastIndex((known) => known.key === trace.key);
    if (index >= 0) this.list[index] = trace;
    else this.list.push(trace);
    if (this.list.length > MAX_TRACES) this.list.splice(0, this.list.length - MAX_TRACES);
  }
}

/**
 * @param {string | undefined} at
 * @param {{ chat_id?: string | null }} data
 */
const place = (at, { chat_id: chatId }) => ({ at: at ?? new Date().toISOString(), chatId: chatId ?? null });
