"""Payment requests: the customer pays on a checkout page. To charge a connected customer: `payments.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from linqbot.client.resources.resource import Listing, Page, Resource, read
from linqbot.types.payment import Discount, PaymentRequest, PaymentRequestPage


class PaymentRequests(Resource):
    """`client.payment_requests`. Without a connected Stripe account every method raises `LinqApiError` 403."""

    __slots__ = ()

    async def create(
        self,
        *,
        amount: int | None = None,
        currency: Literal["usd"] | None = None,
        customer_id: str | None = None,
        description: str | None = None,
        discount: Discount | Mapping[str, Any] | None = None,
        from_: str | None = None,
        metadata: Mapping[str, str] | None = None,
        mode: Literal["payment", "subscription"] | None = None,
        payer_handle: str | None = None,
        price_id: str | None = None,
        quantity: int | None = None,
        rail: Literal["stripe", "natural"] | None = None,
        trial_end: datetime | str | None = None,
        trial_period_days: int | None = None,
        idempotency_key: str | None = None,
    ) -> PaymentRequest:
        """Request a payment. Then send its `checkout_url`, or an `agentpay` experience with that URL, to the payer.

        Args:
            amount: In cents, at least 50. Required in payment mode, not allowed in subscription mode; the same holds
                for `currency`.
            customer_id: A customer of your Stripe account, `cus_…`.
            discount: For subscriptions: `coupon` or `promotion_code`, and a `label`.
            from_: Your line, E.164. Required, with `payer_handle`, when `rail` is `natural`.
            metadata: Up to 49 strings, returned in `payment.*` events. Keys that begin with `linq_` are reserved.
            mode: None is `payment`; `subscription` starts a subscription that renews itself.
            payer_handle: The payer: E.164 phone number or e-mail address.
            price_id: A recurring price of your Stripe account, `price_…`. Required in subscription mode, and only
                allowed there.
            quantity: Number of units of the price, 1 or more.
            rail: None is `stripe`.
            trial_end, trial_period_days: The time of a subscription's first charge: a date and time, or a number of
                days. Not both.
            idempotency_key: Requests with equal keys are executed once. None generates a key, so that a retry requests
                the payment once.
        Returns:
            The payment request. Its status is `requested`; `payment.*` events report the outcome.
        Raises:
            LinqApiError: 403 Stripe is not connected, 400 no such customer or price.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/create
        """
        body = {
            "amount": amount,
            "currency": currency,
            "customer_id": customer_id,
            "description": description,
            "discount": discount,
            "from": from_,
            "metadata": metadata,
            "mode": mode,
            "payer_handle": payer_handle,
            "price_id": price_id,
            "quantity": quantity,
            "rail": rail,
            "trial_end": trial_end,
            "trial_period_days": trial_period_days,
        }
        response = await self._call("payment_requests.create", body=body, key=idempotency_key)
        return read(PaymentRequest, response, "payment_requests.create")

    async def retrieve(self, payment_request_id: str) -> PaymentRequest:
        """Get a payment request by its id, `pr_…`.

        Raises:
            LinqApiError: 403 Stripe is not connected, 404 no payment request with this id.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/retrieve
        """
        path = {"payment_request_id": payment_request_id}
        return read(
            PaymentRequest, await self._call("payment_requests.retrieve", path=path), "payment_requests.retrieve"
        )

    def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        status: Literal["requested", "authorized", "succeeded", "canceled", "expired", "declined"] | None = None,
    ) -> Listing[PaymentRequest]:
        """List payment requests, newest first.

        Args:
            limit: Payment requests per page, 1 to 100; None is 20.
            offset: Number of payment requests to skip at the beginning.
            status: Only payment requests with this status.
        Returns:
            A listing: `async for request in …` iterates over all pages, `await …` returns the first page. A page's
            `next_cursor` is the next `offset`, as a string.
        Raises:
            LinqApiError: 403 Stripe is not connected.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/list
        """

        async def page(at: str | None) -> Page[PaymentRequest]:
            query = {"limit": limit, "offset": at, "status": status}
            response = await self._call("payment_requests.list", query=query)
            got = read(PaymentRequestPage, response, "payment_requests.list")
            # An empty page with `has_more` does not advance the offset, so following it would never end.
            more = got.has_more and bool(got.data)
            return Page(got.data, str(int(at or 0) + len(got.data)) if more else None)

        return Listing(page, None if offset is None else str(offset))

    async def cancel(self, payment_request_id: str) -> PaymentRequest:
        """Cancel a payment request. `payment.canceled` follows.

        Raises:
            LinqApiError: 409 the payment request is already paid, canceled or expired, 403 Stripe is not connected, 404
                no payment request with this id.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/cancel
        """
        path = {"payment_request_id": payment_request_id}
        return read(PaymentRequest, await self._call("payment_requests.cancel", path=path), "payment_requests.cancel")
