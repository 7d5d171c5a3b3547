"""The contract of decisions, with every backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from storage.conftest import NOON, delivery, handle

from linqbot.clock import MovableClock
from linqbot.storage.backend import Storage
from linqbot.storage.decisions import Decision, Standing, Verdict

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


async def test_what_was_sent_to_a_person_is_counted_by_turn(storage: Storage) -> None:
    rows: list[tuple[str, Verdict, str]] = [("k-1", "sent", "w.1"), ("k-2", "sent", "w.1"), ("k-3", "refused", "w.2")]
    for key, verdict, turn in rows:
        await storage.decide(replace(ANN, key=key, verdict=verdict, purpose="promotional", turn=turn))
    await storage.decide(replace(ANN, key="k-4", verdict="sent", turn="w.4"))  # a reply
    found = {
        (key, turn): await storage.standing(key, turn, ANN.person, since=NOON - 1)
        for key, turn in (("k-1", "w.1"), ("k-9", "w.1"), ("k-3", "w.2"), ("k-9", "w.9"))
    }
    assert found == {
        ("k-1", "w.1"): Standing(is_sent=True, turns=0),
        ("k-9", "w.1"): Standing(is_sent=True, turns=0),
        ("k-3", "w.2"): Standing(is_sent=False, turns=1),
        ("k-9", "w.9"): Standing(is_sent=False, turns=1),
    }
    assert await storage.standing("k-9", "w.9", ANN.person, since=NOON + 1) == Standing(is_sent=False, turns=0)
    assert await storage.standing("k-9", "w.9", None, since=NOON - 1) == Standing(is_sent=False, turns=0)


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
