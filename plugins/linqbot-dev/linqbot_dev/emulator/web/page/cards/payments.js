// A payment or a payment request as a card, with what the payer can do: pay, decline, or connect first.

import { buttonTo, h } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { succeeds } from "../elements/toast.js";
import * as control from "../client/control.js";
import { amountText, nextStep, statusName } from "../model/content/payments.js";

/** @import { Payment } from "../client/types.d.ts" */

/**
 * Make the card of a payment.
 * @param {Payment} payment
 * @param {string} me
 */
export function paymentCard(payment, me) {
  const { status, description, merchant } = payment;
  const detail = [merchant?.name, description].filter(Boolean).join(" · ");
  return h(
    "div",
    { class: `payment ${status}` },
    h("div", { class: "payment-head" }, icon("money"), h("strong", {}, amountText(payment))),
    detail && h("p", {}, detail),
    h("p", { class: "payment-status" }, statusName(payment)),
    actions(payment, me),
  );
}

/**
 * @param {Payment} payment
 * @param {string} me
 */
function actions(payment, me) {
  const step = nextStep(payment);
  if (!step) return null;
  const button = (/** @type {string} */ label, /** @type {string} */ cls, /** @type {() => Promise<unknown>} */ run) =>
    buttonTo(() => succeeds(run()), { class: cls }, label);
  const first =
    step === "connect"
      ? button("Connect", "pay", () => control.connectPayments(me))
      : button("Pay", "pay", () => control.pay(payment.id));
  const decline = button("Decline", "decline", () => control.declinePayment(payment.id));
  return h("div", { class: "payment-actions" }, first, decline);
}
