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


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("missed", [False, True])
async def test_a_wait_that_has_ended_does_not_begin_again(
    closed_storage: Storage, *, at_once: bool, missed: bool
) -> None:
    async def put(storage: Storage, one: Delivery) -> None:
        await (storage.put_in_order(one.lane, [one]) if missed else storage.put(one))

    first, second, other = delivery(), delivery(), delivery("c:2")
    async with closed_storage as storage:
        await storage.put(first)
        gathering = storage.gather(await leased(storage, limit=10), NOON + 60, known=0)
        if at_once:
            # While the other delivery is being written, gather and put wait for the same commit.
            writing = asyncio.ensure_future(storage.put(other))
            await asyncio.sleep(0)
            await asyncio.gather(writing, gathering, put(storage, second))
        else:
            await storage.put(other)
            await gathering
            await put(storage, second)
    async with closed_storage as storage:
        assert await taken(storage) == [first.id, other.id]


@pytest.mark.parametrize("outcome", [Ack(), Defer(NOON, "later")])
async def test_a_turn_that_ends_leaves_those_that_would_join_in_its_lane(storage: Storage, outcome: Outcome) -> None:
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


async def test_joined_deliveries_are_one_and_their_copies_duplicates(storage: Storage, clock: MovableClock) -> None:
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


async def test_a_lease_that_is_over_can_neither_gather_nor_join(storage: Storage, clock: MovableClock) -> None:
    old = await leased(storage, delivery(), limit=10)
    clock.advance(61)
    await leased(storage, limit=10)
    with pytest.raises(LeaseLost):
        await storage.gather(old, NOON + 100, known=0)
    with pytest.raises(LeaseLost):
        await storage.join(old, old.delivery, [])


async def test_a_watched_lane_reports_each_delivery_that_is_put_into_it(storage: Storage) -> None:
    with storage.watch("c:1") as grew:
        await storage.put(delivery(lane="c:2"))
        assert not grew.is_set()
        await storage.put(delivery())
        assert grew.is_set()
