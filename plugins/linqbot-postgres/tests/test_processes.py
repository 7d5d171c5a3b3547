"""Several processes serve one schema: they wake each other, never share a lane, and notice when one of them dies."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from fakes import LINE, text_body
from forked_code import forked
from linqbot_postgres import processes
from linqbot_postgres.address import Address
from linqbot_postgres.contents import PostgresContents
from linqbot_postgres.storage import PostgresStorage
from linqbot_postgres.transaction import Memory
from patience import PATIENCE_S, until
from postgres_server import as_role, connected, empty_storage_url, execute, server_url
from storage.conftest import NOON, asked, delivery, handle, handle_all, leased, open_and_close, opening, take, taken
from storage.test_edits import edit

from linqbot.clock import MovableClock
from linqbot.errors import StateConflict, StorageError, StorageUnavailable
from linqbot.events import Delivery
from linqbot.features.new_chats import NewChats
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.conversations import NEW_CHAT
from linqbot.storage.decisions import AskedCall, Decision, Standing, Verdict
from linqbot.storage.edits import kept
from linqbot.storage.inbox import Ack, Commit, Defer, Retry
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

pytestmark = pytest.mark.process

ACK = Commit(Ack())


@pytest.fixture
def url() -> str:
    return empty_storage_url("several")


@pytest.fixture
async def one(url: str, clock: MovableClock) -> AsyncIterator[Storage]:
    async with PostgresStorage(url, clock=clock) as storage:
        yield storage


@pytest.fixture
async def two(url: str, clock: MovableClock, one: Storage) -> AsyncIterator[Storage]:
    async with PostgresStorage(url, clock=clock) as storage:
        yield storage


def new_chats(storage: Storage, clock: MovableClock) -> NewChats:
    turns: Any = SimpleNamespace(storage=storage, clock=clock)
    return NewChats(turns)


async def test_a_delivery_wakes_the_other_process(one: Storage, two: Storage) -> None:
    woken = asyncio.ensure_future(two.changed())
    await one.put(delivery(name="w.1"))
    await asyncio.wait_for(woken, PATIENCE_S)
    (lease,) = await take(two)
    assert lease.delivery == delivery(name="w.1")
    assert await take(one) == []
    await two.finish(lease, ACK)
    assert await one.depth() == 0


async def test_a_message_waits_for_a_turn_of_another_process_that_opens_its_chat(
    one: Storage, two: Storage, clock: MovableClock
) -> None:
    opens = await leased(one, delivery("post:+1", name="i.ask_to.1"))
    await one.note_opening(opening("i.ask_to.1", person=f"+1 {LINE}"))
    await until(lambda: bool(two.conversations_in(NEW_CHAT)))
    body = text_body("yes", sender="+1", chat="7")
    message = await leased(two, Delivery("w.1", "c:7", "message.received", body, NOON))
    assert await new_chats(two, clock).admit(message) is None
    assert await take(two) == []
    wakes = [Timer("i.ask_to.1", clock.now(), "c:7", "new_chat", b"{}")]
    end = Commit(Ack(), ended=["i.new_chat.i.ask_to.1"], conversations=[asked("w.q", chat="7")], timers=wakes)
    await one.finish(opens, end)
    await one.fire(clock.now())
    await until(lambda: not two.conversations_in(NEW_CHAT))
    (again,) = await take(two)
    assert await new_chats(two, clock).admit(again) is again
    assert (again.delivery.id, again.is_first_run) == ("w.1", True)
    assert [each.id for each in two.conversations_in("7")] == ["w.q"]


async def test_a_message_does_not_wait_for_a_turn_that_is_gone_without_its_commit(
    one: Storage, two: Storage, clock: MovableClock
) -> None:
    await one.note_opening(opening("i.ask_to.1", person=f"+1 {LINE}"))
    await until(lambda: bool(two.conversations_in(NEW_CHAT)))
    body = text_body("yes", sender="+1", chat="7")
    message = await leased(two, Delivery("w.1", "c:7", "message.received", body, NOON))
    assert await new_chats(two, clock).admit(message) is message


async def test_a_receipt_has_a_turn_while_another_process_wants_it(url: str, clock: MovableClock) -> None:
    def receipt(name: str) -> Delivery:
        return Delivery(name, "r:1", "message.read", b'{"data":{"id":"msg"}}', NOON)

    receiver, other = PostgresStorage(url, clock=clock), PostgresStorage(url, clock=clock)
    receiver.settled = ["message.sent", "message.read"]
    async with receiver:
        await receiver.put(receipt("w.1"))
        assert await receiver.depth() == 0
        async with other:
            woken = asyncio.ensure_future(other.changed())
            stored = await asyncio.gather(*map(receiver.put, [receipt("w.2")] * 2))
            await asyncio.wait_for(woken, PATIENCE_S)
            (lease,) = await take(other)
            await other.finish(lease, ACK)
            assert (stored, lease.delivery.id) == ([True, False], "w.2")
        await receiver.put(receipt("w.3"))
        assert await receiver.depth() == 0


async def test_no_lane_is_forgotten_while_it_grows_and_loses_its_head(url: str, one: Storage, two: Storage) -> None:
    wanted = {lane: [f"w.{lane}-{n}" for n in range(30)] for lane in ("c:1", "c:2", "c:3")}
    handled: dict[str, list[str]] = {lane: [] for lane in wanted}

    async def add(lane: str) -> None:
        for name in wanted[lane]:
            await one.put(delivery(lane, name=name))

    async def remove() -> None:
        while handled != wanted:
            for lease in await take(two):
                await two.finish(lease, ACK)
                handled[lease.delivery.lane].append(lease.delivery.id)

    # The lanes are empty again and again, so that a head is removed while the next one arrives.
    await asyncio.wait_for(asyncio.gather(*map(add, wanted), remove()), PATIENCE_S)
    assert handled == wanted
    async with PostgresContents(url) as contents:
        assert await contents.problems() == []


async def test_a_process_learns_which_lanes_another_one_refused(one: Storage, two: Storage) -> None:
    heard = list[tuple[str | None, float | None]]()
    two.follow_gaps(lambda lane, since: heard.append((lane, since)))
    # Too many to be named mean any lane. The news of the refusals come before those of the next delivery.
    for count, wanted in ((120, {(f"c:{n:0>36}", None) for n in range(120)}), (300, {(None, None)})):
        for n in range(count):
            one.note_refused(f"c:{n:0>36}")
        await one.put(delivery(f"c:other-{count}"))
        async with asyncio.timeout(PATIENCE_S):
            while not heard:
                await two.changed()
            assert set(heard) == wanted, count
            while not await take(two):
                await two.changed()
        heard.clear()


async def test_a_process_learns_since_when_no_other_one_received(one: Storage, two: Storage) -> None:
    heard = asyncio.Queue[tuple[str | None, float | None]]()
    two.follow_gaps(lambda lane, since: heard.put_nowait((lane, since)))
    await one.announce_gap(NOON - 2500.0)
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == (None, NOON - 2500.0)


async def test_a_process_that_connects_again_may_have_missed_what_others_refused(url: str) -> None:
    heard = asyncio.Queue[tuple[str | None, float | None]]()
    async with PostgresStorage(url) as storage:
        storage.follow_gaps(lambda lane, since: heard.put_nowait((lane, since)))
        kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"
        async with connected(url) as stranger:
            await stranger.fetchval(kill, f"linqbot {Address.parse(url).schema}")
        assert await asyncio.wait_for(heard.get(), PATIENCE_S) == (None, None)


async def test_a_refusal_during_the_commit_of_another_is_news(
    one: Storage, two: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = list[str | None]()
    apply = Memory.apply

    def apply_late(memory: Memory, *committed: Any) -> None:
        if memory.refused == {"c:1": 1}:
            one.note_refused("c:1")
        apply(memory, *committed)

    two.follow_gaps(lambda lane, _: heard.append(lane))
    monkeypatch.setattr(Memory, "apply", apply_late)
    one.note_refused("c:1")
    await until(lambda: len(heard) >= 2)
    assert heard == ["c:1", "c:1"]


async def test_what_another_process_joined_stays_joined_where_it_was_accepted(one: Storage, two: Storage) -> None:
    first, second = delivery(), delivery()
    await one.put(first)
    await one.put(second)
    (lease,) = await take(two)
    joined = replace(lease.delivery, body=b'{"all": 2}', decoded=None)
    await two.join(lease, joined, [second.id])
    await two.finish(replace(lease, delivery=joined), Commit(Retry(NOON, "failed")))
    (again,) = await take(one)
    assert (again.delivery.id, again.delivery.body) == (first.id, joined.body)


async def test_a_process_knows_of_the_edits_that_another_one_accepted_or_keeps_when_it_leases_their_lane(
    one: Storage, two: Storage, clock: MovableClock
) -> None:
    early = await leased(one, edit("c:2"))
    await one.finish(early, Commit(Ack(), timers=[kept(early.delivery, clock.now())]))
    for each in (delivery(), edit(), delivery("c:2"), delivery("c:3")):
        await one.put(each)
    assert len(await take(two)) == 3
    assert set(two.edited) == {"c:1", "c:2"}
    assert [len(await two.edits(lane, only_early=True)) for lane in ("c:1", "c:2")] == [1, 1]


async def test_a_copy_that_another_process_accepted_is_a_duplicate(one: Storage, two: Storage) -> None:
    copies = [storage.put(delivery(name="w.1", message_key="m.1")) for storage in (one, two) * 10]
    assert (await asyncio.gather(*copies)).count(True) == 1


async def test_a_lane_is_never_leased_by_two_processes(one: Storage, two: Storage) -> None:
    handled: dict[str, list[str]] = {}

    async def put(storage: Storage, name: str) -> None:
        for n in range(20):
            await storage.put(delivery(f"c:{n % 4}", name=f"w.{name}{n}"))

    async def work(storage: Storage) -> None:
        while sum(map(len, handled.values())) < 40:
            for lease in await take(storage, 2):
                handled.setdefault(lease.delivery.lane, []).append(lease.delivery.id)
                await asyncio.sleep(0)
                await storage.finish(lease, ACK)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(put(one, "a"), put(two, "b"), work(one), work(two))
    for lane, ids in handled.items():
        for name in "ab":
            own = [int(each[3:]) for each in ids if each[2] == name]
            assert own == sorted(own), lane
    assert len({one for ids in handled.values() for one in ids}) == 40


async def waiting_transactions(connection: asyncpg.Connection[asyncpg.Record], count: int, url: str) -> None:
    """Wait until so many transactions of a storage wait for others."""
    name = f"linqbot {url.rpartition('schema=')[2]}"
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1"
    async with asyncio.timeout(PATIENCE_S):
        while await connection.fetchval(sql, name) < count:
            await asyncio.sleep(0.01)


async def test_deliveries_of_a_lane_become_visible_in_their_order(url: str, one: Storage, two: Storage) -> None:
    async with connected(url) as stranger:
        held_up = stranger.transaction()
        await held_up.start()
        # The transaction that stores w.first waits for this one, with its place in the lane already taken.
        await stranger.execute("INSERT INTO seen VALUES ('m.held-up', 'w.other', 0)")
        first = asyncio.ensure_future(one.put(delivery("c:1", name="w.first", message_key="m.held-up")))
        await waiting_transactions(stranger, 1, url)
        second = asyncio.ensure_future(two.put(delivery("c:1", name="w.second")))
        await waiting_transactions(stranger, 2, url)
        assert not second.done()
        await held_up.rollback()
    assert all(await asyncio.gather(first, second))
    assert await taken(two) == ["w.first"]


async def test_two_processes_cannot_both_write_the_first_value_of_a_state(one: Storage, two: Storage) -> None:
    for lane in ("c:1", "c:2"):
        await one.put(delivery(lane))
    (first,), (second,) = await take(one, 1), await take(two, 1)
    write = [StateWrite("bot", "a", b"1", expected=None)]
    ends = await asyncio.gather(
        one.finish(first, Commit(Ack(), state=write)),
        two.finish(second, Commit(Ack(), state=write)),
        return_exceptions=True,
    )
    assert sorted(str(type(end)) for end in ends) == sorted([str(type(None)), str(StateConflict)])


async def test_a_conversation_is_known_to_the_process_that_leases_its_answer(one: Storage, two: Storage) -> None:
    await handle(one, delivery(name="w.root"), commit=Commit(Ack(), conversations=[asked()]))
    await one.put(delivery("c:1", name="w.answer"))
    (answer,) = await take(two)
    assert two.conversations_in("1") == (asked().summary,)
    await two.finish(answer, Commit(Ack(), ended=["w.root"]))
    await two.put(delivery("c:1", name="w.more"))
    (more,) = await take(one)
    assert one.conversations_in("1") == ()
    await one.finish(more, ACK)


async def test_a_conversation_of_another_process_is_found_by_its_person(one: Storage, two: Storage) -> None:
    await handle(one, delivery(name="w.root"), commit=Commit(Ack(), conversations=[asked()]))
    await until(lambda: two.conversations_of("+1"))


async def test_an_earlier_timer_of_another_process_is_known(one: Storage, two: Storage) -> None:
    await one.schedule(Timer("late", NOON + 90, "c:1", "send", b"{}"))
    assert await one.next_timer() == NOON + 90
    woken = asyncio.ensure_future(one.changed())
    await asyncio.sleep(0)
    await two.schedule(Timer("early", NOON + 30, "c:1", "send", b"{}"))
    await asyncio.wait_for(woken, PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        while await one.next_timer() != NOON + 30:
            await one.changed()


async def test_due_timers_fire_in_one_process_only(one: Storage, two: Storage, clock: MovableClock) -> None:
    for n in range(10):
        await one.schedule(Timer(str(n), NOON, f"c:{n}", "send", b"{}"))
    fired = await asyncio.gather(*(storage.fire(clock.now()) for storage in (one, two)))
    assert sum(fired) == 10
    assert await one.depth() == 10


async def test_a_due_timer_that_one_process_holds_wakes_no_other(url: str, one: Storage, two: Storage) -> None:
    await one.schedule(Timer("t", NOON, "c:1", "send", b"{}"))
    while await is_woken(two):
        pass
    async with connected(url) as other, other.transaction():
        await other.execute("SELECT FROM timer FOR UPDATE")
        assert await one.fire(NOON) == 0
        assert await one.next_timer() == NOON
        assert not await is_woken(two)
        await other.execute("DELETE FROM timer")
    # A process that finds nothing to fire reads the next time again.
    assert await one.fire(NOON) == 0
    assert await one.next_timer() is None


async def test_a_timer_does_not_wait_for_the_lock_of_broadcasts(url: str, one: Storage) -> None:
    await one.schedule(Timer("t", NOON, "c:1", "send", b"{}"))
    async with connected(url) as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", Address.parse(url).lock("broadcasts"))
        assert await asyncio.wait_for(one.fire(NOON), PATIENCE_S) == 1


async def test_a_command_writes_beside_the_server_and_wakes_it(url: str, one: Storage, clock: MovableClock) -> None:
    async with PostgresStorage(url, clock=clock, serving=False) as command:
        woken = asyncio.ensure_future(one.changed())
        await command.put(delivery())
        await asyncio.wait_for(woken, PATIENCE_S)
        with pytest.raises(StorageError, match="serving=False"):
            await command.take(1, lease_s=60)
    assert len(await take(one)) == 1


KILLED = """
import asyncio, sys
from linqbot.clock import MovableClock
from linqbot_postgres.storage import PostgresStorage

async def main() -> None:
    async with PostgresStorage(sys.argv[1], clock=MovableClock(1_800_000_000.0, frozen=True)) as storage:
        leases = await storage.take(int(sys.argv[2]), lease_s=60)
        print(len(leases), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def killed_with_leases(url: str, count: int) -> None:
    """Lease deliveries in another process, and kill it."""
    process, said = forked(KILLED, url, count)
    with said:
        assert int(await asyncio.to_thread(said.readline)) == count
    process.kill()
    await asyncio.to_thread(process.join)
    await gone(url)


async def gone(url: str) -> None:
    """Wait until the server has noticed that a process has died, and runs long enough to tell it from one that reconnects."""
    free = "SELECT count(*) FROM process WHERE pg_try_advisory_lock(lock)"
    is_young = "SELECT clock_timestamp() - pg_postmaster_start_time() < interval '10 s'"
    async with connected(url) as stranger, asyncio.timeout(PATIENCE_S):
        while not await stranger.fetchval(free) or await stranger.fetchval(is_young):
            await asyncio.sleep(0.02)


async def test_the_next_start_counts_a_crash_of_a_process(url: str, one: Storage, clock: MovableClock) -> None:
    await one.put(delivery(name="w.1"))
    await killed_with_leases(url, 1)
    assert await take(one) == []
    async with PostgresStorage(url, clock=clock) as started:
        (lease,) = await take(started)
        assert (lease.delivery.id, lease.crashes, lease.attempts) == ("w.1", 1, 0)
        await started.finish(lease, ACK)


async def test_a_running_process_takes_over_the_lanes_of_a_killed_one(
    url: str, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "SWEEP_S", 0.2)
    async with PostgresStorage(url, clock=clock) as running:
        await running.put(delivery(name="w.1"))
        await killed_with_leases(url, 1)
        async with asyncio.timeout(PATIENCE_S):
            while not (leases := await take(running)):
                await running.changed()
        assert [(lease.delivery.id, lease.crashes) for lease in leases] == [("w.1", 1)]
        await running.finish(leases[0], ACK)


async def test_after_two_crashes_a_delivery_runs_alone(url: str, one: Storage, clock: MovableClock) -> None:
    for n in range(3):
        await one.put(delivery(f"c:{n}", name=f"w.{n}"))
    for _ in range(2):
        await killed_with_leases(url, 3)
        await open_and_close(PostgresStorage(url, clock=clock))  # It counts the crash.
    alone = await leased(one, delivery("c:new", name="w.new"), limit=10)
    assert (alone.delivery.id, alone.crashes) == ("w.0", 0)
    assert await take(one) == []
    await one.finish(alone, Commit(Retry(clock.now() + 100, "Boom")))
    (second,) = await take(one)
    assert second.delivery.id == "w.1"
    await one.finish(second, ACK)
    await one.finish(await leased(one, limit=10), ACK)
    assert await taken(one) == ["w.new"]


async def test_a_step_of_a_broadcast_is_made_by_one_process(one: Storage, two: Storage, clock: MovableClock) -> None:
    woken = asyncio.ensure_future(two.changed())
    await one.start_broadcast(NewBroadcast("july", "+12025550100", 20, b"[]", NOON), ["+1", "+2", "+3"])
    await asyncio.wait_for(woken, PATIENCE_S)
    assert await two.next_timer() == 0.0
    for n in range(3):
        advanced = await asyncio.gather(*(storage.fire(clock.now()) for storage in (one, two)))
        assert sorted(advanced) == [0, 1], n
        clock.advance(3)
    assert await one.depth() == 3


async def test_a_process_that_stops_wakes_others_for_its_lanes(one: Storage, two: Storage, clock: MovableClock) -> None:
    for n in range(3):
        await one.put(delivery(name=f"w.{n}"))
    (lease,) = await take(one)
    assert await take(two) == []
    while await is_woken(two):
        pass
    one.end_leasing()
    while await is_woken(two):
        pass
    await one.finish(lease, ACK)
    await asyncio.wait_for(two.changed(), PATIENCE_S)
    (lease,) = await take(two)
    assert lease.delivery.id == "w.1"
    await two.finish(lease, Commit(Retry(clock.now(), "Boom")))
    await one.finish(await leased(one, limit=10), Commit(Defer(clock.now(), "stopped")))
    await asyncio.wait_for(two.changed(), PATIENCE_S)


async def test_a_process_that_stops_wakes_others_for_the_turn_that_ended_last(one: Storage, two: Storage) -> None:
    for n in range(2):
        await one.put(delivery(name=f"w.{n}"))
    (lease,) = await take(one)
    while await is_woken(two):
        pass
    await one.finish(lease, ACK)
    assert not await is_woken(two)
    one.end_leasing()
    await asyncio.wait_for(two.changed(), PATIENCE_S)
    assert await handle_all(two) == ["w.1"]


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SWEEP_S", 3600.0)


@pytest.mark.usefixtures("unswept")
async def test_a_deferred_turn_wakes_those_who_may_handle_it(one: Storage, two: Storage, clock: MovableClock) -> None:
    await one.put(delivery(name="w.1"))
    (lease,) = await take(one)
    assert await take(two) == []
    while await is_woken(two):
        pass
    await one.finish(lease, Commit(Defer(clock.now() + 1, "It is in another release.")))
    await asyncio.wait_for(two.changed(), PATIENCE_S)
    assert await take(two) == []
    due = await two.next_due()
    assert due is not None
    assert due < clock.now() + 2


async def is_woken(storage: Storage) -> bool:
    """Tell whether a notification comes: one that was sent with the last commit arrives within milliseconds."""
    try:
        await asyncio.wait_for(storage.changed(), 0.5)
    except TimeoutError:
        return False
    return True


async def test_while_there_are_suspects_all_processes_find_work(url: str, one: Storage, two: Storage) -> None:
    for n in range(40):
        await one.put(delivery(f"c:{n}"))
    async with connected(url) as connection:
        await connection.execute("UPDATE delivery SET max_concurrent_suspects = 9 WHERE seq % 2 = 0")
    for _ in range(5):
        found = await asyncio.gather(*(storage.take(1, lease_s=60) for storage in (one, two)))
        assert [len(leases) for leases in found] == [1, 1]


async def test_a_commit_that_fails_next_to_a_sweep_leaves_the_lease_with_its_turn(
    url: str, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "SWEEP_S", 0.01)
    await open_and_close(PostgresStorage(url, clock=clock))  # makes the tables
    async with connected(url) as connection:
        await connection.execute(
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
               CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON body DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION refuse()"""
        )
        async with PostgresStorage(url, clock=clock) as storage:
            lease = await leased(storage, delivery(), limit=10)
            for _ in range(60):
                with pytest.raises(StorageUnavailable):
                    await storage.finish(lease, ACK)
            await connection.execute("DROP TRIGGER refuse ON body")
            for _ in range(5):
                await storage.changed()
            assert await take(storage) == []
            await storage.finish(lease, ACK)
        await connection.execute("DROP FUNCTION refuse CASCADE")


@pytest.fixture
async def own_database() -> AsyncIterator[str]:
    """The URL of a database of its own, whose statistics count nothing of other tests."""
    name = f"own_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    base = server_url()
    execute(base, f"DROP DATABASE IF EXISTS {name} WITH (FORCE); CREATE DATABASE {name}", one_by_one=True)
    parts = urlsplit(base)
    yield urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))
    execute(base, f"DROP DATABASE {name} WITH (FORCE)")


async def test_ends_and_puts_in_the_same_chats_make_no_deadlock(own_database: str, clock: MovableClock) -> None:
    async with PostgresStorage(own_database, clock=clock) as one, PostgresStorage(own_database, clock=clock) as two:
        for _ in range(25):
            await one.put(delivery("c:1"))
            await two.put(delivery("c:2"))
            leases = {lease.delivery.lane: lease for lease in await take(one)}
            # Each ends what the other adds to, in one commit.
            await asyncio.gather(
                *(one.finish(leases["c:1"], ACK), one.put(delivery("c:2"))),
                *(two.finish(leases["c:2"], ACK), two.put(delivery("c:1"))),
            )
            for lease in [*await take(one), *await take(one)]:
                await one.finish(lease, ACK)
        assert await one.depth() == 0
    assert await _deadlocks(own_database) == 0


async def test_copies_for_two_processes_make_no_deadlock(own_database: str, clock: MovableClock) -> None:
    async with PostgresStorage(own_database, clock=clock) as one, PostgresStorage(own_database, clock=clock) as two:
        for _ in range(10):
            first, second = delivery("c:1"), delivery("c:2")
            puts = [(one, first), (one, first), (one, second), (two, second), (two, second), (two, first)]
            # While another delivery is being written, those of each process wait for the same commit.
            writing = [asyncio.ensure_future(each.put(delivery("c:3"))) for each in (one, two)]
            await asyncio.sleep(0)
            _, _, *new = await asyncio.gather(*writing, *(each.put(arriving) for each, arriving in puts))
            assert sum(new) == 2
    assert await _deadlocks(own_database) == 0


async def _deadlocks(database: str) -> int:
    # A session reports what it counted when it ends.
    async with connected(database) as connection:
        sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(await connection.fetchval(sql))


@pytest.mark.parametrize("ahead_s", [-290.0, -0.02, 290.0])
async def test_timers_keep_their_times_on_any_clock(url: str, monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    async def ahead(_: object) -> float:
        return ahead_s

    monkeypatch.setattr(processes, "ahead", ahead)
    now = time.time()
    async with PostgresStorage(url) as storage:
        await storage.schedule(Timer("once", now + 60, "c:1", "send", b"{}"))
        found = await storage.timer("once")
        assert found is not None
        assert found.due == pytest.approx(now + 60)
        assert [timer.due for timer in await storage.scheduled()] == [pytest.approx(now + 60)]
        assert await storage.next_timer() == pytest.approx(now + 60, abs=0.1)
        assert (await storage.fire(now + 59), await storage.fire(now + 61)) == (0, 1)

        # A tick is a time of day, for each clock.
        tick = round(now + ahead_s) + 120.0
        await storage.schedule(Timer("daily", tick, "s:daily", "schedule", b"{}"))
        assert await storage.fire(tick - ahead_s) == 1
        fired = [lease.delivery for lease in await storage.take(9, lease_s=60)]
        (daily,) = [each for each in fired if each.lane == "s:daily"]
        assert daily.received_at >= tick


async def test_the_defaults_of_a_role_change_nothing(url: str) -> None:
    await open_and_close(PostgresStorage(url))
    role = f"careful{secrets.token_hex(4)}"
    careful = as_role(url, role)
    async with connected(url) as base:
        await base.execute(f"""CREATE ROLE {role} LOGIN SUPERUSER;
            ALTER ROLE {role} SET default_transaction_isolation = 'serializable';
            ALTER ROLE {role} SET idle_session_timeout = 200;
            ALTER ROLE {role} SET statement_timeout = 300;
            ALTER ROLE {role} SET lock_timeout = 1;
            ALTER ROLE {role} SET standard_conforming_strings = off""")
        if base.get_server_version().major >= 17:
            await base.execute(f"ALTER ROLE {role} SET transaction_timeout = 300")
        async with PostgresStorage(careful) as storage:
            await storage.write_state([StateWrite("bot", "a", b"1")])
            async with base.transaction():
                await base.execute("LOCK TABLE state IN ACCESS EXCLUSIVE MODE")
                waiting = asyncio.ensure_future(storage.write_state([StateWrite("bot", "a", b"2")]))
                # Longer than the role's limits for a lock, a statement and a transaction.
                await base.execute("SELECT pg_sleep(0.5)")
            await waiting
            assert await storage.load("bot") == {"a": b"2"}
        connection = await Address.parse(careful).connect()
        assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
        assert await connection.fetchval("SHOW idle_session_timeout") == "0"
        await connection.close()
        await base.execute(f"DROP ROLE {role}")


async def test_only_one_of_two_processes_uses_the_room_of_a_day(one: Storage, two: Storage) -> None:
    def decide(known: Standing, key: str) -> tuple[Decision, None]:
        verdict: Verdict = "refused" if known.reaches_at else "sent"
        return Decision(key, NOON, verdict, "promotional", "", key, "+1", "+2"), None

    async def judge(storage: Storage, key: str) -> Verdict:
        asked = AskedCall(key, key, "+1", NOON, NOON - 1, "+2", 7000)
        return (await storage.judge(asked, lambda known: decide(known, key))).verdict

    verdicts = await asyncio.gather(*(judge(storage, f"k-{n}") for n, storage in enumerate([one, two] * 10)))
    assert sorted(verdicts) == ["refused"] * 19 + ["sent"]
