"""The contract of decisions, with every backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from storage.conftest import NOON, delivery, handle

from linqbot.clock import MovableClock
from linqbot.storage.backend import Storage
from linqbot.storage.decisions import Decision, Verdict

ANN = Decision("k-1", NOON, "refused", "reply", "Not on the list.", "w.1", "+14155550142", "+12025550100")
GROUP = Decision("k-2", NOON, "refused", "reply", "Not on the list.", "w.2")


async def test_decisions_are_listed_newest_first_and_one_for_each_call(storage: Storage) -> None:
    again = Decision("k-1", NOON, "sent", "promotional", "Allowed.", "w.1", "+14155550142")
    for each in (ANN, GROUP, again):
        await storage.decide(each)
    assert await storage.decisions() == [again, GROUP]
    assert await storage.decisions(limit=1) == [again]


PERSON = "+14155550142"


async def promote(storage: Storage, *rows: tuple[str, Verdict, str], at: float = NOON) -> None:
    for key, verdict, turn in rows:
        await storage.decide(replace(ANN, key=key, at=at, verdict=verdict, purpose="promotional", turn=turn))


async def test_what_was_sent_to_a_person_is_counted_by_turn(storage: Storage) -> None:
    await promote(storage, ("k-1", "sent", "w.1"), ("k-2", "sent", "w.1"), ("k-3", "refused", "w.2"))
    await storage.decide(replace(ANN, key="k-4", verdict="sent", turn="w.4"))  # a reply
    asked = (("k-1", "w.1"), ("k-9", "w.1"), ("k-3", "w.2"), ("k-9", "w.9"))
    found = [(await storage.standing(key, turn, PERSON, since=NOON - 1))[:4] for key, turn in asked]
    assert found == [(True, True, 0, 0), (False, True, 0, 0), (False, False, 1, 1), (False, False, 1, 1)]
    assert (await storage.standing("k-9", "w.9", PERSON, since=NOON + 1))[:4] == (False, False, 0, 1)
    assert (await storage.standing("k-9", "w.9", "+1", since=NOON - 1))[:4] == (False, False, 0, 0)


async def test_what_a_person_has_not_answered_is_counted(storage: Storage) -> None:
    async def unanswered() -> tuple[int, bool]:
        known = await storage.standing("k-9", "w.9", PERSON, since=NOON)
        return known.unanswered, known.has_written

    await promote(storage, ("k-1", "sent", "w.1"))
    assert await unanswered() == (1, False)
    await storage.note_wrote(PERSON, NOON + 10)
    assert await unanswered() == (0, True)
    await promote(storage, ("k-2", "sent", "w.2"), at=NOON + 20)
    assert await unanswered() == (1, True)
    await storage.note_wrote(PERSON, NOON + 30)
    assert await unanswered() == (0, True)
    assert {each.verdict for each in await storage.decisions()} == {"sent"}


async def test_a_line_is_full_from_the_oldest_message_that_fills_its_limit(storage: Storage) -> None:
    for n in range(3):
        await promote(storage, (f"k-{n}", "sent", f"w.{n}"), at=NOON + n)

    async def since(limit: int, line: str | None = ANN.line) -> float | None:
        known = await storage.standing("k-9", "w.9", "+1", since=NOON - 1, line=line, line_limit=limit)
        return known.line_since

    assert [await since(limit) for limit in (2, 3, 4)] == [pytest.approx(NOON + 1), pytest.approx(NOON), None]
    assert (await since(1, "+12025550109"), await since(1, None)) == (None, None)


async def test_decisions_are_deleted_after_a_month(storage: Storage, clock: MovableClock) -> None:
    await storage.decide(ANN)
    for days in (29, 2):
        clock.advance(days * 86_400)
        await handle(storage, delivery("c:2", name=f"w.{days}"))
        assert bool(await storage.decisions()) == (days == 29)
