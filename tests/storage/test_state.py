"""The contract of state, with every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost
from linqbot.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Finish, Retry
from linqbot.storage.state import StateWrite

pytestmark = pytest.mark.anyio

MakeDelivery = Callable[..., Delivery]


async def write(storage: Storage, delivery: Delivery, *writes: StateWrite) -> None:
    await storage.put(delivery)
    (lease,) = await storage.take(1, lease_s=60)
    await storage.finish(lease, Finish(Ack(), state=writes))


async def test_state_is_written_when_the_turn_ends(storage: Storage, delivery: MakeDelivery) -> None:
    assert await storage.load("chat:1") == {}
    await write(storage, delivery(), StateWrite("chat:1", "name", b'"Ann"'), StateWrite("bot", "count", b"1"))
    assert await storage.load("chat:1") == {"name": b'"Ann"'}
    assert await storage.load("bot") == {"count": b"1"}
    assert await storage.load("chat") == {}


async def test_a_later_write_replaces_and_none_deletes(storage: Storage, delivery: MakeDelivery) -> None:
    await write(storage, delivery(), StateWrite("bot", "a", b"1"), StateWrite("bot", "b", b"1"))
    await write(storage, delivery(), StateWrite("bot", "a", b"2"), StateWrite("bot", "b", None))
    assert await storage.load("bot") == {"a": b"2"}
    await write(storage, delivery(), StateWrite("bot", "a", None), StateWrite("bot", "a", b"3"))
    await write(storage, delivery(), StateWrite("bot", "a", b"4"), StateWrite("bot", "never", None))
    assert await storage.load("bot") == {"a": b"4"}


async def test_loaded_state_is_a_copy(storage: Storage, delivery: MakeDelivery) -> None:
    await write(storage, delivery(), StateWrite("bot", "a", b"1"))
    (await storage.load("bot")).clear()
    assert await storage.load("bot") == {"a": b"1"}


async def test_state_of_a_failed_turn_is_written_if_its_finish_contains_it(
    storage: Storage, delivery: MakeDelivery, clock: MovableClock
) -> None:
    await storage.put(delivery())
    (lease,) = await storage.take(1, lease_s=60)
    retry = Retry(at=clock.now(), error="Boom")
    await storage.finish(lease, Finish(retry, state=[StateWrite("bot", "tries", b"1")]))
    assert await storage.load("bot") == {"tries": b"1"}


async def test_state_of_a_lost_lease_is_not_written(
    storage: Storage, delivery: MakeDelivery, clock: MovableClock
) -> None:
    await storage.put(delivery())
    (lease,) = await storage.take(1, lease_s=60)
    clock.advance(60)
    await storage.take(1, lease_s=60)
    with pytest.raises(LeaseLost):
        await storage.finish(lease, Finish(Ack(), state=[StateWrite("bot", "a", b"1")]))
    assert await storage.load("bot") == {}


async def test_state_survives_a_restart(closed_storage: Storage, delivery: MakeDelivery) -> None:
    async with closed_storage as storage:
        await write(storage, delivery(), StateWrite("person:a@b.c", "seen", b"\x00\xff"))
    async with closed_storage as storage:
        assert await storage.load("person:a@b.c") == {"seen": b"\x00\xff"}
