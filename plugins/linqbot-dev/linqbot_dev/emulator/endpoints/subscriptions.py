"""Webhook subscriptions: their address, event types, lines and routing headers (R95)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.signatures import random_secret
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.engine.deliveries import version_of
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, payloads
from linqbot_dev.emulator.model.answers import EndpointResponse, JsonObject, conflict, invalid
from linqbot_dev.emulator.model.documents import new_id
from linqbot_dev.emulator.model.records import DOCS, SubscriptionRecord

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_OWN_HEADERS = frozenset({"content-type", "content-length", "host", "transfer-encoding", "connection"})


def subscribe(world: World, target_url: str, events: Sequence[str] | None = None) -> SubscriptionRecord:
    """Deliver events to `target_url` from now on; `events` None is all types."""
    _check_target(world, target_url, None)
    return _added(world, target_url=target_url, subscribed_events=list(EVENT_TYPES if events is None else events))


def _added(world: World, **fields: Any) -> SubscriptionRecord:
    now = world.now()
    subscription = SubscriptionRecord(id=new_id(), secret=random_secret(), created_at=now, updated_at=now, **fields)
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


def _checked(world: World, own_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a subscription in a request. The rules have checked their types; all may be null."""
    wanted = {name: body[name] for name in (*_CHANGES, *_ROUTING) if name in body}
    if "target_url" in wanted:
        _check_target(world, wanted["target_url"], own_id)
    if "subscribed_events" in wanted:
        _check_events(wanted["subscribed_events"])
    if "phone_numbers" in wanted:
        wanted["phone_numbers"] = wanted["phone_numbers"] or None
    for name in _ROUTING:
        if name in wanted:
            wanted[name] = wanted[name] or None
            if wanted[name] and (not _HEADER.fullmatch(wanted[name]) or wanted[name].lower() in _OWN_HEADERS):
                raise invalid(f"{name} must be the name of an HTTP header")
    return wanted


_CHANGES = {
    "target_url": ("target_url_changed", "Changed a webhook URL"),
    "subscribed_events": ("events.updated", "Changed webhook events"),
    "phone_numbers": ("phone_numbers.updated", "Changed webhook lines"),
}
_ROUTING = ("routing_key_header", "routing_id_header")


def _check_events(asked: list[str] | None) -> None:
    if not asked:
        raise invalid("subscribed_events must be a list of event types")
    # A type that linqbot does not know may be new at Linq. The rules have refused a misspelt one.
    if len(set(asked)) != len(asked):
        raise invalid("subscribed_events names an event type twice")


def webhook_subscriptions_create(world: World, request: ApiRequest) -> EndpointResponse:
    """Create a subscription. Only this answer has the signing secret."""
    subscription = _added(world, **_checked(world, None, request.body))
    _emit(world, subscription, "created", "Created a webhook subscription", events=subscription.subscribed_events)
    return EndpointResponse(201, documents.saved(subscription))


def webhook_subscriptions_list(world: World, _: ApiRequest) -> JsonObject:
    return {"subscriptions": [documents.shown(one) for one in world.state.subscriptions.values()]}


def webhook_subscriptions_retrieve(world: World, request: ApiRequest) -> JsonObject:
    return documents.shown(world.state.subscription(request.path["subscription_id"]))


def webhook_subscriptions_update(world: World, request: ApiRequest) -> JsonObject:
    subscription, body = world.state.subscription(request.path["subscription_id"]), request.body
    wanted, is_active = _checked(world, subscription.id, body), body.get("is_active", subscription.is_active)
    if is_active is None:
        raise invalid("is_active must be true or false")
    before = replace(subscription)
    for field, value in wanted.items():
        setattr(subscription, field, value)
    for field, (event, summary) in _CHANGES.items():
        if (old := getattr(before, field)) != (new := getattr(subscription, field)):
            _emit(world, subscription, event, summary, change={"from": old, "to": new})
    _note_routing(world, subscription, before)
    if is_active != subscription.is_active:
        if not is_active:
            _emit(world, subscription, "disabled", "Disabled a webhook subscription")
        subscription.is_active = is_active
        if is_active:
            _emit(world, subscription, "enabled", "Enabled a webhook subscription")
    subscription.updated_at = world.now()
    world.deliveries.open(subscription)
    return documents.shown(subscription)


def _note_routing(world: World, subscription: SubscriptionRecord, before: SubscriptionRecord) -> None:
    old, new = _routing(before), _routing(subscription)
    if old == new:
        return
    if new is None:
        world.deliveries.forget_tokens(subscription.id)
    event = "routing_headers_set" if new else "routing_headers_cleared"
    summary = "Set routing headers" if new else "Cleared routing headers"
    _emit(world, subscription, event, summary, change={"from": old, "to": new})


def _routing(subscription: SubscriptionRecord) -> dict[str, str | None] | None:
    if subscription.routing_key_header is None:
        return None
    return {name: getattr(subscription, name) for name in _ROUTING}


def webhook_subscriptions_delete(world: World, request: ApiRequest) -> None:
    subscription = world.state.subscription(request.path["subscription_id"])
    del world.state.subscriptions[subscription.id]
    world.deliveries.close(subscription.id)
    _emit(world, subscription, "deleted", "Deleted a webhook subscription")


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


def webhook_events_list(_: World, __: ApiRequest) -> JsonObject:
    doc_url = f"{DOCS}/channel/imessage/guides/webhooks/events"
    return {"events": list(EVENT_TYPES), "doc_url": doc_url}
