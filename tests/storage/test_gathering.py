"""A lane that waits for more deliveries, and deliveries that are joined. Every test runs with every backend."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from storage.conftest import NOON, delivery, leased, taken

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Outcome, Retry


async def test_a_held_lane_waits_until_its_time_and_the_next_lease_is_a_first_run(
    storage: Storage, clock: MovableClock
) -> None:
    await storage.put(delivery())
    await storage.hold(await leased(storage, limit=10), NOON + 2, known=0)
    assert await storage.take(10, lease_s=60) == []
    assert await storage.next_due() == pytest.approx(NOON + 2, abs=0.1)
    (waiting,) = await storage.waiting()
    assert waiting.state == "gathering"
    clock.advance(2.2)
    again = await leased(storage, limit=10)
    assert again.is_first_run
    await storage.finish(again, Commit(Ack()))
    assert await storage.depth() == 0


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("missed", [False, True])
async def test_a_wait_that_a_delivery_has_ended_does_not_begin_again_with_a_restart(
    closed_storage: Storage, *, at_once: bool, missed: bool
) -> None:
    async def put(storage: Storage, one: Delivery) -> None:
        await (storage.put_in_order(one.lane, [one]) if missed else storage.put(one))

    first, second, other = delivery(), delivery(), delivery("c:2")
    async with closed_storage as storage:
        await storage.put(first)
        hold = storage.hold(await leased(storage, limit=10), NOON + 60, known=0)
        if at_once:
            # While the other delivery is being written, hold and put wait for the same commit.
            writing = asyncio.ensure_future(storage.put(other))
            await asyncio.sleep(0)
            await asyncio.gather(writing, hold, put(storage, second))
        else:
            await storage.put(other)
            await hold
            await put(storage, second)
    async with closed_storage as storage:
        assert await taken(storage) == [first.id, other.id]


@pytest.mark.parametrize("outcome", [Ack(), Defer(NOON, "later")])
async def test_a_turn_that_ends_in_the_commit_in_which_others_would_join_it_leaves_them_in_the_lane(
    storage: Storage, outcome: Outcome
) -> None:
    first, second = delivery(), delivery()
    for one in (first, second):
        await storage.put(one)
    lease = await leased(storage, limit=10)
    joined = replace(lease.delivery, body=b'{"all": 2}', decoded=None)
    join, finish = storage.join(lease, joined, [second.id]), storage.finish(lease, Commit(outcome))
    refused, ended = await asyncio.gather(join, finish, return_exceptions=True)
    assert (type(refused), ended) == (LeaseLost, None)
    kept = [second.id] if isinstance(outcome, Ack) else [first.id, second.id]
    assert [waiting.id for waiting in await storage.waiting()] == kept
    assert (await leased(storage, limit=10)).delivery.body == lease.delivery.body


async def test_joined_deliveries_are_one_from_then_on_and_their_copies_are_duplicates(
    storage: Storage, clock: MovableClock
) -> None:
    first, second, third = (delivery(message_key=f"m.{n}") for n in range(3))
    for one in (first, second, third):
        await storage.put(one)
    lease = await leased(storage, limit=10)
    joined = replace(lease.delivery, body=b'{"all": 2}', decoded=None)
    await storage.join(lease, joined, [second.id])
    assert [each.id for each in await storage.following("c:1", 10)] == [third.id]
    assert not await storage.put(delivery(name="w.copy", message_key="m.1"))
    assert await storage.seen([second.id]) == {second.id: True}
    assert await storage.depth() == 2
    await storage.finish(replace(lease, delivery=joined), Commit(Retry(NOON + 1, "failed")))
    clock.advance(2)
    again = await leased(storage, limit=10)
    assert (again.delivery.id, json.loads(again.delivery.body), again.attempts) == (first.id, {"all": 2}, 1)
    await storage.finish(again, Commit(DeadLetter("given up")))
    (dead,) = await storage.dead_letters()
    assert json.loads(dead.delivery.body) == {"all": 2}
    assert (await leased(storage, limit=10)).delivery.id == third.id


async def test_what_was_joined_stays_joined_when_the_storage_is_opened_again(closed_storage: Storage) -> None:
    async with closed_storage as storage:
        first, second, third = delivery(), delivery(), delivery()
        lease = await leased(storage, first, second, third, limit=10)
        joined = replace(lease.delivery, body=b'{"all": 2}', decoded=None)
        await storage.join(lease, joined, [second.id])
        await storage.finish(replace(lease, delivery=joined), Commit(Retry(NOON, "failed")))
    async with closed_storage as storage:
        again = await leased(storage, limit=10)
        assert json.loads(again.delivery.body) == {"all": 2}
        assert [each.id for each in await storage.following("c:1", 10)] == [third.id]


async def test_a_lease_that_is_over_can_neither_hold_nor_join(storage: Storage, clock: MovableClock) -> None:
    old = await leased(storage, delivery(), limit=10)
    clock.advance(61)
    await leased(storage, limit=10)
    with pytest.raises(LeaseLost):
        await storage.hold(old, NOON + 100, known=0)
    with pytest.raises(LeaseLost):
        await storage.join(old, old.delivery, [])


async def test_a_watched_lane_reports_each_delivery_that_is_put_into_it(storage: Storage) -> None:
    with storage.watch("c:1") as grew:
        await storage.put(delivery(lane="c:2"))
        assert not grew.is_set()
        await storage.put(delivery())
        assert grew.is_set()


async def test_a_lane_that_grew_in_the_meantime_is_not_held(storage: Storage) -> None:
    lease = await leased(storage, delivery(), limit=10)
    await storage.put(delivery())
    await storage.hold(lease, NOON + 60, known=0)
    assert (await leased(storage, limit=10)).delivery.id == lease.delivery.id
