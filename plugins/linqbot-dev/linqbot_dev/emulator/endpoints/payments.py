"""Payment requests, and charges of connected customers (R96): both wait for a person, and change their status with an event.

A payer pays a request on a page of Linq's. Prices, customers and coupons are in a Stripe account that does not exist
here: only the form of their ids is checked, and every price is ten dollars a month. A customer who is charged connects by
a code that Linq sends; in the emulator it is always `CODE`. The customer then puts a card on file and approves a payment.
Repeating the create call under the same idempotency key collects the payment.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from linqbot_dev.emulator.endpoints.endpoint import Answer, ApiRequest
from linqbot_dev.emulator.engine.sending import line_of_account
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, payloads, shapes
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, JsonObject, conflict, existing, invalid
from linqbot_dev.emulator.model.documents import new_id, seconds
from linqbot_dev.emulator.model.records import ConnectionRecord, PaymentRecord, PaymentRequestRecord, normal

CODE: Final = "424242"
PRICE_CENTS: Final = 1000
REQUEST_EXPIRES_AFTER_S: Final = 86400.0
"""A guess: Linq does not publish how long a request can be paid."""


# --- payments and requests alike ------------------------------------------------------------------------------------


def wait_for_end(world: World, one: PaymentRecord | PaymentRequestRecord) -> None:
    """Schedule the expiry, unless the payment or the request is completed before."""
    world.timers.at(one.expires_at, lambda _: _set_status(world, one, "expired") if one.status in one.OPEN else None)


def _retrieve(world: World, request: ApiRequest) -> JsonObject:
    return shapes.payable(_in_path(world, request))


def _cancel(world: World, request: ApiRequest) -> JsonObject:
    one = _in_path(world, request)
    _check_open(one)
    _set_status(world, one, "canceled")
    return shapes.payable(one)


payments_retrieve = payment_requests_retrieve = _retrieve
payments_cancel = payment_requests_cancel = _cancel


def pay(world: World, wanted_id: str) -> None:
    """Pay a request, or put a card on file and approve a payment, as the person.

    A request through Natural is first authorized, then paid, in one call.
    """
    one = _known(world, wanted_id)
    _check_open(one)
    if isinstance(one, PaymentRecord):
        connection = _connection(world, one.handle)
        if connection.status != "connected":
            raise conflict("The customer is not connected")
        connection.has_card, one.needs_card = True, False
        if one.status != "authorized":
            _set_status(world, one, "authorized")
        return
    if one.rail == "natural" and one.status != "authorized":
        _set_status(world, one, "authorized")
    one.paid_at = world.now()
    _set_status(world, one, "succeeded")


def decline(world: World, wanted_id: str) -> None:
    """Refuse a payment, or the payer's card: the request then stays open for another card."""
    one = _known(world, wanted_id)
    _check_open(one)
    _set_status(world, one, "declined")


def _check_open(one: PaymentRecord | PaymentRequestRecord) -> None:
    if one.status not in one.OPEN:
        raise conflict(f"This {one.NOUN} is {one.status} already", 1005)


def _set_status(world: World, one: PaymentRecord | PaymentRequestRecord, status: str) -> None:
    one.status, one.updated_at = status, world.now()
    world.emit_account(f"payment.{status}", payloads.payable(one))
    world.show_payment(one)


def _in_path(world: World, request: ApiRequest) -> PaymentRecord | PaymentRequestRecord:
    if "payment_id" in request.path:
        return existing(world.state.payments.get(request.path["payment_id"]), PaymentRecord.NOUN)
    known = world.state.payment_requests.get(request.path["payment_request_id"])
    return existing(known, PaymentRequestRecord.NOUN)


def _known(world: World, wanted_id: str) -> PaymentRecord | PaymentRequestRecord:
    if (payment := world.state.payments.get(wanted_id)) is not None:
        return payment
    return existing(world.state.payment_requests.get(wanted_id), PaymentRequestRecord.NOUN)


# --- payment requests -----------------------------------------------------------------------------------------------


def payment_requests_create(world: World, request: ApiRequest) -> Answer:
    """Create a payment request; with a known idempotency key, return the one it created."""
    body, key = request.body, request.headers.get("idempotency-key")
    if key and (known := world.state.payment_keys.get(f"request:{key}")):
        return shapes.payable(world.state.payment_requests[known])
    rail, now = body.get("rail") or "stripe", world.now()
    if world.state.providers.get(rail) != "ready":
        raise ApiError(403, 2005, f"{rail.capitalize()} is not connected to your account")
    if body.get("from") is not None:
        line_of_account(world, body["from"])
    one = PaymentRequestRecord(
        f"pr_{secrets.token_hex(12)}",
        rail=rail,
        created_at=now,
        updated_at=now,
        expires_at=now + REQUEST_EXPIRES_AFTER_S,
        **_asked(world, body),
    )
    world.state.payment_requests[one.id] = one
    if key:
        world.state.payment_keys[f"request:{key}"] = one.id
    wait_for_end(world, one)
    world.show_payment(one)
    return EndpointResponse(201, shapes.payable(one))


def _asked(world: World, body: Mapping[str, Any]) -> JsonObject:
    for name, prefix in (("customer_id", "cus_"), ("price_id", "price_")):
        if body.get(name) is not None and not str(body[name]).startswith(prefix):
            raise invalid(f"There is no such {name} in your Stripe account")
    asked: JsonObject = {name: body.get(name) for name in ("description", "metadata", "customer_id")}
    if body.get("mode") != "subscription":
        return asked | {
            "mode": body.get("mode") or "payment",
            "amount": body.get("amount") or 0,
            "currency": body.get("currency") or "usd",
        }
    quantity = body.get("quantity") or 1
    return asked | {
        "mode": "subscription",
        "amount": PRICE_CENTS * quantity,
        "currency": "usd",
        "price_id": body["price_id"],
        "quantity": quantity,
        "discount": body.get("discount"),
        "trial_end": _trial_end(world, body),
    }


def _trial_end(world: World, body: Mapping[str, Any]) -> float | None:
    if body.get("trial_end") is None and body.get("trial_period_days") is None:
        return None
    try:
        days = body.get("trial_period_days")
        at = seconds(str(body["trial_end"])) if days is None else world.now() + float(days) * 86400
    except (ValueError, OverflowError) as error:
        raise invalid("trial_end is not an ISO 8601 time") from error
    if not world.now() < at < world.now() + 10**9:
        raise invalid("trial_end must be in the future")
    return at


def payment_requests_list(world: World, request: ApiRequest) -> JsonObject:
    limit, offset = int(request.query.get("limit") or 20), request.query.get("offset") or "0"
    if not (offset.isascii() and offset.isdigit() and len(offset) < 10):
        raise invalid("offset must be 0 or more")
    status = request.query.get("status")
    found = [one for one in reversed(world.state.payment_requests.values()) if status in {None, one.status}]
    data = [shapes.payable(one) for one in found[int(offset) : int(offset) + limit]]
    return {"object": "list", "data": data, "has_more": int(offset) + limit < len(found)}


# --- payments -------------------------------------------------------------------------------------------------------


def payments_create(world: World, request: ApiRequest) -> Answer:
    """Create a payment; with a known idempotency key, advance the payment that it created as far as possible."""
    body, key, now = request.body, request.headers.get("idempotency-key"), world.now()
    if key and (known := world.state.payment_keys.get(f"payment:{key}")):
        one = world.state.payments[known]
        _advance(world, one)
        return shapes.payable(one)
    asked: JsonObject = {
        name: body.get(name) for name in ("amount_cents", "currency", "description", "merchant", "metadata")
    }
    one = PaymentRecord(f"pay_{secrets.token_hex(12)}", normal(body["handle"]), created_at=now, updated_at=now, **asked)
    world.state.payments[one.id] = one
    if key:
        world.state.payment_keys[f"payment:{key}"] = one.id
    wait_for_end(world, one)
    _advance(world, one)
    return EndpointResponse(201, shapes.payable(one))


def _advance(world: World, one: PaymentRecord) -> None:
    """Advance an open payment as far as possible now; an approved payment is collected."""
    connection = _connection(world, one.handle)
    if one.status == "authorized":
        _set_status(world, one, "succeeded")
    elif one.status in one.OPEN:
        waiting = {"connected": "awaiting_user_action", "pending": "connecting"}
        one.status = waiting.get(connection.status, "needs_connection")
        one.needs_card = not connection.has_card
        world.show_payment(one)


def payments_credentials(world: World, request: ApiRequest) -> JsonObject:
    one = _in_path(world, request)
    if one.status not in {"authorized", "succeeded"}:
        raise conflict("The customer has not approved this payment", 1005)
    handoff = {
        "card_ref": f"card_{one.id.removeprefix('pay_')}",
        "fetch_url": f"https://agentcard.example/cards/{one.id}",
        "provider": "agentcard",
        "user_token": f"token_{one.id.removeprefix('pay_')}",
    }
    return {"handoff": handoff}


# --- customers ------------------------------------------------------------------------------------------------------


def payment_handles_connect(world: World, request: ApiRequest) -> JsonObject:
    """Send the customer a code. A customer who is connected stays connected."""
    connection = _connection(world, normal(request.path["handle"]))
    if connection.status == "connected":
        return documents.shown(connection)
    connection.status, connection.connect_id = "pending", new_id()
    return documents.shown(connection) | {"connect_id": connection.connect_id}


def payment_handles_connection(world: World, request: ApiRequest) -> JsonObject:
    return documents.shown(_connection(world, normal(request.path["handle"])))


def payment_handles_verify(world: World, request: ApiRequest) -> JsonObject:
    connection = _connection(world, normal(request.path["handle"]))
    if connection.status != "pending":
        raise conflict("No connection is waiting for a code", 1005)
    if (request.body["connect_id"], request.body["code"]) != (connection.connect_id, CODE):
        raise invalid("The code or the connect_id is wrong")
    complete(world, connection.handle)
    return documents.shown(connection)


def payment_handles_revoke(world: World, request: ApiRequest) -> JsonObject:
    connection = _connection(world, normal(request.path["handle"]))
    disconnect(world, connection.handle)
    return documents.shown(connection)


def complete(world: World, handle: str) -> None:
    connection = _connection(world, handle)
    if connection.status == "connected":
        return
    connection.status, connection.connect_id, connection.created_at = "connected", None, world.now()
    world.emit_account("connection.created", payloads.connection(connection, world.now()))


def disconnect(world: World, handle: str) -> None:
    connection = _connection(world, handle)
    was, connection.connect_id, connection.has_card = connection.status, None, False
    if was in {"connected", "pending"}:
        connection.status = "revoked"
    if was == "connected":
        world.emit_account("connection.revoked", payloads.connection(connection, world.now()))


def _connection(world: World, handle: str) -> ConnectionRecord:
    return world.state.connections.setdefault(handle, ConnectionRecord(handle))


# --- providers ------------------------------------------------------------------------------------------------------


def payment_providers_retrieve(world: World, request: ApiRequest) -> JsonObject:
    provider = request.path["provider"]
    return {"provider": provider, "status": _status(world, provider)}


def payment_providers_connect(world: World, request: ApiRequest) -> JsonObject:
    """Begin to connect a provider. It stays `onboarding` until a person completes the form."""
    provider = request.path["provider"]
    if _status(world, provider) != "ready":
        world.state.providers[provider] = "onboarding"
    session = secrets.token_hex(8)
    answer = {"hosted_url": f"https://{provider}.example/join?session={session}", "session_id": session}
    return answer | {"status": _status(world, provider)}


def _status(world: World, provider: str) -> str:
    return existing(world.state.providers.get(provider), "payment provider")
