"""Series are those of prometheus_client, labels are bounded, and a scrape does not wait long for the storage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest
from linqbot_prometheus import metrics
from linqbot_prometheus.metrics import Bounded, Counts, InboxCollector, Times, call_name, event_type
from prometheus_client import CollectorRegistry, Counter, Histogram

from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.errors import StorageUnavailable
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import InboxCounts

NOON = 1_800_000_000.0


def test_a_scrape_shows_the_same_as_with_metrics_of_prometheus_client() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bounds = (0.005, 0.1, 1.0, 86400.0)
    counts, counter = Counts(ours, "turns", "Turns.", "kind"), Counter("linqbot_turns", "", ["kind"], registry=theirs)
    for kind in ("a", "b", "a"):
        counts.add(kind)
        counter.labels(kind).inc()
    times = Times(ours, "turn_seconds", "Turns.", bounds, "kind")
    histogram = Histogram("linqbot_turn_seconds", "", ["kind"], registry=theirs, buckets=bounds)
    for took_s in (0.0, 0.005, 0.006, 0.1, 1.0, 2.0, 86400.5):
        times.observe(took_s, "a")
        histogram.labels("a").observe(took_s)
    Times(ours, "store_seconds", "Never.", bounds)
    Histogram("linqbot_store_seconds", "", registry=theirs, buckets=bounds)

    def shown(registry: CollectorRegistry) -> dict[str, float]:
        samples = [sample for family in registry.collect() for sample in family.samples]
        return {f"{each.name}{each.labels}": each.value for each in samples if not each.name.endswith("_created")}

    assert shown(ours) == shown(theirs)


def test_only_linqs_types_and_our_own_are_labels(subtests: pytest.Subtests) -> None:
    for delivery_id, type_, label in (
        ("w.1", "message.received", "message.received"),
        ("w.1", "message.invented", "other"),
        ("w.1", "", "other"),
        ("w.1", "linqbot.send", "other"),
        ("i.send.1", "linqbot.send", "linqbot.send"),
    ):
        with subtests.test(id=delivery_id, type=type_):
            assert event_type(Delivery(delivery_id, "c:1", type_, b"{}", 0.0)) == label


def test_a_call_without_an_endpoint_is_other() -> None:
    call = Call("chats.retrieve", "GET", "/v3/chats/1", "read")
    assert call_name(call) == "chats.retrieve"
    assert call_name(replace(call, name="+14155550142")) == "other"


def test_beyond_the_maximum_every_further_value_is_other() -> None:
    label = Bounded(max_values=2)
    assert [label(value) for value in (403, "b", 403, "c", "b", None)] == ["403", "b", "403", "other", "b", "none"]


@dataclass
class Asked:
    """A storage that has these counts and nothing else."""

    inbox_counts: Callable[[], Awaitable[InboxCounts]]


async def answering() -> InboxCounts:
    return InboxCounts(3, NOON - 90, 2)


async def unavailable() -> InboxCounts:
    raise StorageUnavailable("The disk is away.")


async def hanging() -> InboxCounts:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_storage_that_does_not_answer_costs_a_scrape_its_gauges_only(
    monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.setattr(metrics, "TIMEOUT_S", 0.01)
    gauges = {"linqbot_inbox_deliveries": 3, "linqbot_inbox_oldest_seconds": 90, "linqbot_dead_letters": 2}
    for counts, unread, shown in ((answering, 0, gauges), (unavailable, 1, {}), (hanging, 1, {})):
        with subtests.test(counts.__name__):
            inbox = InboxCollector(cast("Storage", Asked(counts)), MovableClock(NOON, frozen=True), lambda: 7)
            await inbox.refresh()
            found = {sample.name: sample.value for family in inbox.collect() for sample in family.samples}
            assert found == {"linqbot_messages_lost_total": 7, "linqbot_inbox_unread_total": unread, **shown}
