"""The contract of state, with every backend."""

from __future__ import annotations

import asyncio

import pytest
from storage.conftest import delivery, handle, leased

from linqbot.errors import StateConflict
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.state import StateWrite


async def write(storage: Storage, delivery: Delivery, *writes: StateWrite) -> None:
    await handle(storage, delivery, commit=Commit(Ack(), state=writes))


async def test_a_later_write_replaces_and_none_deletes(storage: Storage) -> None:
    await write(storage, delivery(), StateWrite("bot", "a", b"1"), StateWrite("bot", "b", b"1"))
    await write(storage, delivery(), StateWrite("bot", "a", b"2"), StateWrite("bot", "b", None))
    assert await storage.load("bot") == {"a": b"2"}
    await write(storage, delivery(), StateWrite("bot", "a", None), StateWrite("bot", "a", b"3"))
    await write(storage, delivery(), StateWrite("bot", "a", b"4"), StateWrite("bot", "never", None))
    assert await storage.load("bot") == {"a": b"4"}


def checked(value: bytes | None, expected: bytes | None) -> StateWrite:
    return StateWrite("bot", "a", value, expected=expected)


async def test_a_write_whose_expected_value_is_not_stored_is_refused_with_the_whole_finish(storage: Storage) -> None:
    await write(storage, delivery(), StateWrite("bot", "a", b"1"))
    lease = await leased(storage, delivery())
    for expected in (None, b"0"):
        writes = [StateWrite("chat:1", "b", b"1"), checked(b"2", expected)]
        with pytest.raises(StateConflict) as raised:
            await storage.finish(lease, Commit(Ack(), state=writes))
        assert (raised.value.scope, raised.value.name) == ("bot", "a")
    assert await storage.load("bot") == {"a": b"1"}
    assert await storage.load("chat:1") == {}
    assert await storage.depth() == 1
    # The lease is still held.
    await storage.finish(lease, Commit(Ack(), state=[checked(b"2", b"1")]))
    assert await storage.load("bot") == {"a": b"2"}
    assert await storage.depth() == 0


async def test_of_two_turns_that_end_in_one_commit_the_second_sees_what_the_first_writes(storage: Storage) -> None:
    for lane in ("c:1", "c:2", "c:3"):
        await storage.put(delivery(lane))
    leases = await storage.take(3, lease_s=60)
    finishes = [Commit(Ack(), state=[checked(b"%d" % n, None)]) for n in range(3)]
    ends = await asyncio.gather(
        *(storage.finish(lease, finish) for lease, finish in zip(leases, finishes, strict=True)), return_exceptions=True
    )
    assert [type(end) for end in ends] == [type(None), StateConflict, StateConflict]
    assert await storage.load("bot") == {"a": b"0"}
    assert await storage.depth() == 2
    await storage.finish(leases[1], Commit(Ack(), state=[checked(None, b"0")]))
    await storage.finish(leases[2], Commit(Ack(), state=[checked(b"5", None)]))
    assert await storage.load("bot") == {"a": b"5"}


async def test_values_are_listed_in_order_and_page_by_page(storage: Storage) -> None:
    places = [("bot", "a"), ("chat:1", "b"), ("person:+1", "a"), ("person:+1", "b"), ("person:+10", "a")]
    await storage.write_state([StateWrite(scope, name, b"{}") for scope, name in reversed(places)])
    assert [(row.scope, row.name) for row in await storage.state_rows()] == places
    people = await storage.state_rows(prefix="person:", name="a")
    assert [row.scope for row in people] == ["person:+1", "person:+10"]
    first = await storage.state_rows(limit=2)
    rest = await storage.state_rows(after=(first[-1].scope, first[-1].name), limit=9)
    assert [(row.scope, row.name) for row in [*first, *rest]] == places
    assert await storage.state_rows(prefix="person:%") == []


async def test_the_chat_of_a_forgotten_person_is_found_by_its_state(storage: Storage) -> None:
    for scope, person in (("chat:1", "Ann@Example.com"), ("chat:2", "+1"), ("chat:3", None)):
        await storage.write_state([StateWrite(scope, "a", b"{}", person=person)])
        # A later write that does not know the person leaves the person as stored.
        await storage.write_state([StateWrite(scope, "a", b"[]")])
    await storage.write_state([StateWrite("person:ann@example.com", "a", b"{}")])
    forgotten = await storage.forget("ann@example.com")
    assert (forgotten.rows["state"], forgotten.chats) == (2, ("1",))
    assert [row.scope for row in await storage.state_rows()] == ["chat:2", "chat:3"]
