"""The metrics: names, labels and buckets. `plugin.py` counts and observes.

Names follow the conventions of Prometheus: base units (seconds), the unit at the end, `_total` for counters. Each set
of buckets has a comment about its choice.

The event loop counts in plain dicts, several times for each delivery, and a scrape reads them in its thread. A metric of
prometheus_client would take a lock and check itself each time, which costs many times as much.

Every set of values of a label is bounded, because each value makes a time series that stays forever. A label never holds
a chat, a handle, an id or a text: look for these in traces and logs.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Info, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from linqbot.client.call import Call
from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.events import Delivery
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events import EVENT_CLASSES
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import InboxCounts

STORE_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""A group commit takes one fsync: under 1 ms on an SSD, tens of ms on a hard or network disk. Linq waits seconds."""

WAITING_BUCKETS_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""1 s is noticed by a person; Linq delivers again for 30 min; a turn is deferred for up to a day."""

HANDLER_BUCKETS_S: Final = (0.005, 0.02, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""The typing indicator shows after 0.3 s; language models take 1 to 60 s; a handler's default deadline is 900 s."""

CALL_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
"""A web API usually takes 50 to 500 ms; the client retries for up to 20 s, and one attempt may take 60 s."""


class Counts(Collector):
    """A counter. Its time series are known by the values of its labels, in the order of `labels`."""

    def __init__(self, registry: CollectorRegistry, name: str, what: str, *labels: str) -> None:
        self._new = partial(CounterMetricFamily, f"linqbot_{name}", what, labels=labels)
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        registry.register(self)

    def add(self, *labels: str, by: int = 1) -> None:
        self._counts[labels] += by

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = self._new()
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class Times(Collector):
    """A histogram of seconds. Its time series are known by the values of its labels, in the order of `labels`."""

    def __init__(
        self, registry: CollectorRegistry, name: str, what: str, bounds: tuple[float, ...], *labels: str
    ) -> None:
        self._new = partial(HistogramMetricFamily, f"linqbot_{name}", what, labels=labels)
        self._bounds = bounds
        # Of each series the number of times in each bucket, then the sum of all times.
        self._series: defaultdict[tuple[str, ...], list[float]] = defaultdict(lambda: [0] * (len(bounds) + 2))
        if not labels:
            self._series[()]  # shown before its first time, unlike a series whose labels are not known yet
        registry.register(self)

    def observe(self, took_s: float, *labels: str) -> None:
        series = self._series[labels]
        series[bisect_left(self._bounds, took_s)] += 1
        series[-1] += took_s

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = self._new()
        names = [*map(str, self._bounds), "+Inf"]
        for labels, series in list(self._series.items()):
            *counts, sum_s = series
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), sum_s)
        yield family


class Metrics:
    """The metrics of one app, in their own registry, so that several bots in one process are counted separately.

    Args:
        version: Release of linqbot, for `linqbot_info`.
        reasons: Reasons for which a POST may be refused. Their counters begin at 0, so that an alert sees the first
            refusal as an increase.
        handoff_ends: Ends of handoffs. Their counters begin at 0 too.
    """

    def __init__(self, *, version: str, reasons: Sequence[str] = (), handoff_ends: Sequence[str] = ()) -> None:
        self.registry = CollectorRegistry()
        Info("linqbot", "Release of linqbot that is running.", registry=self.registry).info({"version": version})
        counts, times = partial(Counts, self.registry), partial(Times, self.registry)
        self.received = counts("deliveries_received", "Genuine deliveries that arrived.", "event_type")
        self.stored = counts("deliveries_stored", "Deliveries that were stored and answered 200.", "event_type")
        self.duplicate = counts("deliveries_duplicate", "Deliveries that had been stored before.", "event_type")
        self.refused = counts("deliveries_refused", "POSTs to the webhook that were not stored.", "reason")
        for reason in reasons:
            self.refused.add(reason, by=0)
        self.store_s = times("store_seconds", "Seconds from a verified delivery to its commit.", STORE_BUCKETS_S)
        self.waiting_s = times(
            "waiting_seconds",
            "Seconds from the acceptance of a delivery to each of its turns.",
            WAITING_BUCKETS_S,
            "event_type",
        )
        self.turns = counts("turns", "Turns by outcome: ack, retry, defer, dead_letter, lost.", "event_type", "outcome")
        self.turn_s = times("turn_seconds", "Seconds of a turn, including its commit.", HANDLER_BUCKETS_S, "event_type")
        self.handler_s = times(
            "handler_seconds", "Seconds of a handler that raised no error.", HANDLER_BUCKETS_S, "handler", "event_type"
        )
        self.failures = counts("turn_failures", "Errors that ended a turn, by class.", "handler", "event_type", "error")
        self.calls = counts("api_calls", "Calls to Linq; code is Linq's error code.", "call", "status", "code")
        self.call_s = times(
            "api_call_seconds", "Seconds of a call to Linq, including retries of the client.", CALL_BUCKETS_S, "call"
        )
        self.remembered = counts(
            "api_calls_remembered",
            "Calls answered from the journal, because an earlier run of the turn had made them.",
            "call",
        )
        self.handoffs = counts("handoffs", "Handoffs that have ended, by their end.", "ended")
        for ended in handoff_ends:
            self.handoffs.add(ended, by=0)
        self.busy = 0
        busy = Gauge("linqbot_turns_busy", "Turns that are running.", registry=self.registry)
        busy.set_function(lambda: self.busy)


OTHER = "other"
NONE = "none"
MAX_VALUES = 200

_DOCUMENTED = frozenset(EVENT_CLASSES)


class Bounded:
    """Turns values into labels: the first values stay as they are, and later ones become `other`.

    For sets that are small in a healthy program but cannot be listed here: handlers, classes of errors, Linq's codes.

    Args:
        max_values: Maximum number of labels, in addition to `other`.
    """

    def __init__(self, max_values: int = MAX_VALUES) -> None:
        self._max_values = max_values
        self._known: set[str] = set()

    def __call__(self, value: object) -> str:
        """Return the label of a value; `none` for None."""
        if value is None:
            return NONE
        label = str(value)
        if label in self._known:
            return label
        if len(self._known) >= self._max_values:
            return OTHER
        self._known.add(label)
        return label


def event_type(delivery: Delivery) -> str:
    """Return the type of an event that Linq documents or linqbot made, such as `linqbot.send`; otherwise `other`."""
    # Only ids made by linqbot begin with "i.", so a webhook cannot claim to be one of these events.
    is_known = delivery.type in _DOCUMENTED or delivery.id.startswith("i.")
    return delivery.type if is_known else OTHER


def call_name(call: Call) -> str:
    """Return the name of a call to one of Linq's endpoints, such as `chats.create`; otherwise `other`."""
    return call.name if call.name in ENDPOINTS else OTHER


TIMEOUT_S: Final = 2.0
"""Seconds that a scrape waits for the storage."""


class InboxCollector(Collector):
    """Collects the gauges that `refresh` read last. Call `refresh` first, because a collector cannot await.

    If the storage does not answer, the scrape lacks these gauges, but it still has all counters.
    """

    def __init__(self, storage: Storage, clock: Clock, lost: Callable[[], int]) -> None:
        self._storage = storage
        self._clock = clock
        self._lost = lost
        self._counts: InboxCounts | None = None
        self._unread = 0

    async def refresh(self) -> None:
        """Read the storage. A storage that does not answer is no error."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._counts = await self._storage.inbox_counts()
        except (StorageError, TimeoutError):
            self._counts = None
            self._unread += 1

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "linqbot_messages_lost",
            "Messages that were fetched, because Linq had given up delivering their webhooks.",
            value=self._lost(),
        )
        yield CounterMetricFamily(
            "linqbot_inbox_unread", "Scrapes during which the storage did not answer.", value=self._unread
        )
        if (counts := self._counts) is None:
            return
        yield GaugeMetricFamily(
            "linqbot_inbox_deliveries", "Deliveries that are stored and not finished.", value=counts.waiting
        )
        age_s = 0.0 if counts.oldest_at is None else max(0.0, self._clock.now() - counts.oldest_at)
        yield GaugeMetricFamily(
            "linqbot_inbox_oldest_seconds", "Age of the oldest delivery that is not finished; 0 for none.", value=age_s
        )
        yield GaugeMetricFamily(
            "linqbot_dead_letters", "Dead letters: deliveries that were given up.", value=counts.dead
        )
