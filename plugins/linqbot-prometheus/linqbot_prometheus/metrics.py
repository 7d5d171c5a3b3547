"""The metrics themselves: names, labels, buckets. What moves them is `plugin.py`.

Names follow Prometheus: a unit at the end, base units (seconds), `_total` for counters. Buckets are chosen for the
questions they answer, each said beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

STORE_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""A group commit takes one fsync: under a millisecond on an SSD, tens on a spinning or network disk. Linq waits seconds."""

WAITING_BUCKETS_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
"""From at once, over what a person notices (1 s), to a deferred turn's longest: Linq retries for 30 min, we defer for a day."""

HANDLER_BUCKETS_S: Final = (0.005, 0.02, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Typing shows after 0.3 s; language models take 1 to 60 s; 900 s is a handler's default deadline."""

CALL_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
"""Around a web API's usual 50 to 500 ms; a call is repeated in place for 20 s and one attempt may take 60 s."""


class Metrics:
    """One app's metrics, in a registry of their own: several bots in one process count apart.

    Args:
        reasons: Why a POST may be refused. Each is counted from 0 on: an alert must see the first one as a step.
    """

    def __init__(self, *, version: str, reasons: Sequence[str] = ()) -> None:
        self.registry = CollectorRegistry()
        Info("linqbot", "The release that runs.", registry=self.registry).info({"version": version})
        self.received = self._counter("deliveries_received", "Genuine deliveries that arrived.", "event_type")
        self.stored = self._counter("deliveries_stored", "Deliveries that were stored and answered 200.", "event_type")
        self.duplicate = self._counter("deliveries_duplicate", "Deliveries that were known already.", "event_type")
        self.refused = self._counter("deliveries_refused", "POSTs to the webhook that were not stored.", "reason")
        for reason in reasons:
            self.refused.labels(reason)
        self.store_s = self._histogram("store_seconds", "From a delivery's name to its commit.", STORE_BUCKETS_S)
        self.waiting_s = self._histogram(
            "waiting_seconds", "From a delivery's acceptance to each of its turns.", WAITING_BUCKETS_S, "event_type"
        )
        self.turns = self._counter(
            "turns", "Turns by their end: ack, retry, defer, dead_letter, lost.", "event_type", "outcome"
        )
        self.turn_s = self._histogram("turn_seconds", "A turn, its commit included.", HANDLER_BUCKETS_S, "event_type")
        self.handler_s = self._histogram(
            "handler_seconds", "A handler that ended well.", HANDLER_BUCKETS_S, "handler", "event_type"
        )
        self.failures = self._counter(
            "turn_failures", "Errors that ended a turn, by their class.", "handler", "event_type", "error"
        )
        self.calls = self._counter(
            "api_calls", "Calls to Linq; code is Linq's own number of an error.", "call", "status", "code"
        )
        self.call_s = self._histogram(
            "api_call_seconds", "A call to Linq, its repetitions included.", CALL_BUCKETS_S, "call"
        )
        self.remembered = self._counter(
            "api_calls_remembered", "Calls answered from the journal: an earlier run of the turn had made them.", "call"
        )
        self.busy = Gauge("linqbot_turns_busy", "Turns that run now.", registry=self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"linqbot_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"linqbot_{name}", what, labels, registry=self.registry, buckets=buckets)
