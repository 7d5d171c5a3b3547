"""Charges of connected customers: the customers, the providers, and the payments (R96).

A customer connects by a code that Linq sends; in the emulator it is always `CODE`. The customer then puts a card on
file and approves a payment. Repeating the create call under the same idempotency key collects the payment. `Lifecycle`
says which statuses are open, and which event each change has; `payment_requests.py` uses it too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads, shapes
from linqbot.emulator.model.answers import EndpointResponse, conflict, existing, invalid, not_found
from linqbot.emulator.model.records import ConnectionRecord, PaymentRecord, PaymentRequestRecord, new_id, normal

RecordT = TypeVar("RecordT", PaymentRecord, PaymentRequestRecord)


@dataclass(frozen=True, slots=True)
class Lifecycle(Generic[RecordT]):
    """The life of one kind of record.

    Attributes:
        name: The kind in error messages, such as `payment request`.
        open: The statuses in which the record still waits for someone.
        payload: Builds the data of the webhook that reports a change.
    """

    name: str
    open: frozenset[str]
    payload: Callable[[RecordT], dict[str, Any]]

    def check_open(self, one: RecordT) -> None:
        """Refuse to change a record that is not open.

        Raises:
            ApiError: 409, the record is not open.
        """
        if one.status not in self.open:
            raise conflict(f"This {self.name} is {one.status} already", 1005)

    def set_status(self, world: World, one: RecordT, status: str) -> None:
        """Change the status, and emit the event `payment.<status>`."""
        one.status, one.updated_at = status, world.now()
        world.emit_account(f"payment.{status}", self.payload(one))
        world.show_payment(one)

    def expire(self, world: World, one: RecordT) -> None:
        """Set the status `expired` if the record is still open."""
        if one.status in self.open:
            self.set_status(world, one, "expired")


CODE: Final = "424242"
EXPIRES_AFTER_S: Final = 172800.0
"""Linq says that the page for the card is valid for about 48 hours."""

_LIFE: Final[Lifecycle[PaymentRecord]] = Lifecycle(
    "payment",
    frozenset({"needs_connection", "connecting", "awaiting_user_action", "ready", "authorized"}),
    payloads.charge,
)


# --- payments -------------------------------------------------------------------------------------------------------


def create(world: World, request: ApiRequest) -> EndpointResponse:
    """Create a payment; with a known idempotency key, advance the payment that it created as far as possible."""
    body, key = request.body, request.headers.get("idempotency-key")
    if key and (known := world.state.payment_keys.get(f"payment:{key}")):
        one = world.state.payments[known]
        _advance(world, one)
        return EndpointResponse(200, shapes.payment(one))
    one = PaymentRecord(
        id=f"pay_{secrets.token_hex(12)}",
        handle=normal(body["handle"]),
        amount_cents=body["amount_cents"],
        currency=body["currency"],
        created_at=world.now(),
        updated_at=world.now(),
        description=body.get("description"),
        merchant=body.get("merchant"),
        metadata=body.get("metadata"),
    )
    world.state.payments[one.id] = one
    if key:
        world.state.payment_keys[f"payment:{key}"] = one.id
    wait_for_end(world, one)
    _advance(world, one)
    return EndpointResponse(201, shapes.payment(one))


def wait_for_end(world: World, one: PaymentRecord) -> None:
    """Schedule the expiry of a payment, unless it is completed before."""
    world.timers.at(one.created_at + EXPIRES_AFTER_S, lambda _: _LIFE.expire(world, one))


def _advance(world: World, one: PaymentRecord) -> None:
    """Advance an open payment as far as possible now; an approved payment is collected."""
    connection = _connection(world, one.handle)
    if one.status == "authorized":
        _LIFE.set_status(world, one, "succeeded")
    elif one.status in _LIFE.open:
        waiting = {"connected": "awaiting_user_action", "pending": "connecting"}
        one.status = waiting.get(connection.status, "needs_connection")
        one.needs_card = not connection.has_card
        world.show_payment(one)


def retrieve(world: World, request: ApiRequest) -> EndpointResponse:
    """Return a payment.

    Raises:
        ApiError: 404, there is no such payment.
    """
    return EndpointResponse(200, shapes.payment(found(world, request.path["payment_id"])))


def cancel(world: World, request: ApiRequest) -> EndpointResponse:
    """Cancel an open payment.

    Raises:
        ApiError: 404, there is no such payment; 409, it is not open.
    """
    one = found(world, request.path["payment_id"])
    _LIFE.check_open(one)
    _LIFE.set_status(world, one, "canceled")
    return EndpointResponse(200, shapes.payment(one))


def credentials(world: World, request: ApiRequest) -> EndpointResponse:
    """Return the reference to the card of an approved payment.

    Raises:
        ApiError: 404, there is no such payment; 409, the customer has not approved it.
    """
    one = found(world, request.path["payment_id"])
    if one.status not in {"authorized", "succeeded"}:
        raise conflict("The customer has not approved this payment", 1005)
    handoff = {
        "card_ref": f"card_{one.id.removeprefix('pay_')}",
        "fetch_url": f"https://agentcard.example/cards/{one.id}",
        "provider": "agentcard",
        "user_token": f"token_{one.id.removeprefix('pay_')}",
    }
    return EndpointResponse(200, {"handoff": handoff})


def found(world: World, payment_id: str) -> PaymentRecord:
    """Return the record of a payment.

    Raises:
        ApiError: 404, there is no such payment.
    """
    return existing(world.state.payments.get(payment_id), "payment")


def approve(world: World, one: PaymentRecord) -> None:
    """Put a card on file if there is none, and approve a payment, as the customer. Emits `payment.authorized`.

    Raises:
        ApiError: 409, the payment is not open, or the customer is not connected.
    """
    _LIFE.check_open(one)
    connection = _connection(world, one.handle)
    if connection.status != "connected":
        raise conflict("The customer is not connected")
    connection.has_card, one.needs_card = True, False
    if one.status != "authorized":
        _LIFE.set_status(world, one, "authorized")


def decline(world: World, one: PaymentRecord) -> None:
    """Refuse a payment, as the customer or their bank. Emits `payment.declined`.

    Raises:
        ApiError: 409, the payment is not open.
    """
    _LIFE.check_open(one)
    _LIFE.set_status(world, one, "declined")


# --- customers ------------------------------------------------------------------------------------------------------


def connect(world: World, request: ApiRequest) -> EndpointResponse:
    """Send the customer a code. A customer who is connected stays connected."""
    connection = _connection(world, normal(request.path["handle"]))
    if connection.status != "connected":
        connection.status, connection.connect_id = "pending", new_id()
        return EndpointResponse(200, shapes.connection(connection) | {"connect_id": connection.connect_id})
    return EndpointResponse(200, shapes.connection(connection))


def connection(world: World, request: ApiRequest) -> EndpointResponse:
    """Return the connection of a customer."""
    return EndpointResponse(200, shapes.connection(_connection(world, normal(request.path["handle"]))))


def verify(world: World, request: ApiRequest) -> EndpointResponse:
    """Complete the connection of a customer with the code.

    Raises:
        ApiError: 409, no connection waits for a code; 400, the code or the `connect_id` is wrong.
    """
    connection = _connection(world, normal(request.path["handle"]))
    if connection.status != "pending":
        raise conflict("No connection is waiting for a code", 1005)
    if (request.body["connect_id"], request.body["code"]) != (connection.connect_id, CODE):
        raise invalid("The code or the connect_id is wrong")
    complete(world, connection.handle)
    return EndpointResponse(200, shapes.connection(connection))


def revoke(world: World, request: ApiRequest) -> EndpointResponse:
    """End the connection of a customer, as the bot."""
    connection = _connection(world, normal(request.path["handle"]))
    disconnect(world, connection.handle)
    return EndpointResponse(200, shapes.connection(connection))


def complete(world: World, handle: str) -> None:
    """Complete the connection of a customer. Emits `connection.created`."""
    connection = _connection(world, handle)
    if connection.status == "connected":
        return
    connection.status, connection.connect_id, connection.created_at = "connected", None, world.now()
    world.emit_account("connection.created", payloads.connection(connection, world.now()))


def disconnect(world: World, handle: str) -> None:
    """End a connection, as the bot or the customer. Emits `connection.revoked` if there was one."""
    connection = _connection(world, handle)
    was, connection.connect_id, connection.has_card = connection.status, None, False
    if was in {"connected", "pending"}:
        connection.status = "revoked"
    if was == "connected":
        world.emit_account("connection.revoked", payloads.connection(connection, world.now()))


def _connection(world: World, handle: str) -> ConnectionRecord:
    return world.state.connections.setdefault(handle, ConnectionRecord(handle))


# --- providers ------------------------------------------------------------------------------------------------------


def retrieve_provider(world: World, request: ApiRequest) -> EndpointResponse:
    """Return the status of a provider.

    Raises:
        ApiError: 404, there is no such provider.
    """
    provider = request.path["provider"]
    return EndpointResponse(200, {"provider": provider, "status": _status(world, provider)})


def connect_provider(world: World, request: ApiRequest) -> EndpointResponse:
    """Begin to connect a provider. It stays `onboarding` until a person completes the form.

    Raises:
        ApiError: 404, there is no such provider.
    """
    provider = request.path["provider"]
    if _status(world, provider) != "ready":
        world.state.providers[provider] = "onboarding"
    session = secrets.token_hex(8)
    answer: dict[str, Any] = {"hosted_url": f"https://{provider}.example/join?session={session}"}
    return EndpointResponse(200, answer | {"session_id": session, "status": _status(world, provider)})


def set_provider(world: World, provider: str, status: str) -> None:
    """Set the status of a provider.

    Raises:
        ApiError: 404, there is no such provider.
    """
    _status(world, provider)
    world.state.providers[provider] = status


def _status(world: World, provider: str) -> str:
    if provider not in world.state.providers:
        raise not_found("payment provider")
    return world.state.providers[provider]


ENDPOINTS = (
    EndpointHandler("payments.create", create, has_body=True),
    EndpointHandler("payments.retrieve", retrieve),
    EndpointHandler("payments.cancel", cancel),
    EndpointHandler("payments.credentials", credentials),
    EndpointHandler("payment_providers.retrieve", retrieve_provider),
    EndpointHandler("payment_providers.connect", connect_provider, has_body=True),
    EndpointHandler("payment_handles.connect", connect),
    EndpointHandler("payment_handles.connection", connection),
    EndpointHandler("payment_handles.revoke", revoke),
    EndpointHandler("payment_handles.verify", verify, has_body=True),
)
