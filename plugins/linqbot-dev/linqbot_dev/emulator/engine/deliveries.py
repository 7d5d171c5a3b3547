"""Delivery of webhooks: signed, in order per chat, retried as Linq retries.

Every subscription has its own limit of concurrent requests. A receiver that is slow or does not listen therefore delays
neither other subscriptions nor calls to the API. First attempts keep the order of their chat; a retry runs next to the
deliveries of its chat and delays none of them.

Retries follow the emulator's clock. The signed timestamp is wall time, because receivers compare it with their clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from linqbot.clock import MovableClock
from linqbot.linq.events import EVENT_CLASSES
from linqbot.linq.signatures import signed_headers
from linqbot_dev.emulator.engine import webhook
from linqbot_dev.emulator.engine.webhook import ANSWER_SHOWN, Attempt, WebhookDelivery, facts_of
from linqbot_dev.emulator.model import documents, payloads
from linqbot_dev.emulator.model.answers import JsonObject, encode, trace_id
from linqbot_dev.emulator.model.documents import iso, new_id
from linqbot_dev.emulator.model.faults import Faults
from linqbot_dev.emulator.model.records import SubscriptionRecord
from linqbot_dev.emulator.model.state import ClockTimer, ClockTimers, Feed

log = logging.getLogger("linqbot.emulator")

RECEIVER_TIMEOUT_S = 10.0
RETRY_WINDOW_S = 1800.0
LONGEST_RETRY_S = 300.0
CONCURRENCY = 32
HISTORY = 5000
REORDER_WAIT_S = 2.0
PARTNER_ID = "partner_emulator"


class _Target:
    def __init__(self, subscription: SubscriptionRecord) -> None:
        self.subscription = subscription
        self.slots = asyncio.Semaphore(CONCURRENCY)
        self.chains: dict[str, deque[WebhookDelivery]] = {}
        self.held: dict[str, list[WebhookDelivery]] = {}
        self.tokens: dict[str, str] = {}
        self.tasks: dict[asyncio.Task[None], None] = {}  # in the order of their making
        self.waiting: dict[str, tuple[ClockTimer, WebhookDelivery]] = {}
        self.url = httpx.URL(subscription.target_url)
        self.version = version_of(subscription.target_url)
        self.failing: str | None = None
        """The reason of the latest failure, which was logged; None after a success."""


def version_of(target_url: str) -> str:
    """Return the payload version that an address asks for with `?version=`; without it, the current version."""
    return parse_qs(urlsplit(target_url).query).get("version", [payloads.CURRENT])[0]


class Deliveries:
    """Delivers events to subscriptions.

    Args:
        transport: Used as it is and not closed; None opens connections while running.
    Attributes:
        history: The latest deliveries, oldest first.
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
        self._targets: dict[str, _Target] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order of their making
        self.history: deque[WebhookDelivery] = deque(maxlen=HISTORY)

    # Start and stop

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._given is None:
            self._transport = webhook.over_http()
        for target in self._targets.values():
            for key in target.chains:
                self._spawn(target, self._drain(target, key))

    async def stop(self) -> None:
        """Cancel the deliveries in progress. They are lost, as if Linq had been switched off."""
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._given is None and self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    def clear(self) -> None:
        for subscription_id in list(self._targets):
            self.close(subscription_id)
        self.history.clear()

    async def settled(self) -> None:
        """Return when no attempt is queued or in progress. Retries that wait for their time do not count."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # Subscriptions

    @property
    def versions(self) -> set[str]:
        return {target.version for target in self._targets.values()}

    def open(self, subscription: SubscriptionRecord) -> None:
        """Start to deliver to a subscription, or use its new address."""
        target = self._targets.get(subscription.id)
        if target is None:
            self._targets[subscription.id] = _Target(subscription)
        else:
            target.url = httpx.URL(subscription.target_url)
            target.version = version_of(subscription.target_url)

    def close(self, subscription_id: str) -> None:
        """Stop to deliver to a subscription: queued events, waiting retries and attempts in progress are dropped."""
        target = self._targets.pop(subscription_id, None)
        if target is None:
            return
        for queue in target.chains.values():
            queue.clear()
        for task in target.tasks:
            task.cancel()

    def retry_unanswered(self, subscription_id: str) -> None:
        """Attempt again now each delivery whose latest attempt got no answer, instead of at the time of its retry.

        Those of one chat are delivered one after the other, so the receiver gets them in their order. Linq does not do
        this. It is for a receiver that was away and is known to be back.
        """
        if (target := self._targets.get(subscription_id)) is None:
            return
        for timer, delivery in sorted(target.waiting.values(), key=lambda one: one[1].created_at):
            if delivery.attempts[-1].status is None:
                self._timers.cancel(timer)
                del target.waiting[delivery.event_id]
                self._put(target, delivery)

    def forget_tokens(self, subscription_id: str) -> None:
        self._targets[subscription_id].tokens.clear()

    # Events

    def emit(
        self,
        event_type: str,
        data: Mapping[str, JsonObject],
        *,
        line: str | None,
        chat_id: str | None,
        subjects: Iterable[str] = (),
    ) -> None:
        """Deliver an event to every subscription that asked for it.

        Args:
            data: The event's `data` by payload version. An older version that has no such event is missing.
            line: The line of the event; None for an event of the account, which passes every filter of lines.
            subjects: The handles that the event is about, for faults to match.
        """
        wanted = [
            target
            for target in self._targets.values()
            if target.version in data and _wants(target.subscription, event_type, line)
        ]
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
        bodies = {
            version: encode(envelope | {"webhook_version": version, "data": data[version]})
            for version in {target.version for target in wanted}
        }
        facts = facts_of(event_type, data[payloads.CURRENT])
        for target in wanted:
            body = bodies[target.version]
            delivery = WebhookDelivery(event_id, event_type, target.subscription.id, chat_id, body, now, **facts)
            self.history.append(delivery)
            self._feed.publish("delivery", partial(documents.shown, delivery))
            self._first(target, delivery, subjects)

    def replay(self, event_id: str) -> None:
        for delivery in [one for one in self.history if one.event_id == event_id]:
            if (target := self._targets.get(delivery.subscription_id)) is not None:
                self._put(target, delivery)

    def _first(self, target: _Target, delivery: WebhookDelivery, subjects: Iterable[str]) -> None:
        names = (target.subscription.id, delivery.event_type, delivery.chat_id or "", *subjects)
        fault = self._faults.take("delivery", *names, fits=lambda one: one.status is None)
        key = _chain_of(delivery)
        if fault is None:
            self._put(target, delivery)
        elif fault.reorder:
            target.held.setdefault(key, []).append(delivery)
            self._timers.at(self._clock.now() + REORDER_WAIT_S, lambda _: self._release(target, key))
            return
        elif fault.drop is None:
            for _ in range(2 if fault.duplicate else 1):
                if fault.delay_ms:
                    self._timers.at(self._clock.now() + fault.delay_ms / 1000, lambda _: self._put(target, delivery))
                else:
                    self._put(target, delivery)
        self._release(target, key)

    def _release(self, target: _Target, key: str) -> None:
        for delivery in target.held.pop(key, ()):
            self._put(target, delivery)

    def _put(self, target: _Target, delivery: WebhookDelivery) -> None:
        if self._targets.get(target.subscription.id) is not target:
            return
        key = _chain_of(delivery)
        chain = target.chains.get(key)
        if chain is not None:
            chain.append(delivery)
            return
        target.chains[key] = deque([delivery])
        self._spawn(target, self._drain(target, key))

    async def _drain(self, target: _Target, key: str) -> None:
        queue = target.chains[key]
        try:
            while queue:
                await self._attempt(target, queue.popleft())
        finally:
            del target.chains[key]

    def _spawn(self, target: _Target, work: Coroutine[Any, Any, None]) -> None:
        # The loop that `start` ran on, not the running one: plain functions outside of any loop may act too.
        if self._loop is None:
            work.close()
            return
        task = self._loop.create_task(work)
        for tasks in (target.tasks, self._tasks):
            tasks[task] = None
            task.add_done_callback(tasks.pop)
        task.add_done_callback(_log_crash)

    # One attempt

    async def _attempt(self, target: _Target, delivery: WebhookDelivery) -> None:
        async with target.slots:
            if not target.subscription.is_active:
                return
            at, started = self._clock.now(), time.perf_counter()
            answer, reason = await self._answer(target, delivery)
            ms = round((time.perf_counter() - started) * 1000)
        status = None if answer is None else answer.status_code
        beginning = answer.content.decode("utf-8", "replace")[:ANSWER_SHOWN] if answer is not None and reason else None
        attempt = Attempt(at, status, ms, reason, beginning)
        delivery.attempts.append(attempt)
        self._feed.publish("delivery", partial(documents.shown, delivery))
        if attempt.is_repeated:
            self._retry(target, delivery, None if answer is None else webhook.retry_after(answer))

    def _retry(self, target: _Target, delivery: WebhookDelivery, wait_s: float | None) -> None:
        failures = len(delivery.attempts)
        delay = min(2.0 ** (failures - 1), LONGEST_RETRY_S) if wait_s is None else wait_s
        due = self._clock.now() + delay
        if due <= delivery.created_at + RETRY_WINDOW_S:
            timer = self._timers.at(due, lambda _: self._retry_now(target, delivery))
            target.waiting[delivery.event_id] = timer, delivery

    def _retry_now(self, target: _Target, delivery: WebhookDelivery) -> None:
        target.waiting.pop(delivery.event_id, None)
        if self._targets.get(target.subscription.id) is target:
            self._spawn(target, self._attempt(target, delivery))

    async def _answer(self, target: _Target, delivery: WebhookDelivery) -> tuple[httpx.Response | None, str | None]:
        """Return the answer to one attempt, if one came; and in words why the attempt failed, if it did."""
        names = (target.subscription.id, delivery.event_type, delivery.chat_id or "")
        fault = self._faults.take("delivery", *names, fits=lambda one: one.status is not None)
        if fault and fault.status is not None:
            reason = None if fault.status < 300 else f"A fault answered {fault.status} in the receiver's place."
            headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
            return httpx.Response(fault.status, headers=headers), reason
        try:
            async with asyncio.timeout(RECEIVER_TIMEOUT_S):
                answer = await self._post(target, delivery)
            reason = webhook.of_status(answer.status_code)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            answer, reason = None, webhook.of_error(error, target.url, RECEIVER_TIMEOUT_S)
        except Exception as error:
            # A receiver in this process raises its own errors through the transport. Over a socket they would be a 500.
            log.exception("delivery.receiver_crashed subscription=%s", delivery.subscription_id)
            return None, f"The receiver raised {type(error).__name__}."
        self._log_failure(target, delivery, reason)
        return answer, reason

    def _log_failure(self, target: _Target, delivery: WebhookDelivery, reason: str | None) -> None:
        """Log why deliveries to a subscription fail: once, and again only after a success or for another reason."""
        if reason is not None and reason != target.failing:
            to, name = webhook.origin(target.url), delivery.event_type
            log.warning("delivery.failed type=%s to=%s reason=%r", name, to, reason)
        target.failing = reason

    async def _post(self, target: _Target, delivery: WebhookDelivery) -> httpx.Response:
        assert self._transport is not None
        subscription = target.subscription
        headers = signed_headers(
            delivery.body,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            subscription_id=subscription.id,
            timestamp=int(time.time()),
            secret=subscription.secret,
        )
        key_header = subscription.routing_key_header
        if key_header and delivery.chat_id:
            headers[subscription.routing_id_header or "Linq-Chat-Id"] = delivery.chat_id
            if token := target.tokens.get(delivery.chat_id):
                headers[key_header] = token
        delivery.headers = headers
        answer = await webhook.post(self._transport, target.url, headers, delivery.body)
        if key_header and delivery.chat_id and answer.is_success and (token := answer.headers.get(key_header)):
            target.tokens[delivery.chat_id] = token
        return answer


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("delivery.crashed", exc_info=error)


def _wants(subscription: SubscriptionRecord, event_type: str, line: str | None) -> bool:
    lines = subscription.phone_numbers
    return (
        subscription.is_active
        and (event_type in subscription.subscribed_events or _is_new(event_type, subscription))
        and (not lines or line is None or line in lines)
    )


def _is_new(event_type: str, subscription: SubscriptionRecord) -> bool:
    """Return True for a type that linqbot does not know, if a subscription takes all that it knows. Only tests report one."""
    return event_type not in EVENT_CLASSES and subscription.subscribed_events == [*EVENT_CLASSES]


def _chain_of(delivery: WebhookDelivery) -> str:
    return delivery.chat_id or delivery.event_id
