"""Webhook subscriptions: their address, event types, lines and routing headers (R95)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from linqbot.emulator.endpoints.endpoint import ApiRequest
from linqbot.emulator.engine.deliveries import version_of
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import documents, payloads
from linqbot.emulator.model.answers import ApiError, EndpointResponse, conflict, invalid
from linqbot.emulator.model.documents import new_id
from linqbot.emulator.model.records import DOCS, SubscriptionRecord, is_phone
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.signatures import random_secret

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_OWN_HEADERS = frozenset({"content-type", "content-length", "host", "transfer-encoding", "connection"})


def subscribe(
    world: World,
    target_url: str,
    events: Sequence[str] | None = None,
    *,
    phone_numbers: Sequence[str] | None = None,
    routing_key_header: str | None = None,
    routing_id_header: str | None = None,
) -> SubscriptionRecord:
    """Deliver events to `target_url` from now on; `events` None is all types.

    Raises:
        ApiError: 400, the address is neither https nor http on this machine, or its version is unknown; 409, another
            subscription has this address.
    """
    _check_target(world, target_url, None)
    now = world.now()
    subscription = SubscriptionRecord(
        id=new_id(),
        target_url=target_url,
        subscribed_events=list(EVENT_TYPES if events is None else events),
        secret=random_secret(),
        created_at=now,
        updated_at=now,
        phone_numbers=list(phone_numbers) if phone_numbers else None,
        routing_key_header=routing_key_header or None,
        routing_id_header=routing_id_header or None,
    )
    world.state.subscriptions[subscription.id] = subscription
    world.deliveries.open(subscription)
    return subscription


def _check_target(world: World, target_url: Any, own_id: str | None) -> None:
    try:
        url = urlsplit(target_url) if isinstance(target_url, str) else None
        local = url is not None and url.scheme == "http" and url.hostname in _LOOPBACK
        fits = url is not None and bool(url.hostname) and (url.scheme == "https" or local) and (url.port or 1) > 0
        httpx.URL(target_url)
    except (ValueError, TypeError, httpx.InvalidURL):
        fits = False
    if not fits or not target_url.isascii() or not target_url.isprintable() or " " in target_url:
        raise invalid("target_url must be https; the emulator takes http on 127.0.0.1 too")
    if version_of(target_url) not in payloads.VERSIONS:
        raise invalid(f"version must be one of {', '.join(payloads.VERSIONS)}")
    if any(one.target_url == target_url and one.id != own_id for one in world.state.subscriptions.values()):
        raise conflict("target_url is used by another subscription; vary its query", 1005)


def _events(asked: Any) -> list[str]:
    if not isinstance(asked, list) or not asked or not all(isinstance(one, str) for one in asked):
        raise invalid("subscribed_events must be a list of event types")
    if unknown := [one for one in asked if one not in EVENT_TYPES]:
        raise invalid(f"Unknown event type: {unknown[0][:60]}")
    if len(set(asked)) != len(asked):
        raise invalid("subscribed_events names an event type twice")
    return list(asked)


def _phone_numbers(asked: Any) -> list[str] | None:
    if asked is None:
        return None
    if not isinstance(asked, list):
        raise invalid("phone_numbers must be a list")
    if not all(isinstance(one, str) and is_phone(one) for one in asked):
        raise ApiError(400, 1002, "phone_numbers must be in E.164 form")
    return list(asked) or None


def _header(asked: Any, field: str) -> str | None:
    if asked is None or asked == "":
        return None
    if not isinstance(asked, str) or not _HEADER.fullmatch(asked) or asked.lower() in _OWN_HEADERS:
        raise invalid(f"{field} must be the name of an HTTP header")
    return asked


def create(world: World, request: ApiRequest) -> EndpointResponse:
    """Create a subscription. Only this answer has the signing secret.

    Raises:
        ApiError: 400, a field is missing or not valid; 409, another subscription has this address.
    """
    body = request.body
    for field in ("target_url", "subscribed_events"):
        if body.get(field) is None:
            raise ApiError(400, 1001, f"{field} is required")
    subscription = subscribe(
        world,
        body["target_url"],
        _events(body["subscribed_events"]),
        phone_numbers=_phone_numbers(body.get("phone_numbers")),
        routing_key_header=_header(body.get("routing_key_header"), "routing_key_header"),
        routing_id_header=_header(body.get("routing_id_header"), "routing_id_header"),
    )
    _emit(world, subscription, "created", "Created a webhook subscription", events=subscription.subscribed_events)
    return EndpointResponse(201, documents.shown(subscription) | {"signing_secret": subscription.secret})


def list_(world: World, _: ApiRequest) -> EndpointResponse:
    """List the subscriptions, without their secrets."""
    return EndpointResponse(
        200, {"subscriptions": [documents.shown(one) for one in world.state.subscriptions.values()]}
    )


def retrieve(world: World, request: ApiRequest) -> EndpointResponse:
    """Return a subscription, without its secret.

    Raises:
        ApiError: 404, there is no such subscription.
    """
    return EndpointResponse(200, documents.shown(world.state.subscription(request.path["subscription_id"])))


def update(world: World, request: ApiRequest) -> EndpointResponse:
    """Change a subscription, with an event for each change.

    Raises:
        ApiError: 404, there is no such subscription; 400, a field is not valid; 409, another subscription has this
            address.
    """
    subscription = world.state.subscription(request.path["subscription_id"])
    for field, before, after in _apply(world, subscription, request.body):
        event, summary = _CHANGES[field]
        _emit(world, subscription, event, summary, change={"from": before, "to": after})
    if "is_active" in request.body and request.body["is_active"] != subscription.is_active:
        _pause_or_resume(world, subscription, request.body["is_active"])
    subscription.updated_at = world.now()
    world.deliveries.open(subscription)
    return EndpointResponse(200, documents.shown(subscription))


_CHANGES = {
    "target_url": ("target_url_changed", "Changed a webhook URL"),
    "subscribed_events": ("events.updated", "Changed webhook events"),
    "phone_numbers": ("phone_numbers.updated", "Changed webhook lines"),
}


def _apply(world: World, subscription: SubscriptionRecord, body: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Check all fields, then change them; return field, old and new value of each difference."""
    if not isinstance(body.get("is_active", True), bool):
        raise invalid("is_active must be true or false")
    wanted: dict[str, Any] = {}
    if "target_url" in body:
        _check_target(world, body["target_url"], subscription.id)
        wanted["target_url"] = body["target_url"]
    if "subscribed_events" in body:
        wanted["subscribed_events"] = _events(body["subscribed_events"])
    if "phone_numbers" in body:
        wanted["phone_numbers"] = _phone_numbers(body["phone_numbers"])
    routing = {
        field: _header(body[field], field) for field in ("routing_key_header", "routing_id_header") if field in body
    }
    changes = []
    for field, value in wanted.items():
        before = getattr(subscription, field)
        if before != value:
            setattr(subscription, field, value)
            changes.append((field, before, value))
    if routing:
        _route(world, subscription, routing)
    return changes


def _route(world: World, subscription: SubscriptionRecord, wanted: Mapping[str, str | None]) -> None:
    before = _routing(subscription)
    for field, value in wanted.items():
        setattr(subscription, field, value)
    after = _routing(subscription)
    if before == after:
        return
    if subscription.routing_key_header is None:
        world.deliveries.forget_tokens(subscription.id)
    event, summary = (
        ("routing_headers_set", "Set routing headers")
        if after
        else ("routing_headers_cleared", "Cleared routing headers")
    )
    _emit(world, subscription, event, summary, change={"from": before, "to": after})


def _routing(subscription: SubscriptionRecord) -> dict[str, str | None] | None:
    if subscription.routing_key_header is None:
        return None
    return {
        "routing_key_header": subscription.routing_key_header,
        "routing_id_header": subscription.routing_id_header,
    }


def _pause_or_resume(world: World, subscription: SubscriptionRecord, is_active: bool) -> None:
    if not is_active:
        _emit(world, subscription, "disabled", "Disabled a webhook subscription")
    subscription.is_active = is_active
    if is_active:
        _emit(world, subscription, "enabled", "Enabled a webhook subscription")


def delete(world: World, request: ApiRequest) -> EndpointResponse:
    """Delete a subscription and drop its deliveries.

    Raises:
        ApiError: 404, there is no such subscription.
    """
    subscription = world.state.subscription(request.path["subscription_id"])
    del world.state.subscriptions[subscription.id]
    world.deliveries.close(subscription.id)
    _emit(world, subscription, "deleted", "Deleted a webhook subscription")
    return EndpointResponse(204)


def _emit(
    world: World,
    subscription: SubscriptionRecord,
    event: str,
    summary: str,
    *,
    events: list[str] | None = None,
    **more: Any,
) -> None:
    shown = payloads.subscription_ref(subscription) | ({} if events is None else {"events": events})
    data = payloads.account(summary, world.now(), webhook_subscription=shown, **more)
    world.emit_account(f"webhook_subscription.{event}", data)


def list_events(_: World, __: ApiRequest) -> EndpointResponse:
    """List all event types."""
    doc_url = f"{DOCS}/channel/imessage/guides/webhooks/events"
    return EndpointResponse(200, {"events": list(EVENT_TYPES), "doc_url": doc_url})
