"""Payment requests, which a payer pays on a page of Linq's (R96). The emulator's payer uses the acts `Pay` and `Decline`.

Prices, customers and coupons are in a Stripe account that does not exist here. Only the form of their ids is checked,
and every price is ten dollars a month.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.endpoints.payments import Lifecycle
from linqbot.emulator.engine.sending import line_of_account
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads, shapes
from linqbot.emulator.model.answers import ApiError, EndpointResponse, existing, invalid
from linqbot.emulator.model.records import PaymentRequestRecord, seconds

EXPIRES_AFTER_S: Final = 86400.0
"""A guess: Linq does not publish how long a request can be paid."""

PRICE_CENTS: Final = 1000

_LIFE: Final[Lifecycle[PaymentRequestRecord]] = Lifecycle(
    "payment request", frozenset({"requested", "authorized", "declined"}), payloads.payment
)


def create(world: World, request: ApiRequest) -> EndpointResponse:
    """Create a payment request; with a known idempotency key, return the one it created.

    Raises:
        ApiError: 403, the provider is not ready, or `from` is not a line of the account; 400, a field is not valid.
    """
    body, key = request.body, request.headers.get("idempotency-key")
    if key and (known := world.state.payment_keys.get(f"request:{key}")):
        return EndpointResponse(200, shapes.payment_request(world.state.payment_requests[known]))
    rail = body.get("rail") or "stripe"
    _check_rail(world, rail)
    if body.get("from") is not None:
        line_of_account(world, body["from"])
    one = PaymentRequestRecord(f"pr_{secrets.token_hex(12)}", rail=rail, **_asked(world, body))
    one.created_at = one.updated_at = world.now()
    one.expires_at = world.now() + EXPIRES_AFTER_S
    world.state.payment_requests[one.id] = one
    if key:
        world.state.payment_keys[f"request:{key}"] = one.id
    wait_for_end(world, one)
    world.show_payment(one)
    return EndpointResponse(201, shapes.payment_request(one))


def wait_for_end(world: World, one: PaymentRequestRecord) -> None:
    """Schedule the expiry of a request, unless it is paid before."""
    world.timers.at(one.expires_at, lambda _: _LIFE.expire(world, one))


def _check_rail(world: World, rail: str) -> None:
    if world.state.providers.get(rail) != "ready":
        raise ApiError(403, 2005, f"{rail.capitalize()} is not connected to your account")


def _asked(world: World, body: Mapping[str, Any]) -> dict[str, Any]:
    _check_ids(body)
    asked: dict[str, Any] = {name: body.get(name) for name in ("description", "metadata", "customer_id")}
    if body.get("mode") != "subscription":
        return asked | {"mode": "payment", "amount": body["amount"], "currency": body["currency"]}
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


def _check_ids(body: Mapping[str, Any]) -> None:
    for name, prefix in (("customer_id", "cus_"), ("price_id", "price_")):
        if body.get(name) is not None and not str(body[name]).startswith(prefix):
            raise invalid(f"There is no such {name} in your Stripe account")


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


def list_(world: World, request: ApiRequest) -> EndpointResponse:
    """List the requests, newest first, by `limit` and `offset`.

    Raises:
        ApiError: 400, `offset` is not valid.
    """
    limit, offset = int(request.query.get("limit") or 20), request.query.get("offset") or "0"
    if not (offset.isascii() and offset.isdigit() and len(offset) < 10):
        raise invalid("offset must be 0 or more")
    status = request.query.get("status")
    found = [one for one in reversed(world.state.payment_requests.values()) if status in {None, one.status}]
    shown = found[int(offset) : int(offset) + limit]
    has_more = int(offset) + limit < len(found)
    return EndpointResponse(
        200, {"object": "list", "data": [shapes.payment_request(one) for one in shown], "has_more": has_more}
    )


def retrieve(world: World, request: ApiRequest) -> EndpointResponse:
    """Return a payment request.

    Raises:
        ApiError: 404, there is no such request.
    """
    return EndpointResponse(200, shapes.payment_request(found(world, request.path["payment_request_id"])))


def cancel(world: World, request: ApiRequest) -> EndpointResponse:
    """Cancel an open payment request.

    Raises:
        ApiError: 404, there is no such request; 409, it is not open.
    """
    one = found(world, request.path["payment_request_id"])
    _LIFE.check_open(one)
    _LIFE.set_status(world, one, "canceled")
    return EndpointResponse(200, shapes.payment_request(one))


def found(world: World, payment_request_id: str) -> PaymentRequestRecord:
    """Return the record of a payment request.

    Raises:
        ApiError: 404, there is no such request.
    """
    return existing(world.state.payment_requests.get(payment_request_id), "payment request")


# Acts of the payer


def pay(world: World, one: PaymentRequestRecord) -> None:
    """Pay a request, as the payer. With Natural it is first authorized, then paid, in one call.

    Raises:
        ApiError: 409, the request is not open.
    """
    _LIFE.check_open(one)
    if one.rail == "natural" and one.status != "authorized":
        _LIFE.set_status(world, one, "authorized")
    one.paid_at = world.now()
    _LIFE.set_status(world, one, "succeeded")


def decline(world: World, one: PaymentRequestRecord) -> None:
    """Refuse the payer's card. The request stays open for another card.

    Raises:
        ApiError: 409, the request is not open.
    """
    _LIFE.check_open(one)
    _LIFE.set_status(world, one, "declined")


ENDPOINTS = (
    EndpointHandler("payment_requests.create", create, has_body=True),
    EndpointHandler("payment_requests.list", list_),
    EndpointHandler("payment_requests.retrieve", retrieve),
    EndpointHandler("payment_requests.cancel", cancel),
)
