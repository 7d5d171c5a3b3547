"""The contract of timers, with every backend. A recurring timer has one row, which stays when it fires."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from storage.conftest import NOON, delivery, entry, handle, is_woken, leased

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease, Retry
from linqbot.storage.timers import OUTAGE, PARKED_S, Rearm, Timer


def timer(name: str = "t", after_s: float = 60, lane: str = "c:1", **changes: Any) -> Timer:
    return Timer(name, NOON + after_s, lane, changes.get("kind", "send"), changes.get("payload", b"{}"))


async def test_a_timer_becomes_a_delivery_of_its_lane_when_it_is_due(storage: Storage, clock: MovableClock) -> None:
    assert await storage.schedule(timer("t", 60, payload=b'{"say":"hi"}'))
    assert await storage.fire(clock.now()) == 0
    assert await storage.depth() == 0
    clock.advance(60)
    assert await storage.fire(clock.now()) == 1
    (lease,) = await storage.take(10, lease_s=60)
    assert lease.delivery == Delivery("i.send.t", "c:1", "linqbot.send", b'{"say":"hi"}', clock.now())
    assert lease.is_first_run
    assert (await storage.scheduled(), await storage.next_timer()) == ([], None)


async def test_all_who_ask_for_the_next_timer_at_once_get_the_one_that_was_stored_last(storage: Storage) -> None:
    assert await storage.next_timer() is None
    await storage.schedule(timer("t", 60))
    assert await asyncio.gather(*[storage.next_timer() for _ in range(3)]) == [NOON + 60] * 3


async def test_scheduled_timers_are_listed_by_lane_and_limited(storage: Storage) -> None:
    for n in range(3):
        await storage.schedule(timer(f"a{n}", n, "c:a"))
        await storage.schedule(timer(f"b{n}", n, "c:b"))
    assert [one.id for one in await storage.scheduled(lane="c:b", limit=2)] == ["b0", "b1"]
    assert [one.id for one in await storage.scheduled(limit=3)] == ["a0", "b0", "a1"]


async def test_a_cancellation_is_on_record_with_its_result(storage: Storage) -> None:
    await storage.schedule(timer("t", 0))
    assert [await storage.cancel("t", entry("w.1", slot)) for slot in ("c0", "c1")] == [True, False]
    said = [(each.slot, each.status, each.answer) for each in await storage.entries("w.1")]
    assert said == [("c0", "accepted", b"true"), ("c1", "accepted", b"false")]


async def test_a_turn_schedules_and_cancels_timers_when_it_ends(storage: Storage) -> None:
    for name in ("old", "moved"):
        await storage.schedule(timer(name))
    lease = await leased(storage, delivery())
    finish = Commit(Ack(), timers=[timer("new", 5), timer("moved", 90)], cancelled=["old", "moved", "never"])
    await storage.finish(lease, finish)
    assert [(one.id, one.due) for one in await storage.scheduled()] == [("new", NOON + 5), ("moved", NOON + 90)]
    assert await storage.next_timer() == NOON + 5


@pytest.mark.parametrize("outcome", [Retry(at=NOON, error="Boom"), DeadLetter(error="Boom")])
async def test_a_turn_that_runs_again_schedules_once(storage: Storage, outcome: Retry | DeadLetter) -> None:
    for name in ("w.1", "w.2"):
        lease = await leased(storage, delivery(name, name=name))
        await storage.finish(lease, Commit(outcome, timers=[timer("t", 60)]))
    assert await storage.scheduled() == [timer("t", 60)]


async def test_changed_returns_when_an_earliest_timer_is_stored(storage: Storage) -> None:
    assert not await is_woken(storage)
    await storage.schedule(timer("a", 60))
    assert await is_woken(storage)
    await storage.schedule(timer("later", 90))
    await storage.schedule(timer("a", 10))
    assert not await is_woken(storage)
    await storage.schedule(timer("b", 50))
    assert await is_woken(storage)


async def test_changed_returns_when_a_timer_fires(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer("t", 0))
    await storage.changed()
    await storage.fire(clock.now())
    assert await is_woken(storage)
    await storage.fire(clock.now())
    assert not await is_woken(storage)


# Recurring timers


def daily(name: str = "daily", due: float = NOON, **changes: Any) -> Timer:
    return Timer(name, due, "s:daily", changes.get("kind", "schedule"), b"{}")


async def fired(storage: Storage, clock: MovableClock) -> Lease:
    assert await storage.fire(clock.now()) == 1
    (lease,) = await storage.take(1, lease_s=60)
    return lease


async def test_a_recurring_timer_that_fired_waits_for_its_next_time(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(daily())
    lease = await fired(storage, clock)
    assert lease.delivery.id == "i.schedule.daily.1800000000"
    assert (await storage.scheduled(), await storage.next_timer(), await storage.fire(NOON * 2)) == ([], None, 0)
    (parked,) = await storage.recurring("schedule")
    assert (parked.is_parked, parked.tick) == (True, NOON)
    await storage.finish(lease, Commit(Ack(), rearmed=[Rearm("daily", NOON, NOON + 60)]))
    assert await storage.scheduled() == await storage.recurring("schedule") == [daily(due=NOON + 60)]
    assert await storage.next_timer() == NOON + 60
    clock.advance(60)
    assert (await fired(storage, clock)).delivery.id == "i.schedule.daily.1800000060"


@pytest.mark.parametrize("outcome", [Ack(), DeadLetter("Boom")])
async def test_a_cancelled_timer_is_not_rearmed(
    storage: Storage, clock: MovableClock, outcome: Ack | DeadLetter
) -> None:
    await storage.schedule(daily())
    lease = await fired(storage, clock)
    assert await storage.cancel("daily") is True
    await storage.finish(lease, Commit(outcome, rearmed=[Rearm("daily", NOON, NOON + 60)]))
    assert (await storage.recurring("schedule"), await storage.next_timer()) == ([], None)


async def test_a_turn_that_is_retried_late_does_not_change_the_next_time(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(daily())
    lease = await fired(storage, clock)
    await storage.finish(lease, Commit(DeadLetter("Boom"), rearmed=[Rearm("daily", NOON, NOON + 600)]))
    await storage.retry([lease.delivery.id])
    await storage.finish(await leased(storage), Commit(Ack(), rearmed=[Rearm("daily", NOON, NOON + 60)]))
    assert await storage.next_timer() == NOON + 600


async def test_recurring_timers_of_each_kind_survive_a_restart(closed_storage: Storage, clock: MovableClock) -> None:
    async with closed_storage as storage:
        for each in (daily(), daily("weekly", NOON + 60), daily("stretch", kind="repeat"), daily("once", kind="send")):
            await storage.schedule(each)
        await storage.fire(clock.now())
    async with closed_storage as storage:
        parked = {each.id: each.is_parked for each in await storage.recurring("schedule")}
        assert parked == {"daily": True, "weekly": False}
        (stretch,) = await storage.recurring("repeat")
        assert stretch.id == "stretch"
        assert await storage.recurring("repeat", lane=stretch.lane) == [stretch]
        assert await storage.recurring("repeat", lane="c:another") == []
        assert [each.id for each in await storage.scheduled()] == ["weekly"]
        assert await storage.next_timer() == NOON + 60


async def test_a_timer_is_found_while_it_waits_and_while_it_is_parked(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(daily())
    assert await storage.timer("daily") == daily()
    await fired(storage, clock)
    assert await storage.timer("daily") == replace(daily(), due=daily().due + PARKED_S)
    assert await storage.timer("weekly") is None


async def test_the_timer_of_an_outage_fires_once_and_stays_until_its_end(storage: Storage, clock: MovableClock) -> None:
    begun = Timer("outage.1", NOON, "t:1", OUTAGE, b"{}")
    assert await storage.schedule(begun) is True
    lease = await fired(storage, clock)
    await storage.finish(lease, Commit(Ack(), timers=[begun]))
    clock.advance(60)
    assert (await storage.schedule(replace(begun, due=clock.now())), await storage.fire(clock.now())) == (False, 0)
    assert await storage.timer("outage.1") is not None
    await handle(storage, delivery(), commit=Commit(Ack(), cancelled=["outage.1", "outage.2"]))
    assert await storage.timer("outage.1") is None
    assert await storage.schedule(replace(begun, due=clock.now())) is True
    assert await storage.fire(clock.now()) == 1
