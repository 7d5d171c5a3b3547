// The inspector's entries: webhooks, API calls and turns, in the order they happened.

/** @import { Call, Delivery, Observation } from "../client/types.d.ts" */

const MAX_TRACES = 1000;

/**
 * One record. `ms` is `at` as a number. `version` is another number after each change.
 * @typedef {{ key: string, at: string, ms: number, chatId: string | null, version: number } & (
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
    this.#add({ kind: "delivery", key, ...this.#place(at, data), data });
  }

  /**
   * Add a call. One that arrives while the state is loaded comes twice.
   * @param {Call} data
   */
  addCall(data) {
    const key = `call ${data.id ?? this.#count}`;
    this.#add({ kind: "call", key, ...this.#place(data.at, data), data });
  }

  /** @param {Observation} data */
  addObservation(data) {
    const { event_id: eventId, attempt, started_at: startedAt } = data;
    const key = eventId ? `turn ${eventId} ${attempt} ${startedAt}` : `observation ${this.#count}`;
    this.#add({ kind: "observation", key, ...this.#place(data.started_at ?? data.at, data), data });
  }

  /** Sort the list by time, after a load that added one kind after the other. */
  sort() {
    this.list.sort((a, b) => a.ms - b.ms);
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

  /**
   * @param {string | undefined} at
   * @param {{ chat_id?: string | null }} data
   */
  #place(at, { chat_id: chatId }) {
    const known = at ?? new Date().toISOString();
    return { at: known, ms: Date.parse(known), chatId: chatId ?? null, version: this.#count };
  }
}
