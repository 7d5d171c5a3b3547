"""The metrics: names, labels and buckets. `plugin.py` counts and observes.

Names follow the conventions of Prometheus: base units (seconds), the unit at the end, `_total` for counters. Each set
of buckets has a comment about its choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

STORE_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""A group commit takes one fsync: under 1 ms on an SSD, tens of ms on a hard or network disk. Linq waits seconds."""

WAITING_BUCKETS_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""1 s is noticed by a person; Linq delivers again for 30 min; a turn is deferred for up to a day."""

HANDLER_BUCKETS_S: Final = (0.005, 0.02, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""The typing indicator shows after 0.3 s; language models take 1 to 60 s; a handler's default deadline is 900 s."""

CALL_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
"""A web API usually takes 50 to 500 ms; the client retries for up to 20 s, and one attempt may take 60 s."""


class Metrics:
    """The metrics of one app, in their own registry, so that several bots in one process are counted separately.

    A metric with labels is a function of their values, which looks up each time series once: the values are bounded.

    Args:
        version: Release of linqbot, for `linqbot_info`.
        reasons: Reasons for which a POST may be refused. Their counters begin at 0, so that an alert sees the first
            refusal as an increase.
    """

    def __init__(self, *, version: str, reasons: Sequence[str] = ()) -> None:
        self.registry = CollectorRegistry()
        Info("linqbot", "Release of linqbot that is running.", registry=self.registry).info({"version": version})
        self.received = self._counter("deliveries_received", "Genuine deliveries that arrived.", "event_type")
        self.stored = self._counter("deliveries_stored", "Deliveries that were stored and answered 200.", "event_type")
        self.duplicate = self._counter("deliveries_duplicate", "Deliveries that had been stored before.", "event_type")
        self.refused = self._counter("deliveries_refused", "POSTs to the webhook that were not stored.", "reason")
        for reason in reasons:
            self.refused(reason)
        self.store_s = Histogram(
            "linqbot_store_seconds",
            "Seconds from a verified delivery to its commit.",
            registry=self.registry,
            buckets=STORE_BUCKETS_S,
        )
        self.waiting_s = self._histogram(
            "waiting_seconds",
            "Seconds from the acceptance of a delivery to each of its turns.",
            WAITING_BUCKETS_S,
            "event_type",
        )
        self.turns = self._counter(
            "turns", "Turns by outcome: ack, retry, defer, dead_letter, lost.", "event_type", "outcome"
        )
        self.turn_s = self._histogram(
            "turn_seconds", "Seconds of a turn, including its commit.", HANDLER_BUCKETS_S, "event_type"
        )
        self.handler_s = self._histogram(
            "handler_seconds", "Seconds of a handler that raised no error.", HANDLER_BUCKETS_S, "handler", "event_type"
        )
        self.failures = self._counter(
            "turn_failures", "Errors that ended a turn, by class.", "handler", "event_type", "error"
        )
        self.calls = self._counter("api_calls", "Calls to Linq; code is Linq's error code.", "call", "status", "code")
        self.call_s = self._histogram(
            "api_call_seconds", "Seconds of a call to Linq, including retries of the client.", CALL_BUCKETS_S, "call"
        )
        self.remembered = self._counter(
            "api_calls_remembered",
            "Calls answered from the journal, because an earlier run of the turn had made them.",
            "call",
        )
        self.busy = Gauge("linqbot_turns_busy", "Turns that are running.", registry=self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Callable[..., Counter]:
        return cache(Counter(f"linqbot_{name}", what, labels, registry=self.registry).labels)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
        return cache(Histogram(f"linqbot_{name}", what, labels, registry=self.registry, buckets=buckets).labels)
