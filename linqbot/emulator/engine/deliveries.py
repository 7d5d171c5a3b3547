"""Webhooks on their way: signed, in order per chat, retried as Linq retries them.

Every subscription has its own outlet with its own bound on concurrency, so that a receiver nobody listens on, or a
slow one, holds up neither the others nor any call to the API. First attempts keep the order of their chat; a retry
runs beside its chat and holds up nobody.

Retries follow the emulator's clock. The signed timestamp is the wall clock's, because receivers check it against
theirs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx

from linqbot.clock import MovableClock
from linqbot.emulator.model import payloads
from linqbot.emulator.model.answers import encode, trace_id
from linqbot.emulator.model.faults import Fault, Faults
from linqbot.emulator.model.feed import Feed
from linqbot.emulator.model.records import SubscriptionRecord, iso, new_id
from linqbot.emulator.model.timers import ClockTimers
from linqbot.webhooks import sign, sign_legacy

log = logging.getLogger("linqbot.emulator")

RECEIVER_TIMEOUT_S = 10.0
RETRY_WINDOW_S = 1800.0
LONGEST_RETRY_S = 300.0
CONCURRENCY = 32
HISTORY = 5000
REORDER_WAIT_S = 2.0
PARTNER_ID = "partner_emulator"

Data: TypeAlias = Callable[[str], dict[str, Any] | None]
"""The event's `data` for a payload version; None when that version has no such event."""

_What = TypeVar("_What")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST. `status` None means that no answer came."""

    at: float
    status: int | None
    ms: int


@dataclass(slots=True)
class WebhookDelivery:
    """One event on its way to one subscription. The body is made once: retries send the same bytes."""

    event_id: str
    event_type: str
    subscription_id: str
    chat_id: str | None
    body: bytes
    created_at: float
    attempts: list[Attempt] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        attempts = [{"at": iso(one.at), "status": one.status, "ms": one.ms} for one in self.attempts]
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "subscription_id": self.subscription_id,
            "chat_id": self.chat_id,
            "created_at": iso(self.created_at),
            "attempts": attempts,
        }


class _Outlet:
    """What is under way to one subscription."""

    def __init__(self, subscription: SubscriptionRecord) -> None:
        self.subscription = subscription
        self.slots = asyncio.Semaphore(CONCURRENCY)
        self.chains: dict[str, deque[WebhookDelivery]] = {}
        self.held: dict[str, list[WebhookDelivery]] = {}
        self.tokens: dict[str, str] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.url = httpx.URL(subscription.target_url)
        self.version = version_of(subscription.target_url)


def version_of(target_url: str) -> str:
    """The payload version a target asks for with `?version=`; the current one when it does not say."""
    return parse_qs(urlsplit(target_url).query).get("version", [payloads.CURRENT])[0]


class Deliveries:
    """Sends events to subscriptions.

    Args:
        transport: Used as it is and not closed; None opens connections of our own while running.
    """

    def __init__(
        self,
        clock: MovableClock,
        timers: ClockTimers,
        faults: Faults,
        feed: Feed,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._faults = faults
        self._feed = feed
        self._given = transport
        self._transport = transport
        self._outlets: dict[str, _Outlet] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self.history: deque[WebhookDelivery] = deque(maxlen=HISTORY)

    # The life of the engine

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._given is None:
            # No bound: the outlets have theirs, and one of them must not use up what the others share.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
            self._transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        for outlet in self._outlets.values():
            for key in outlet.chains:
                self._spawn(outlet, self._drain, key)

    async def stop(self) -> None:
        """End what is under way. Events not delivered by then are gone, as with a Linq that was unplugged."""
        self._loop = None
        tasks = [task for outlet in self._outlets.values() for task in outlet.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._given is None and self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    def clear(self) -> None:
        """Forget every subscription and everything under way."""
        for subscription_id in list(self._outlets):
            self.close(subscription_id)
        self.history.clear()

    async def settled(self) -> None:
        """Return when no attempt is queued or under way. Retries that wait for their time do not count."""
        await self._settled.wait()

    # Subscriptions

    def open(self, subscription: SubscriptionRecord) -> None:
        """Begin, or go on after a change of target, delivering to `subscription`."""
        outlet = self._outlets.get(subscription.id)
        if outlet is None:
            self._outlets[subscription.id] = _Outlet(subscription)
        else:
            outlet.url = httpx.URL(subscription.target_url)
            outlet.version = version_of(subscription.target_url)

    def close(self, subscription_id: str) -> None:
        """Deliver nothing more: not what is queued, not what waits for a retry, not what is under way."""
        outlet = self._outlets.pop(subscription_id, None)
        if outlet is None:
            return
        for queue in outlet.chains.values():
            queue.clear()
        for task in outlet.tasks:
            task.cancel()

    def forget_tokens(self, subscription_id: str) -> None:
        """Affinity was switched off: the tokens learned are dropped."""
        self._outlets[subscription_id].tokens.clear()

    # Events

    def emit(
        self, event_type: str, data: Data, *, line: str | None, chat_id: str | None, subjects: Iterable[str]
    ) -> None:
        """Deliver an event to every subscription that asked for it.

        Args:
            line: Whose event it is; None for the account's own, which no filter of lines keeps away.
            subjects: The handles it is about, for faults to match.
        """
        wanted = [outlet for outlet in self._outlets.values() if _wants(outlet.subscription, event_type, line)]
        if not wanted:
            return
        event_id, now = new_id(), self._clock.now()
        envelope = {
            "api_version": "v3",
            "webhook_version": "",
            "event_type": event_type,
            "event_id": event_id,
            "created_at": iso(now),
            "trace_id": trace_id(),
            "partner_id": PARTNER_ID,
        }
        bodies: dict[str, bytes | None] = {}
        for outlet in wanted:
            if outlet.version not in bodies:
                bodies[outlet.version] = _body(envelope, outlet.version, data(outlet.version))
            body = bodies[outlet.version]
            if body is not None:
                delivery = WebhookDelivery(event_id, event_type, outlet.subscription.id, chat_id, body, now)
                self.history.append(delivery)
                self._first(outlet, delivery, subjects)

    def replay(self, event_id: str) -> int:
        """Send an event of the past once more, the same bytes; returns to how many subscriptions."""
        again = [one for one in self.history if one.event_id == event_id and one.subscription_id in self._outlets]
        for delivery in again:
            self._put(self._outlets[delivery.subscription_id], delivery)
        return len(again)

    def _first(self, outlet: _Outlet, delivery: WebhookDelivery, subjects: Iterable[str]) -> None:
        names = (outlet.subscription.id, delivery.event_type, delivery.chat_id or "", *subjects)
        fault = self._faults.take("delivery", *names, fits=lambda one: one.status is None)
        key = _chain_of(delivery)
        if fault is None:
            self._put(outlet, delivery)
        elif fault.reorder:
            outlet.held.setdefault(key, []).append(delivery)
            self._timers.at(self._clock.now() + REORDER_WAIT_S, lambda _: self._release(outlet, key))
            return
        elif fault.drop is None:
            for _ in range(2 if fault.duplicate else 1):
                self._later(outlet, delivery, fault)
        self._release(outlet, key)

    def _later(self, outlet: _Outlet, delivery: WebhookDelivery, fault: Fault) -> None:
        if fault.delay_ms:
            self._timers.at(self._clock.now() + fault.delay_ms / 1000, lambda _: self._put(outlet, delivery))
        else:
            self._put(outlet, delivery)

    def _release(self, outlet: _Outlet, key: str) -> None:
        for delivery in outlet.held.pop(key, ()):
            self._put(outlet, delivery)

    def _put(self, outlet: _Outlet, delivery: WebhookDelivery) -> None:
        if self._outlets.get(outlet.subscription.id) is not outlet:
            return
        key = _chain_of(delivery)
        chain = outlet.chains.get(key)
        if chain is not None:
            chain.append(delivery)
            return
        outlet.chains[key] = deque([delivery])
        self._spawn(outlet, self._drain, key)

    async def _drain(self, outlet: _Outlet, key: str) -> None:
        queue = outlet.chains[key]
        try:
            while queue:
                delivery = queue.popleft()
                async with outlet.slots:
                    await self._attempt(outlet, delivery)
        finally:
            del outlet.chains[key]

    async def _again(self, outlet: _Outlet, delivery: WebhookDelivery) -> None:
        async with outlet.slots:
            await self._attempt(outlet, delivery)

    def _spawn(self, outlet: _Outlet, work: Callable[[_Outlet, _What], Coroutine[Any, Any, None]], what: _What) -> None:
        # The loop we were started on, not the running one: acts may come from plain functions between its steps.
        if self._loop is None:
            return
        self._under_way += 1
        self._settled.clear()
        task = self._loop.create_task(work(outlet, what))
        outlet.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(outlet, done))

    def _ended(self, outlet: _Outlet, task: asyncio.Task[None]) -> None:
        outlet.tasks.discard(task)
        self._under_way -= 1
        if not self._under_way:
            self._settled.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery.crashed", exc_info=error)

    # One attempt

    async def _attempt(self, outlet: _Outlet, delivery: WebhookDelivery) -> None:
        if not outlet.subscription.is_active:
            return
        at, started = self._clock.now(), time.perf_counter()
        status, retry_after = await self._answer(outlet, delivery)
        delivery.attempts.append(Attempt(at, status, round((time.perf_counter() - started) * 1000)))
        self._feed.publish("delivery", delivery.shape)
        if status is None or status == 429 or status >= 500:
            self._retry(outlet, delivery, retry_after)

    def _retry(self, outlet: _Outlet, delivery: WebhookDelivery, retry_after: float | None) -> None:
        failures = len(delivery.attempts)
        delay = retry_after if retry_after is not None else min(2.0 ** (failures - 1), LONGEST_RETRY_S)
        due = self._clock.now() + delay
        if due <= delivery.created_at + RETRY_WINDOW_S:
            self._timers.at(due, lambda _: self._retry_now(outlet, delivery))

    def _retry_now(self, outlet: _Outlet, delivery: WebhookDelivery) -> None:
        if self._outlets.get(outlet.subscription.id) is outlet:
            self._spawn(outlet, self._again, delivery)

    async def _answer(self, outlet: _Outlet, delivery: WebhookDelivery) -> tuple[int | None, float | None]:
        """The receiver's status and its Retry-After; or what a fault says in its place."""
        names = (outlet.subscription.id, delivery.event_type, delivery.chat_id or "")
        fault = self._faults.take("delivery", *names, fits=lambda one: one.status is not None)
        if fault:
            return fault.status, fault.retry_after
        try:
            async with asyncio.timeout(RECEIVER_TIMEOUT_S):
                return await self._post(outlet, delivery)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            log.debug("delivery.unanswered subscription=%s error=%s", delivery.subscription_id, type(error).__name__)
        except Exception:
            # In-process receivers raise their own errors through the transport; over a socket it would be a 500.
            log.exception("delivery.receiver_crashed subscription=%s", delivery.subscription_id)
        return None, None

    async def _post(self, outlet: _Outlet, delivery: WebhookDelivery) -> tuple[int, float | None]:
        assert self._transport is not None
        subscription, timestamp = outlet.subscription, int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "Linq-Webhooks/1.0",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(
                delivery.body, webhook_id=delivery.event_id, timestamp=timestamp, secret=subscription.secret
            ),
            "x-webhook-event": delivery.event_type,
            "x-webhook-subscription-id": subscription.id,
            "x-webhook-timestamp": str(timestamp),
            "x-webhook-signature": sign_legacy(delivery.body, timestamp=timestamp, secret=subscription.secret),
        }
        key_header = subscription.routing_key_header
        if key_header and delivery.chat_id:
            headers[subscription.routing_id_header or "Linq-Chat-Id"] = delivery.chat_id
            if token := outlet.tokens.get(delivery.chat_id):
                headers[key_header] = token
        request = httpx.Request("POST", outlet.url, headers=headers, content=delivery.body)
        response = await self._transport.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        if key_header and delivery.chat_id and response.is_success and (token := response.headers.get(key_header)):
            outlet.tokens[delivery.chat_id] = token
        return response.status_code, _seconds(response.headers.get("retry-after"))


def _wants(subscription: SubscriptionRecord, event_type: str, line: str | None) -> bool:
    lines = subscription.phone_numbers
    return (
        subscription.is_active
        and event_type in subscription.subscribed_events
        and (not lines or line is None or line in lines)
    )


def _chain_of(delivery: WebhookDelivery) -> str:
    return delivery.chat_id or delivery.event_id


def _body(envelope: dict[str, Any], version: str, data: dict[str, Any] | None) -> bytes | None:
    return None if data is None else encode(envelope | {"webhook_version": version, "data": data})


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
