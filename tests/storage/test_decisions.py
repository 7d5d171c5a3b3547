"""The contract of decisions, with every backend."""

from __future__ import annotations

import pytest
from storage.conftest import NOON, delivery, handle

from linqbot.clock import MovableClock
from linqbot.storage.backend import Storage
from linqbot.storage.decisions import Decision

pytestmark = pytest.mark.anyio

ANN = Decision("k-1", NOON, "refused", "reply", "Not on the list.", "w.1", "+14155550142", "+12025550100")
GROUP = Decision("k-2", NOON, "refused", "reply", "Not on the list.", "w.2")


async def test_decisions_are_listed_newest_first_and_one_for_each_call(storage: Storage) -> None:
    again = Decision("k-1", NOON, "sent", "promotional", "Allowed.", "w.1", "+14155550142")
    for each in (ANN, GROUP, again):
        await storage.decide(each)
    assert await storage.decisions() == [again, GROUP]
    assert await storage.decisions(limit=1) == [again]
    assert await storage.decisions(person="+14155550142") == [again]
    assert await storage.decisions(verdict="refused") == [GROUP]


async def test_a_forgotten_person_leaves_no_decision(storage: Storage) -> None:
    for each in (ANN, GROUP):
        await storage.decide(each)
    await storage.forget("+14155550142")
    assert await storage.decisions() == [GROUP]


async def test_decisions_are_deleted_after_a_month(storage: Storage, clock: MovableClock) -> None:
    await storage.decide(ANN)
    for days in (29, 2):
        clock.advance(days * 86_400)
        await handle(storage, delivery("c:2", name=f"w.{days}"))
        assert bool(await storage.decisions()) == (days == 29)
