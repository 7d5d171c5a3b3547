"""Payments from connected customers, payment providers, and customers' connections. All in early access at Linq."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linqbot.client.resources.resource import Resource, read
from linqbot.types.payment import (
    HandleConnection,
    Merchant,
    Payment,
    PaymentCredentials,
    PaymentProvider,
    ProviderConnection,
)


class Payments(Resource):
    """`client.payments`: charge customers whose handle is connected."""

    __slots__ = ()

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
        body = {
            "amount_cents": amount_cents,
            "currency": currency,
            "handle": handle,
            "description": description,
            "merchant": merchant,
            "metadata": metadata,
        }
        return read(Payment, await self._call("payments.create", body=body, key=idempotency_key), "payments.create")

    async def retrieve(self, payment_id: str) -> Payment:
        """Get a payment by its id.

        Raises:
            LinqApiError: 404 no payment with this id.
        Source: https://docs.linqapp.com/api/resources/payments/methods/retrieve
        """
        return read(
            Payment, await self._call("payments.retrieve", path={"payment_id": payment_id}), "payments.retrieve"
        )

    async def cancel(self, payment_id: str) -> Payment:
        """Cancel a payment. `payment.canceled` follows.

        Raises:
            LinqApiError: 404 no payment with this id.
        Source: https://docs.linqapp.com/api/resources/payments/methods/cancel
        """
        return read(Payment, await self._call("payments.cancel", path={"payment_id": payment_id}), "payments.cancel")

    async def credentials(self, payment_id: str) -> PaymentCredentials:
        """Get the data needed to fetch a payment's card from its provider. Keep this data out of logs.

        Raises:
            LinqApiError: 404 no payment with this id.
        Source: https://docs.linqapp.com/api/resources/payments/methods/credentials
        """
        response = await self._call("payments.credentials", path={"payment_id": payment_id})
        return read(PaymentCredentials, response, "payments.credentials")


class PaymentProviders(Resource):
    """`client.payment_providers`: your accounts with the providers that process payments."""

    __slots__ = ()

    async def retrieve(self, provider: str) -> PaymentProvider:
        """Get the status of your account with a provider: `onboarding`, `ready` or `disabled`.

        Source: https://docs.linqapp.com/api/resources/payment_providers/methods/retrieve
        """
        response = await self._call("payment_providers.retrieve", path={"provider": provider})
        return read(PaymentProvider, response, "payment_providers.retrieve")

    async def connect(self, provider: str, *, return_url: str) -> ProviderConnection:
        """Start onboarding with a provider. Not retried after a lost response.

        Args:
            return_url: The https URL that the browser returns to.
        Returns:
            The connection. Open its `hosted_url` in a browser to complete the onboarding.
        Source: https://docs.linqapp.com/api/resources/payment_providers/methods/connect
        """
        body = {"return_url": return_url}
        response = await self._call("payment_providers.connect", path={"provider": provider}, body=body)
        return read(ProviderConnection, response, "payment_providers.connect")


class PaymentHandles(Resource):
    """`client.payment_handles`: the connections of customers, by phone number (E.164) or e-mail address."""

    __slots__ = ()

    async def connect(self, handle: str) -> HandleConnection:
        """Start connecting a customer: Linq sends the customer a code. Not retried after a lost response.

        Returns:
            The connection, `pending`. Keep its `connect_id`: `verify` needs it, and only this response contains it.
        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/connect
        """
        response = await self._call("payment_handles.connect", path={"handle": handle})
        return read(HandleConnection, response, "payment_handles.connect")

    async def connection(self, handle: str) -> HandleConnection:
        """Get a customer's connection: `not_connected`, `pending`, `connected` or `revoked`.

        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/connection
        """
        response = await self._call("payment_handles.connection", path={"handle": handle})
        return read(HandleConnection, response, "payment_handles.connection")

    async def revoke(self, handle: str) -> HandleConnection:
        """Revoke a customer's connection, so that you can no longer charge the customer. `connection.revoked` follows.

        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/revoke
        """
        response = await self._call("payment_handles.revoke", path={"handle": handle})
        return read(HandleConnection, response, "payment_handles.revoke")

    async def verify(self, handle: str, *, code: str, connect_id: str) -> HandleConnection:
        """Connect a customer with the code they received. `connection.created` follows.

        Not retried after a lost response.

        Args:
            code: The code that Linq sent to the customer.
            connect_id: From the response of `connect`.
        Raises:
            LinqApiError: 400 the code is wrong.
        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/verify
        """
        body = {"code": code, "connect_id": connect_id}
        response = await self._call("payment_handles.verify", path={"handle": handle}, body=body)
        return read(HandleConnection, response, "payment_handles.verify")
