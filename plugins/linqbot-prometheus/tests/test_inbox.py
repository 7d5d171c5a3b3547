"""Gauges of the storage: read by a scrape, and never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import linqbot_prometheus.metrics as inbox_module
import pytest
from linqbot_prometheus.metrics import InboxCollector

from linqbot.clock import MovableClock
from linqbot.errors import StorageUnavailable
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Tally

NOON = 1_800_000_000.0


class Asked:
    """A storage that has a tally and nothing else."""

    def __init__(self, answer: Callable[[], Tally]) -> None:
        self.answer = answer
        self.never = asyncio.Event()
        self.hangs = False

    async def tally(self) -> Tally:
        if self.hangs:
            await self.never.wait()
        await asyncio.sleep(0)
        return self.answer()


def collector(storage: Asked) -> InboxCollector:
    return InboxCollector(cast("Storage", storage), MovableClock(NOON, frozen=True), lambda: 7)


def values(inbox: InboxCollector) -> dict[str, float]:
    return {sample.name: sample.value for family in inbox.collect() for sample in family.samples}


def unavailable() -> Any:
    raise StorageUnavailable("The disk is away.")


async def test_the_age_of_the_oldest_delivery_is_in_seconds() -> None:
    inbox = collector(Asked(lambda: Tally(3, NOON - 90, 2)))
    await inbox.refresh()
    assert values(inbox) == {
        "linqbot_messages_lost_total": 7,
        "linqbot_inbox_unread_total": 0,
        "linqbot_inbox_deliveries": 3,
        "linqbot_inbox_oldest_seconds": 90,
        "linqbot_dead_letters": 2,
    }


async def test_a_storage_that_cannot_answer_costs_a_scrape_its_gauges_only() -> None:
    inbox = collector(Asked(unavailable))
    await inbox.refresh()
    assert values(inbox) == {"linqbot_messages_lost_total": 7, "linqbot_inbox_unread_total": 1}


async def test_a_storage_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "TIMEOUT_S", 0.01)
    storage = Asked(lambda: Tally(0, None, 0))
    storage.hangs = True
    inbox = collector(storage)
    await inbox.refresh()
    assert values(inbox) == {"linqbot_messages_lost_total": 7, "linqbot_inbox_unread_total": 1}
