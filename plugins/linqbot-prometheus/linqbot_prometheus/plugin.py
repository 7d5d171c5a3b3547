"""The plugin: one method for each class of events that it observes, in the order in which they happen.

Prometheus scrapes its endpoint, `GET /plugins/prometheus/metrics`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib.metadata import version
from typing import Final, get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from linqbot import Running, hookimpl
from linqbot.errors import LinqApiError, error_name
from linqbot.linq.types.proactive import HandoffEnd
from linqbot.turn_events import (
    CallMade,
    DeliveryReceived,
    DeliveryStored,
    HandoffEnded,
    Observers,
    Reason,
    TurnEnded,
    TurnTaken,
    WebhookRefused,
)
from linqbot_prometheus.metrics import Bounded, InboxCollector, Metrics, call_name, event_type


class Prometheus:
    """Counts each step of one app, and serves the metrics at `/plugins/prometheus/metrics`.

    Once the package is installed, nothing needs to be configured. A plugin given in code, with
    `Bot(plugins=[Prometheus()])`, replaces the installed one.

    Attributes:
        registry: Registry with the metrics of this app only. To add your own metrics, use `Counter(..., registry=)`.
    """

    name: Final = "prometheus"

    def __init__(self) -> None:
        self._metrics = Metrics(version=version("linqbot"), reasons=get_args(Reason), handoff_ends=get_args(HandoffEnd))
        self._handler = Bounded()
        self._error = Bounded()
        self._code = Bounded()
        self._status = Bounded()
        self._inbox: InboxCollector | None = None
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    @property
    def registry(self) -> CollectorRegistry:
        return self._metrics.registry

    @hookimpl
    def register_routes(self, running: Running) -> Iterable[BaseRoute]:
        if self._inbox is not None:
            # The object is used in another app, for example in the next test: show that app's inbox instead.
            self.registry.unregister(self._inbox)
        self._inbox = InboxCollector(running.storage, running.clock, running.lost)
        self.registry.register(self._inbox)
        return [Route("/metrics", self._scrape, methods=["GET"])]

    @hookimpl
    def register_observers(self) -> Observers:
        return {
            WebhookRefused: self.webhook_refused,
            DeliveryReceived: self.delivery_received,
            DeliveryStored: self.delivery_stored,
            TurnTaken: self.turn_taken,
            CallMade: self.call_made,
            HandoffEnded: self.handoff_ended,
            TurnEnded: self.turn_ended,
        }

    def webhook_refused(self, event: WebhookRefused) -> None:
        self._metrics.refused.add(event.reason)

    def delivery_received(self, event: DeliveryReceived) -> None:
        self._metrics.received.add(event_type(event.delivery))

    def delivery_stored(self, event: DeliveryStored) -> None:
        counter = self._metrics.stored if event.is_new else self._metrics.duplicate
        counter.add(event_type(event.delivery))
        self._metrics.store_s.observe(event.took_s)

    def turn_taken(self, event: TurnTaken) -> None:
        self._metrics.waiting_s.observe(event.report.waited_s, event_type(event.report.delivery))
        self._metrics.busy += 1

    def call_made(self, event: CallMade) -> None:
        name = call_name(event.call)
        if event.from_journal:
            self._metrics.remembered.add(name)
            return
        failed = event.error if isinstance(event.error, LinqApiError) else None
        status = failed.status if failed else event.answer and event.answer.status
        code = failed.code if failed else None
        self._metrics.calls.add(name, self._status(status), self._code(code))
        self._metrics.call_s.observe(event.took_s, name)

    def handoff_ended(self, event: HandoffEnded) -> None:
        self._metrics.handoffs.add(str(event.handoff.ended))

    def turn_ended(self, turn: TurnEnded) -> None:
        kind, handler = event_type(turn.delivery), self._handler(turn.handler)
        if turn.handler is not None and turn.handler_s is not None:
            self._metrics.handler_s.observe(turn.handler_s, handler, kind)
        if turn.error is not None:
            self._metrics.failures.add(handler, kind, self._error(error_name(turn.error)))
        self._metrics.busy -= 1
        self._metrics.turns.add(kind, turn.outcome)
        self._metrics.turn_s.observe(turn.took_s, kind)

    async def _scrape(self, request: Request) -> Response:
        """Return the metrics, as OpenMetrics if the client accepts it, otherwise in the text format of Prometheus."""
        assert self._inbox is not None
        await self._inbox.refresh()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # In a thread, so that it does not hold up handlers.
        return Response(await asyncio.to_thread(encode, self.registry), headers={"content-type": content_type})
