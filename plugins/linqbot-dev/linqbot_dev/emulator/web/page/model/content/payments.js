// Payments and payment requests. A bot sends their addresses as links; the page shows them as cards.

/** @import { Part, Payment } from "../../client/types.d.ts" */
/** @import { Store } from "../store.js" */

const REQUEST_WAITS = ["requested", "declined", "authorized"];

/** @type {Record<string, string>} */
const STATUS_NAMES = {
  requested: "Requested",
  declined: "Declined",
  authorized: "Authorized",
  succeeded: "Paid",
  canceled: "Canceled",
  expired: "Expired",
  needs_connection: "Not connected",
  connecting: "Connecting",
  awaiting_user_action: "Waiting for you",
  ready: "Ready",
};

/** @param {Payment} payment */
export const statusName = ({ status }) => STATUS_NAMES[status] ?? status;

/** @param {Payment} payment */
export function amountText({ amount, amount_cents: cents, currency }) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format((amount ?? cents ?? 0) / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/**
 * Return what the payer can do now: `pay` (with the choice to decline), `connect`, or nothing.
 * @param {Payment} payment
 * @returns {"pay" | "connect" | null}
 */
export function nextStep({ id, status }) {
  if (id.startsWith("pr_")) return REQUEST_WAITS.includes(status) ? "pay" : null;
  if (status === "needs_connection" || status === "connecting") return "connect";
  return status === "awaiting_user_action" ? "pay" : null;
}

/** @param {Payment} payment */
const addresses = ({ checkout_url: checkout, attach_url: attach, approval_url: approval }) =>
  [checkout, attach, approval].filter((url) => url !== undefined && url !== null);

/**
 * Return the payments whose addresses stand in a text, a link or the card of an app, as `ctx.pay` sends it over iMessage.
 * @param {Store} store
 * @param {Part} part
 */
export function paymentsIn(store, { type, value, url }) {
  const named = type === "imessage_app" ? url : value;
  if (store.payments.size === 0 || !named || !["text", "link", "imessage_app"].includes(type)) return [];
  return [...store.payments.values()].filter((payment) => isNamedIn(payment, named));
}

/**
 * The address of a charge changes with its status, so its id counts too.
 * @param {Payment} payment
 * @param {string} text
 */
const isNamedIn = (payment, text) =>
  addresses(payment).some((url) => text.includes(url)) || (payment.id.startsWith("pay_") && text.includes(payment.id));

/**
 * Return the charges of this phone's person, latest first.
 * @param {Store} store
 */
export const myCharges = (store) => [...store.payments.values()].filter(({ handle }) => handle === store.me).reverse();
