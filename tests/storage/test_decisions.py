"""The contract of decisions, with every backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from storage.conftest import NOON, delivery, handle

from linqbot.clock import MovableClock
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.decisions import AskedCall, Decision, Standing, Verdict
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.timers import Timer

ANN = Decision("k-1", NOON, "refused", "reply", "Not on the list.", "w.1", "+14155550142", "+12025550100")
GROUP = Decision("k-2", NOON, "refused", "reply", "Not on the list.", "w.2")


async def test_decisions_are_listed_newest_first_and_one_for_each_call(storage: Storage) -> None:
    again = Decision("k-1", NOON, "sent", "promotional", "Allowed.", "w.1", "+14155550142")
    for each in (ANN, GROUP, again):
        await storage.decide(each)
    assert await storage.decisions() == [again, GROUP]
    assert await storage.decisions(limit=1) == [again]


PERSON, LINE = "+14155550142", "+12025550100"


async def promote(storage: Storage, *rows: tuple[str, Verdict, str], at: float = NOON) -> None:
    for key, verdict, turn in rows:
        await storage.decide(replace(ANN, key=key, at=at, verdict=verdict, purpose="promotional", turn=turn))


def asked(
    key: str = "k-9",
    turn: str = "w.9",
    person: str = PERSON,
    *,
    now: float = NOON + 60,
    since: float = NOON,
    line: str | None = None,
    line_limit: int | None = None,
) -> AskedCall:
    return AskedCall(key, turn, person, now, since, line, line_limit)


async def test_what_was_sent_to_a_person_is_counted_by_turn(storage: Storage) -> None:
    await promote(storage, ("k-1", "sent", "w.1"), ("k-2", "sent", "w.1"), ("k-3", "refused", "w.2"))
    await storage.decide(replace(ANN, key="k-4", verdict="sent", turn="w.4"))  # a reply

    async def standing(which: AskedCall) -> tuple[bool, bool, list[float], int]:
        known = await storage.standing(which)
        return known.call_sent_at is not None, known.is_turn_sent, list(known.reaches_at), known.unanswered

    sent: Any = [pytest.approx(NOON)]
    before = NOON - 1
    assert [
        await standing(asked(key, turn, since=before))
        for key, turn in (("k-1", "w.1"), ("k-9", "w.1"), ("k-3", "w.2"), ("k-9", "w.9"))
    ] == [(True, True, [], 0), (False, True, [], 0), (False, False, sent, 1), (False, False, sent, 1)]
    assert await standing(asked(since=NOON + 1)) == (False, False, [], 1)
    assert await standing(asked(person="+1", since=before)) == (False, False, [], 0)


async def test_what_a_person_has_not_answered_is_counted(storage: Storage) -> None:
    async def unanswered() -> tuple[int, bool]:
        known = await storage.standing(asked())
        return known.unanswered, known.has_written

    await promote(storage, ("k-1", "sent", "w.1"))
    assert await unanswered() == (1, False)
    await storage.note_wrote(PERSON, NOON + 10)
    assert await unanswered() == (0, True)
    await promote(storage, ("k-2", "sent", "w.2"), at=NOON + 20)
    assert await unanswered() == (1, True)
    await storage.note_wrote(PERSON, NOON + 15)  # it was written before, and came late
    assert await unanswered() == (1, True)
    await storage.note_wrote(PERSON, NOON + 30)
    await storage.note_wrote(PERSON, NOON + 5)
    assert await unanswered() == (0, True)
    assert {each.verdict for each in await storage.decisions()} == {"sent"}


async def test_a_line_is_full_from_the_oldest_message_that_fills_its_limit(storage: Storage) -> None:
    for n in range(3):
        await promote(storage, (f"k-{n}", "sent", f"w.{n}"), at=NOON + n)

    async def since(limit: int, line: str | None = ANN.line) -> float | None:
        known = await storage.standing(asked(person="+1", line=line, line_limit=limit))
        return known.line_since

    assert [await since(limit) for limit in (2, 3, 4)] == [pytest.approx(NOON + 1), pytest.approx(NOON), None]
    assert (await since(1, "+12025550109"), await since(1, None)) == (None, None)


def waits(key: str, turn: str, until: float) -> Decision:
    return replace(ANN, key=key, turn=turn, verdict="waits", purpose="promotional", until=until)


async def test_a_send_that_waits_has_room_on_its_day_until_its_turn_has_ended_or_it_is_cancelled(
    storage: Storage, clock: MovableClock, subtests: pytest.Subtests
) -> None:
    day = NOON + 86_400
    for how in ("sent", "cancelled"):
        with subtests.test(how=how):
            made, timer = waits(how, how, day), Timer(how, day, "p:ann", "send", b"{}")

            async def found() -> tuple[float, ...]:
                return (await storage.standing(asked(since=day))).reaches_at

            def wait(_: Standing, made: Decision = made, timer: Timer = timer) -> tuple[Decision, Timer]:
                return made, timer

            assert await storage.judge(asked(how, how), wait) == made
            assert await found() == (day,)
            assert (await storage.standing(asked(how, how, since=day))).reaches_at == ()  # it takes no room from itself
            if how == "cancelled":
                await storage.cancel(how)
            else:
                clock.advance(86_400)
                await storage.fire(day)
                assert await found() == (day,)
                (lease,) = await storage.take(10, lease_s=60)
                assert await found() == (day,)
                await storage.finish(lease, Commit(Ack()))
                clock.advance(-86_400)
            assert await found() == ()


async def test_a_person_of_a_broadcast_who_waits_has_room_until_the_broadcast_is_sent_or_cancelled(
    storage: Storage,
) -> None:
    day = NOON + 3600
    await storage.start_broadcast(NewBroadcast("july", LINE, 20, b"[]", NOON), [PERSON])
    for n, until in enumerate((NOON + 60, day)):  # it has waited twice
        await storage.decide(waits(f"k-{n}", "i.broadcast.july.1", until))
    for then in (None, "cancel"):
        if then is not None:
            await storage.order_broadcast("july", "cancel")
        found = (await storage.standing(asked(since=NOON))).reaches_at
        assert found == ((day,) if then is None else ())


async def test_decisions_are_deleted_after_a_month(storage: Storage, clock: MovableClock) -> None:
    await storage.decide(ANN)
    for days in (29, 2):
        clock.advance(days * 86_400)
        await handle(storage, delivery("c:2", name=f"w.{days}"))
        assert bool(await storage.decisions()) == (days == 29)
