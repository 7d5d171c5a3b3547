"""Missed deliveries are sorted into their lane by the time at which they were sent, with every backend."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from storage.conftest import NOON, entry, handle_all, leased, take

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit


def sent(name: str, after_s: float, *, key: str | None = None) -> Delivery:
    at = datetime.fromtimestamp(NOON + after_s, UTC).isoformat()
    body = b'{"data": {"sent_at": "%s"}}' % at.encode()
    return Delivery(f"w.{name}", "c:1", "message.received", body, NOON, key)


async def test_a_delivery_whose_turn_sent_something_keeps_its_place(closed_storage: Storage) -> None:
    async with closed_storage as storage:
        await storage.put(sent("c", 3))
        await take(storage)
        await storage.begin(entry(turn="w.c"))
    async with closed_storage as storage:
        (lease,) = await take(storage)
        await storage.put_in_order("c:1", [sent("b", 2), sent("a", 1)], lease)
        assert await handle_all(storage) == ["w.c", "w.a", "w.b"]


async def test_known_deliveries_are_not_stored_again(storage: Storage) -> None:
    await storage.put(sent("a", 1, key="m.a"))
    assert await handle_all(storage) == ["w.a"]
    lease = await leased(storage, sent("c", 3), limit=10)
    copies = [sent("other-id", 1, key="m.a"), sent("b", 2, key="m.b"), sent("c", 3)]
    assert await storage.put_in_order("c:1", copies, lease) == 1
    assert await storage.put(sent("late copy", 2, key="m.b")) is False
    assert await handle_all(storage) == ["w.b", "w.c"]


@pytest.mark.parametrize("keep", [False, True])
async def test_an_order_under_an_ended_lease_stores_nothing(storage: Storage, clock: MovableClock, keep: bool) -> None:
    old = await leased(storage, sent("c", 3), limit=10)
    clock.advance(61)
    (lease,) = await take(storage)
    with pytest.raises(LeaseLost):
        await storage.put_in_order("c:1", [sent("a", 1)], old, keep=keep)
    assert await storage.put_in_order("c:1", [sent("b", 2)], lease, keep=True) == 1
    await storage.finish(lease, Commit(Ack()))
    assert await handle_all(storage) == ["w.b"]


async def test_a_message_that_is_put_at_the_same_time_is_sorted_with_the_others(storage: Storage) -> None:
    lease = await leased(storage, sent("c", 3), limit=10)
    await asyncio.gather(storage.put(sent("d", 4)), storage.put_in_order("c:1", [sent("a", 1)], lease))
    assert await handle_all(storage) == ["w.a", "w.c", "w.d"]


async def test_no_delivery_is_lost_or_handled_twice_when_a_lane_is_sorted_and_leased_at_once(storage: Storage) -> None:
    await storage.put(sent("c", 3))
    _, leases = await asyncio.gather(storage.put_in_order("c:1", [sent("a", 1)]), take(storage))
    for lease in leases:
        await storage.finish(lease, Commit(Ack()))
    assert sorted([*(lease.delivery.id for lease in leases), *await handle_all(storage)]) == ["w.a", "w.c"]
