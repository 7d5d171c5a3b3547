"""Payment requests, which a customer pays on a checkout page, and payments from connected customers.

The latter need a payment provider and the customer's connection to it. All of this is in early access at Linq.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from linqbot.client.resources.resource import ApiResource, Listing, Page
from linqbot.linq.types.payment import (
    Discount,
    HandleConnection,
    Merchant,
    Payment,
    PaymentCredentials,
    PaymentProvider,
    PaymentRequest,
    PaymentRequestPage,
    ProviderConnection,
)


class Payments(ApiResource):
    """`client.payments`: charge customers whose handle is connected."""

    async def create(
        self,
        *,
        amount_cents: int,
        currency: str,
        handle: str,
        description: str | None = None,
        merchant: Merchant | Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Payment:
        """Charge a connected customer. The status of the payment says if the customer must do something first.

        Args:
            amount_cents: 1 or more.
            handle: The payer: E.164 phone number or e-mail address.
            merchant: The merchant as shown to the customer: `name`, `url`.
            metadata: Up to 49 strings. Keys that begin with `linq_` are reserved.
            idempotency_key: Requests with equal keys charge once. After the customer approved, call `create` again with
                the same key to collect the money. None generates a key, so that a retry after a lost response charges
                once.
        Returns:
            The payment. `needs_connection`: connect the handle first. `awaiting_user_action`: have the customer open
            `attach_url` or `approval_url`.
        Source: https://docs.linqapp.com/api/resources/payments/methods/create
        """
        return await self._read(Payment, "payments.create", locals())

    async def retrieve(self, payment_id: str, *, extra_body: Mapping[str, Any] | None = None) -> Payment:
        """Get a payment by its id.

        Source: https://docs.linqapp.com/api/resources/payments/methods/retrieve
        """
        return await self._read(Payment, "payments.retrieve", locals())

    async def cancel(self, payment_id: str, *, extra_body: Mapping[str, Any] | None = None) -> Payment:
        """Cancel a payment. `payment.canceled` follows.

        Source: https://docs.linqapp.com/api/resources/payments/methods/cancel
        """
        return await self._read(Payment, "payments.cancel", locals())

    async def credentials(self, payment_id: str, *, extra_body: Mapping[str, Any] | None = None) -> PaymentCredentials:
        """Get the data needed to fetch a payment's card from its provider. Keep this data out of logs.

        Source: https://docs.linqapp.com/api/resources/payments/methods/credentials
        """
        return await self._read(PaymentCredentials, "payments.credentials", locals())


class PaymentProviders(ApiResource):
    """`client.payment_providers`: your accounts with the providers that process payments."""

    async def retrieve(self, provider: str, *, extra_body: Mapping[str, Any] | None = None) -> PaymentProvider:
        """Get the status of your account with a provider: `onboarding`, `ready` or `disabled`.

        Source: https://docs.linqapp.com/api/resources/payment_providers/methods/retrieve
        """
        return await self._read(PaymentProvider, "payment_providers.retrieve", locals())

    async def connect(
        self, provider: str, *, return_url: str, extra_body: Mapping[str, Any] | None = None
    ) -> ProviderConnection:
        """Start onboarding with a provider. Not retried after a lost response.

        Args:
            return_url: The https URL that the browser returns to.
        Returns:
            The connection. Open its `hosted_url` in a browser to complete the onboarding.
        Source: https://docs.linqapp.com/api/resources/payment_providers/methods/connect
        """
        return await self._read(ProviderConnection, "payment_providers.connect", locals())


class PaymentHandles(ApiResource):
    """`client.payment_handles`: the connections of customers, by phone number (E.164) or e-mail address."""

    async def connect(self, handle: str, *, extra_body: Mapping[str, Any] | None = None) -> HandleConnection:
        """Start connecting a customer: Linq sends the customer a code. Not retried after a lost response.

        Returns:
            The connection, `pending`. Keep its `connect_id`: `verify` needs it, and only this response contains it.
        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/connect
        """
        return await self._read(HandleConnection, "payment_handles.connect", locals())

    async def connection(self, handle: str, *, extra_body: Mapping[str, Any] | None = None) -> HandleConnection:
        """Get a customer's connection: `not_connected`, `pending`, `connected` or `revoked`.

        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/connection
        """
        return await self._read(HandleConnection, "payment_handles.connection", locals())

    async def revoke(self, handle: str, *, extra_body: Mapping[str, Any] | None = None) -> HandleConnection:
        """Revoke a customer's connection, so that you can no longer charge the customer. `connection.revoked` follows.

        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/revoke
        """
        return await self._read(HandleConnection, "payment_handles.revoke", locals())

    async def verify(
        self, handle: str, *, code: str, connect_id: str, extra_body: Mapping[str, Any] | None = None
    ) -> HandleConnection:
        """Connect a customer with the code they received. `connection.created` follows.

        Not retried after a lost response.

        Args:
            code: The code that Linq sent to the customer.
            connect_id: From the response of `connect`.
        Raises:
            LinqApiError: 400 the code is wrong.
        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/verify
        """
        return await self._read(HandleConnection, "payment_handles.verify", locals())


class PaymentRequests(ApiResource):
    """`client.payment_requests`. Without a connected Stripe account every method raises `LinqApiError` 403."""

    async def create(
        self,
        *,
        amount: int | None = None,
        currency: Literal["usd"] | str | None = None,
        customer_id: str | None = None,
        description: str | None = None,
        discount: Discount | Mapping[str, Any] | None = None,
        from_: str | None = None,
        metadata: Mapping[str, str] | None = None,
        mode: Literal["payment", "subscription"] | str | None = None,
        payer_handle: str | None = None,
        price_id: str | None = None,
        quantity: int | None = None,
        rail: Literal["stripe", "natural"] | str | None = None,
        trial_end: datetime | str | None = None,
        trial_period_days: int | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
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
        return await self._read(PaymentRequest, "payment_requests.create", locals())

    async def retrieve(self, payment_request_id: str, *, extra_body: Mapping[str, Any] | None = None) -> PaymentRequest:
        """Get a payment request by its id, `pr_…`.

        Raises:
            LinqApiError: 403 Stripe is not connected, 404 no payment request with this id.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/retrieve
        """
        return await self._read(PaymentRequest, "payment_requests.retrieve", locals())

    def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        status: Literal["requested", "authorized", "succeeded", "canceled", "expired", "declined"] | str | None = None,
        extra_body: Mapping[str, Any] | None = None,
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
            given = {"limit": limit, "offset": at, "status": status, "extra_body": extra_body}
            got = await self._read(PaymentRequestPage, "payment_requests.list", given)
            # An empty page with `has_more` does not advance the offset, so following it would never end.
            more = got.has_more and bool(got.data)
            return Page(got.data, str(int(at or 0) + len(got.data)) if more else None)

        return Listing(page, None if offset is None else str(offset))

    async def cancel(self, payment_request_id: str, *, extra_body: Mapping[str, Any] | None = None) -> PaymentRequest:
        """Cancel a payment request. `payment.canceled` follows.

        Raises:
            LinqApiError: 409 the payment request is already paid, canceled or expired, 403 Stripe is not connected, 404
                no payment request with this id.
        Source: https://docs.linqapp.com/api/resources/payment_requests/methods/cancel
        """
        return await self._read(PaymentRequest, "payment_requests.cancel", locals())
