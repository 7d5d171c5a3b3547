"""Payments from connected customers, the providers that make them, and who is connected. All early access at Linq."""

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
    """`client.payments`. An id Linq does not know is `LinqApiError` 404."""

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
        """Charge a customer who is connected; what is still missing stands in the answer.

        Args:
            amount_cents: 1 or more.
            handle: Who pays: E.164 or e-mail.
            merchant: Who is paid, as the customer reads it: `name`, `url`.
            metadata: Up to 49 strings; keys with `linq_` are Linq's.
            idempotency_key: Equal keys charge once. Create again under the same key after the customer approved, to
                collect. None makes one, so that a repetition after a lost answer charges once.
        Returns:
            The payment. `needs_connection`: connect the handle. `awaiting_user_action`: open `attach_url` or
            `approval_url` for them.
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

        Source: https://docs.linqapp.com/api/resources/payments/methods/retrieve
        """
        return read(
            Payment, await self._call("payments.retrieve", path={"payment_id": payment_id}), "payments.retrieve"
        )

    async def cancel(self, payment_id: str) -> Payment:
        """Call a payment off. `payment.canceled` follows.

        Source: https://docs.linqapp.com/api/resources/payments/methods/cancel
        """
        return read(Payment, await self._call("payments.cancel", path={"payment_id": payment_id}), "payments.cancel")

    async def credentials(self, payment_id: str) -> PaymentCredentials:
        """Get what is needed to fetch a payment's card from its provider. Keep it out of logs.

        Source: https://docs.linqapp.com/api/resources/payments/methods/credentials
        """
        answer = await self._call("payments.credentials", path={"payment_id": payment_id})
        return read(PaymentCredentials, answer, "payments.credentials")


class PaymentProviders(Resource):
    """`client.payment_providers`."""

    __slots__ = ()

    async def retrieve(self, provider: str) -> PaymentProvider:
        """Get how you stand with a provider: `onboarding`, `ready` or `disabled`.

        Source: https://docs.linqapp.com/api/resources/payment_providers/methods/retrieve
        """
        answer = await self._call("payment_providers.retrieve", path={"provider": provider})
        return read(PaymentProvider, answer, "payment_providers.retrieve")

    async def connect(self, provider: str, *, return_url: str) -> ProviderConnection:
        """Begin to join a provider. Not repeated after a lost answer.

        Args:
            return_url: https address the browser comes back to.
        Returns:
            `hosted_url`: open it, and go through with it there.
        Source: https://docs.linqapp.com/api/resources/payment_providers/methods/connect
        """
        body = {"return_url": return_url}
        answer = await self._call("payment_providers.connect", path={"provider": provider}, body=body)
        return read(ProviderConnection, answer, "payment_providers.connect")


class PaymentHandles(Resource):
    """`client.payment_handles`: customers, by E.164 or e-mail."""

    __slots__ = ()

    async def connect(self, handle: str) -> HandleConnection:
        """Begin to connect a customer: they get a code. Not repeated after a lost answer.

        Returns:
            `pending`, with the `connect_id` that `verify` needs and that is shown here only.
        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/connect
        """
        answer = await self._call("payment_handles.connect", path={"handle": handle})
        return read(HandleConnection, answer, "payment_handles.connect")

    async def connection(self, handle: str) -> HandleConnection:
        """Get whether a customer is connected: `not_connected`, `pending`, `connected` or `revoked`.

        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/connection
        """
        answer = await self._call("payment_handles.connection", path={"handle": handle})
        return read(HandleConnection, answer, "payment_handles.connection")

    async def revoke(self, handle: str) -> HandleConnection:
        """Give up your right to charge a customer. `connection.revoked` follows.

        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/revoke
        """
        answer = await self._call("payment_handles.revoke", path={"handle": handle})
        return read(HandleConnection, answer, "payment_handles.revoke")

    async def verify(self, handle: str, *, code: str, connect_id: str) -> HandleConnection:
        """Connect a customer by the code they got. `connection.created` follows. Not repeated after a lost answer.

        Args:
            connect_id: From the answer of `connect`.
        Raises:
            LinqApiError: 400 when the code is wrong.
        Source: https://docs.linqapp.com/api/resources/payment_handles/methods/verify
        """
        body = {"code": code, "connect_id": connect_id}
        answer = await self._call("payment_handles.verify", path={"handle": handle}, body=body)
        return read(HandleConnection, answer, "payment_handles.verify")
