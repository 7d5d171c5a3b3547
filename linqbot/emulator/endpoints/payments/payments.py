"""Charging customers who connected: the customers, the providers behind them, and the payments (R96).

A customer connects by a code that Linq sends them; here it is always `CODE`. Then they put a card on file, approve a
payment, and the same create call, under the same key, collects it.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads, shapes
from linqbot.emulator.model.answers import EndpointResponse, conflict, invalid, not_found
from linqbot.emulator.model.handles import normal
from linqbot.emulator.model.records import ConnectionRecord, PaymentRecord, new_id

CODE: Final = "424242"
EXPIRES_AFTER_S: Final = 172800.0
"""Linq says that the page for the card is good for about 48 hours."""

_OPEN = frozenset({"needs_connection", "connecting", "awaiting_user_action", "ready", "authorized"})


# --- payments -------------------------------------------------------------------------------------------------------


def create(world: World, request: ApiRequest) -> EndpointResponse:
    body, key = request.body, request.headers.get("idempotency-key")
    if key and (known := world.state.payment_keys.get(f"payment:{key}")):
        one = world.state.payments[known]
        _go_on(world, one)
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
    _go_on(world, one)
    return EndpointResponse(201, shapes.payment(one))


def wait_for_end(world: World, one: PaymentRecord) -> None:
    """Let a payment expire when its time has come, if nothing came of it before."""
    world.timers.at(one.created_at + EXPIRES_AFTER_S, lambda _: _expire(world, one))


def _go_on(world: World, one: PaymentRecord) -> None:
    """Bring an open payment as far as it can go now; an approved one is collected."""
    connection = _connection(world, one.handle)
    if one.status == "authorized":
        _become(world, one, "succeeded")
    elif one.status in _OPEN:
        waiting = {"connected": "awaiting_user_action", "pending": "connecting"}
        one.status = waiting.get(connection.status, "needs_connection")
        one.needs_card = not connection.has_card


def retrieve(world: World, request: ApiRequest) -> EndpointResponse:
    return EndpointResponse(200, shapes.payment(found(world, request.path["payment_id"])))


def cancel(world: World, request: ApiRequest) -> EndpointResponse:
    one = found(world, request.path["payment_id"])
    _check_open(one)
    _become(world, one, "canceled")
    return EndpointResponse(200, shapes.payment(one))


def credentials(world: World, request: ApiRequest) -> EndpointResponse:
    """How to fetch the card of an approved payment."""
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
    one = world.state.payments.get(payment_id)
    if one is None:
        raise not_found("payment")
    return one


def approve(world: World, one: PaymentRecord) -> None:
    """The customer puts a card on file if there is none, and approves. Emits `payment.authorized`."""
    _check_open(one)
    connection = _connection(world, one.handle)
    if connection.status != "connected":
        raise conflict("The customer is not connected")
    connection.has_card, one.needs_card = True, False
    if one.status != "authorized":
        _become(world, one, "authorized")


def decline(world: World, one: PaymentRecord) -> None:
    """The customer, or their bank, says no. Emits `payment.declined`."""
    _check_open(one)
    _become(world, one, "declined")


def _check_open(one: PaymentRecord) -> None:
    if one.status not in _OPEN:
        raise conflict(f"This payment is {one.status} already", 1005)


def _expire(world: World, one: PaymentRecord) -> None:
    if one.status in _OPEN:
        _become(world, one, "expired")


def _become(world: World, one: PaymentRecord, status: str) -> None:
    one.status, one.updated_at = status, world.now()
    world.emit_account(f"payment.{status}", payloads.charge(one))


# --- customers ------------------------------------------------------------------------------------------------------


def connect(world: World, request: ApiRequest) -> EndpointResponse:
    """Send the customer a code. Whoever is connected stays so."""
    connection = _connection(world, normal(request.path["handle"]))
    if connection.status != "connected":
        connection.status, connection.connect_id = "pending", new_id()
        return EndpointResponse(200, shapes.connection(connection) | {"connect_id": connection.connect_id})
    return EndpointResponse(200, shapes.connection(connection))


def connection(world: World, request: ApiRequest) -> EndpointResponse:
    return EndpointResponse(200, shapes.connection(_connection(world, normal(request.path["handle"]))))


def verify(world: World, request: ApiRequest) -> EndpointResponse:
    connection = _connection(world, normal(request.path["handle"]))
    if connection.status != "pending":
        raise conflict("No connection is waiting for a code", 1005)
    if (request.body["connect_id"], request.body["code"]) != (connection.connect_id, CODE):
        raise invalid("The code or the connect_id is wrong")
    complete(world, connection.handle)
    return EndpointResponse(200, shapes.connection(connection))


def revoke(world: World, request: ApiRequest) -> EndpointResponse:
    connection = _connection(world, normal(request.path["handle"]))
    disconnect(world, connection.handle)
    return EndpointResponse(200, shapes.connection(connection))


def complete(world: World, handle: str) -> None:
    """A customer goes through with connecting. Emits `connection.created`."""
    connection = _connection(world, handle)
    if connection.status == "connected":
        return
    connection.status, connection.connect_id, connection.created_at = "connected", None, world.now()
    world.emit_account("connection.created", payloads.connection(connection, world.now()))


def disconnect(world: World, handle: str) -> None:
    """A connection ends, by you or by the customer. Emits `connection.revoked` if there was one."""
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
    provider = request.path["provider"]
    return EndpointResponse(200, {"provider": provider, "status": _status(world, provider)})


def connect_provider(world: World, request: ApiRequest) -> EndpointResponse:
    """Begin to join a provider: `onboarding` until somebody goes through with it."""
    provider = request.path["provider"]
    if _status(world, provider) != "ready":
        world.state.providers[provider] = "onboarding"
    session = secrets.token_hex(8)
    answer: dict[str, Any] = {"hosted_url": f"https://{provider}.example/join?session={session}"}
    return EndpointResponse(200, answer | {"session_id": session, "status": _status(world, provider)})


def set_provider(world: World, provider: str, status: str) -> None:
    """A provider lets us in, or shuts us out."""
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
