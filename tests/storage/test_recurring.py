"""The contract of recurring timers, with every backend: one row each, which stays when it fires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from storage.conftest import NOON, handle, leased

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease, Retry
from linqbot.storage.timers import OUTAGE, PARKED_S, Rearm, Timer

pytestmark = pytest.mark.anyio


def timer(name: str = "daily", due: float = NOON, **changes: Any) -> Timer:
    return Timer(name, due, "s:daily", changes.get("kind", "schedule"), b"{}", 0.0)


async def fired(storage: Storage, clock: MovableClock) -> Lease:
    assert await storage.fire(clock.now()) == 1
    (lease,) = await storage.take(1, lease_s=60)
    return lease


async def test_a_recurring_timer_that_fired_waits_for_its_next_time(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer())
    lease = await fired(storage, clock)
    assert lease.delivery.id == "i.schedule.daily.1800000000"
    assert (await storage.scheduled(), await storage.next_timer(), await storage.fire(NOON * 2)) == ([], None, 0)
    (parked,) = await storage.recurring("schedule")
    assert (parked.is_parked, parked.tick) == (True, NOON)
    await storage.finish(lease, Commit(Ack(), rearmed=[Rearm("daily", NOON, NOON + 60)]))
    assert await storage.scheduled() == await storage.recurring("schedule") == [timer(due=NOON + 60)]
    assert await storage.next_timer() == NOON + 60
    clock.advance(60)
    assert (await fired(storage, clock)).delivery.id == "i.schedule.daily.1800000060"


@pytest.mark.parametrize("outcome", [Ack(), DeadLetter("Boom")])
async def test_a_cancelled_timer_is_not_rearmed_by_the_turn_that_runs(
    storage: Storage, clock: MovableClock, outcome: Ack | DeadLetter
) -> None:
    await storage.schedule(timer())
    lease = await fired(storage, clock)
    assert await storage.cancel("daily") is True
    await storage.finish(lease, Commit(outcome, rearmed=[Rearm("daily", NOON, NOON + 60)]))
    assert (await storage.recurring("schedule"), await storage.next_timer()) == ([], None)


async def test_a_turn_that_is_retried_late_does_not_change_the_next_time(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer())
    lease = await fired(storage, clock)
    await storage.finish(lease, Commit(DeadLetter("Boom"), rearmed=[Rearm("daily", NOON, NOON + 600)]))
    await storage.retry([lease.delivery.id])
    await storage.finish(await leased(storage), Commit(Ack(), rearmed=[Rearm("daily", NOON, NOON + 60)]))
    assert await storage.next_timer() == NOON + 600


async def test_a_lost_lease_rearms_nothing(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer())
    lost = await fired(storage, clock)
    clock.advance(61)
    (held,) = await storage.take(1, lease_s=60)
    with pytest.raises(LeaseLost):
        await storage.finish(lost, Commit(Ack(), rearmed=[Rearm("daily", NOON, NOON + 60)]))
    await storage.finish(held, Commit(Retry(NOON + 90, "Boom")))
    assert await storage.next_timer() is None


async def test_recurring_timers_survive_a_restart_and_are_told_apart_by_kind(
    closed_storage: Storage, clock: MovableClock
) -> None:
    async with closed_storage as storage:
        for each in (timer(), timer("weekly", NOON + 60), timer("stretch", kind="repeat"), timer("once", kind="send")):
            await storage.schedule(each)
        await storage.fire(clock.now())
    async with closed_storage as storage:
        assert {each.id: each.is_parked for each in await storage.recurring("schedule")} == {
            "daily": True,
            "weekly": False,
        }
        (stretch,) = await storage.recurring("repeat")
        assert stretch.id == "stretch"
        assert await storage.recurring("repeat", lane=stretch.lane) == [stretch]
        assert await storage.recurring("repeat", lane="c:another") == []
        assert [each.id for each in await storage.scheduled()] == ["weekly"]
        assert await storage.next_timer() == NOON + 60


async def test_a_timer_is_found_by_its_id_while_it_waits_and_while_it_is_parked(
    storage: Storage, clock: MovableClock
) -> None:
    await storage.schedule(timer())
    assert await storage.timer("daily") == timer()
    await fired(storage, clock)
    assert await storage.timer("daily") == replace(timer(), due=timer().due + PARKED_S)
    assert await storage.timer("weekly") is None


async def test_the_timer_of_an_outage_fires_once_and_stays_until_the_outage_ends(
    storage: Storage, clock: MovableClock
) -> None:
    begun = Timer("outage.1", NOON, "t:1", OUTAGE, b"{}", 0.0)
    assert await storage.schedule(begun) is True
    lease = await fired(storage, clock)
    await storage.finish(lease, Commit(Ack(), timers=[begun]))
    clock.advance(60)
    assert (await storage.schedule(replace(begun, due=clock.now())), await storage.fire(clock.now())) == (False, 0)
    assert await storage.timer("outage.1") is not None
    await handle(
        storage,
        Delivery("w.1", "c:1", "message.received", b"{}", clock.now()),
        commit=Commit(Ack(), cancelled=["outage.1", "outage.2"]),
    )
    assert await storage.timer("outage.1") is None
    assert await storage.schedule(replace(begun, due=clock.now())) is True
    assert await storage.fire(clock.now()) == 1
