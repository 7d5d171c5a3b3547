"""Payment requests: money asked for, paid on a page of Linq's. Charging a connected customer: `payments.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from linqbot.client.resources.resource import Listing, Page, Resource, read
from linqbot.types.payment import Discount, PaymentRequest, PaymentRequestPage


class PaymentRequests(Resource):
    """`client.payment_requests`. Without a connected Stripe account every method is `LinqApiError` 403."""

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
        """Ask for money. Send the answer's `checkout_url`, or an `agentpay` experience with it, to whoever pays.

        Args:
            amount: In cents, 50 or more. In payment mode only, and required there; so is `currency`.
            customer_id: A customer of your Stripe account, `cus_…`.
            discount: For subscriptions: `coupon` or `promotion_code`, and a `label`.
            from_: Your line, E.164; with `payer_handle` required when `rail` is `natural`.
            metadata: Up to 49 strings; comes back in `payment.*` events. Keys with `linq_` are Linq's.
            mode: None is `payment`; `subscription` begins one that renews itself.
            payer_handle: Who pays: E.164 or e-mail.
            price_id: A recurring price of your Stripe account, `price_…`. In subscription mode only, and required.
            quantity: How many of the price, 1 or more.
            rail: None is `stripe`.
            trial_end, trial_period_days: When a subscription's first charge comes: a time, or in days. Not both.
            idempotency_key: Equal keys ask once. None makes one, so that a repetition asks once.
        Returns:
            The request, `requested` until `payment.*` events tell of it.
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
        answer = await self._call("payment_requests.create", body=body, key=idempotency_key)
        return read(PaymentRequest, answer, "payment_requests.create")

    async def retrieve(self, payment_request_id: str) -> PaymentRequest:
        """Get a payment request by its id, `pr_…`.

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
        """List payment requests, newest first, page after page.

        Args:
            limit: Requests a page, 1 to 100; None is 20.
            offset: How many to pass over at the beginning.
            status: Only those that stand like this.
        Returns:
            A listing: `async for request in …` walks over all, `await …` is the first page. Its `next_cursor` is the
            next `offset`, as a string.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/list
        """

        async def page(at: str | None) -> Page[PaymentRequest]:
            query = {"limit": limit, "offset": at, "status": status}
            answer = await self._call("payment_requests.list", query=query)
            got = read(PaymentRequestPage, answer, "payment_requests.list")
            # An empty page that promises more would be asked for again for ever.
            more = got.has_more and bool(got.data)
            return Page(got.data, str(int(at or 0) + len(got.data)) if more else None)

        return Listing(page, None if offset is None else str(offset))

    async def cancel(self, payment_request_id: str) -> PaymentRequest:
        """Call a payment request off. `payment.canceled` follows.

        Raises:
            LinqApiError: 409 when it is paid, canceled or expired.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/cancel
        """
        path = {"payment_request_id": payment_request_id}
        return read(PaymentRequest, await self._call("payment_requests.cancel", path=path), "payment_requests.cancel")
