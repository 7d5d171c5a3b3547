"""The contract of outcomes, with every backend: what became of each delivery, with ids only."""

from __future__ import annotations

import pytest
from storage.conftest import NOON, MakeStorage, delivery, entry, handle, leased

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer
from linqbot.storage.outcomes import OutcomeRow, Result
from linqbot.storage.state import StateWrite

ANN = "+14155550142"


def row(of: Delivery, outcome: Result = "handled") -> OutcomeRow:
    facts = (of.id, of.lane, of.type, "m", "t", of.received_at, outcome)
    return OutcomeRow(
        *facts, "bot:echo", "why", "w.0", 0, 2, 1, 7.5, '[["bot:menu","menu"]]', '[{"call":"send"}]', '[{"name":"pay"}]'
    )


def ends(found: list[OutcomeRow]) -> list[tuple[str, str]]:
    return [(each.delivery, each.outcome) for each in found]


async def test_the_commit_that_ends_a_turn_stores_its_outcome(storage: Storage) -> None:
    # The second commit writes more than a journal entry, so PostgreSQL needs several statements for it.
    commits = [Commit(Ack()), Commit(Ack(), state=[StateWrite("bot", "a", b"1")]), Commit(DeadLetter("no"))]
    for number, commit in enumerate(commits):
        each = delivery(name=f"w.{number}")
        commit.record = row(each)
        await handle(storage, each, commit=commit)
    found = await storage.outcomes(["1"])
    assert [each.delivery for each in found] == ["w.0", "w.1", "w.2"]
    assert found[0][:-1] == row(delivery(name="w.0"))[:-1]
    assert found[0].ended_at == pytest.approx(NOON, abs=1)
    assert await storage.outcomes(["2"]) == []
    assert await storage.outcomes(["1"], until=NOON) == []
    assert await storage.outcomes(["1"], since=NOON, limit=1) == found[-1:]
    assert await storage.outcomes_of(["w.1"]) == [found[1]]
    assert await storage.outcomes_of(["m"]) == found


async def test_a_turn_that_could_not_end_has_no_outcome(storage: Storage) -> None:
    first = delivery()
    lease = await leased(storage, first)
    await storage.finish(lease, Commit(Defer(NOON, "stopped"), record=row(first, "deferred")))
    with pytest.raises(Exception, match="is over"):
        await storage.finish(lease, Commit(Ack(), record=row(first)))
    assert ends(await storage.outcomes(["1"])) == [(first.id, "deferred")]


async def test_what_joined_and_what_was_known_has_an_outcome_too(storage: Storage) -> None:
    first, second = delivery(name="w.1"), delivery(name="w.2", message_key="m.2")
    lease = await leased(storage, first, second)
    await storage.join(lease, first, [second.id])
    assert not await storage.put(delivery(name="w.2b", message_key="m.2"))
    await storage.put(delivery("c:9"))  # what was known is stored after the answer, before the next operation
    found = await storage.outcomes(["1"])
    said = [(each.delivery, each.outcome, each.message_id) for each in found]
    assert said == [("w.2", "joined", "2"), ("w.2b", "duplicate", "2")]
    assert found[0].why == "w.1"


async def test_nothing_is_kept_if_the_storage_says_so(make_storage: MakeStorage) -> None:
    storage = make_storage()
    storage.keep_outcomes_days = 0
    async with storage:
        first, second = delivery(name="w.1"), delivery(name="w.2", message_key="m.2")
        lease = await leased(storage, first, second)
        await storage.join(lease, first, [second.id])
        assert not await storage.put(second)
        await storage.put(delivery("c:9"))
        assert await storage.outcomes(["1"]) == []


async def test_old_outcomes_are_deleted_with_their_entries(make_storage: MakeStorage, clock: MovableClock) -> None:
    storage = make_storage()
    storage.keep_outcomes_days = 10
    async with storage:
        old, young = delivery(name="w.1"), delivery(name="w.2")
        await handle(storage, old, commit=Commit(Ack(), [entry("w.1", status="accepted")], record=row(old)))
        clock.advance(8 * 86_400)
        await handle(storage, young, commit=Commit(Ack(), record=row(young)))
        await handle(storage, delivery("c:2"))
        assert ends(await storage.outcomes(["1"])) == [("w.1", "handled"), ("w.2", "handled")]
        assert len(await storage.entries("w.1", 0)) == 1
        clock.advance(3 * 86_400)
        await handle(storage, delivery("c:2"))
        assert ends(await storage.outcomes(["1"])) == [("w.2", "handled")]
        assert await storage.entries("w.1", 0) == []


async def test_a_forgotten_person_has_no_outcomes(storage: Storage) -> None:
    theirs = ("c:1", "r:1", f"p:+1999:{ANN}", f"post:{ANN}", f"send:{ANN}")
    for lane in (*theirs, "c:2", "p:+1999:+14155550143", "post:+14155550143"):
        each = delivery(lane)
        await handle(storage, each, commit=Commit(Ack(), record=row(each)))
    assert (await storage.forget(ANN, chats=["1"])).rows["outcome"] == len(theirs)
    assert (await storage.forget(ANN, chats=["1"])).rows["outcome"] == 0
    assert await storage.outcomes(["1"]) == []
    assert len(await storage.outcomes_of(["m"])) == 3


async def test_outcomes_are_counted_and_the_newest_come_first(storage: Storage, clock: MovableClock) -> None:
    ended: list[Result] = ["handled", "handled", "ignored"]
    for number, outcome in enumerate(ended):
        each = delivery(name=f"w.{number}")
        await handle(storage, each, commit=Commit(Ack(), record=row(each, outcome)))
        clock.advance(100)
    counted = await storage.outcome_counts(since=NOON - 10, width_s=100)
    assert sorted(counted) == [(0, "handled", 1, 7.5), (1, "handled", 1, 7.5), (2, "ignored", 1, 7.5)]
    assert len(await storage.outcome_counts(since=NOON + 110, width_s=100)) == 1
    assert [each.delivery for each in await storage.recent_outcomes(limit=2)] == ["w.2", "w.1"]
