"""The contract of the inbox, with every backend, as far as `test_inbox_model.py` does not hold it already."""

from __future__ import annotations

import asyncio

import pytest
from patience import PATIENCE_S
from storage.conftest import NOON, asked, delivery, entry, handle_all, is_woken, leased, passes, take, taken

from linqbot.branch import begin_turn, follow_tasks
from linqbot.clock import MovableClock
from linqbot.errors import BotError, LaneFull, LeaseLost, StorageBusy
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast, RecipientUpdate
from linqbot.storage.inbox import SEEN_KEPT_S, Ack, Commit, Lease, Retry
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Rearm, Timer

ACK = Commit(Ack())


async def test_a_delivery_is_taken_unchanged(storage: Storage) -> None:
    put = delivery("c:ü", message_key="m.1", body=b"\x00\xff not json")
    assert await storage.put(put) is True
    lease = await leased(storage, limit=10)
    assert lease.delivery is put
    assert lease.delivery.decoded == {"id": put.id}
    assert (lease.attempts, lease.crashes, lease.is_first_run) == (0, 0, True)


async def test_a_call_from_another_event_loop_is_refused_and_later_ones_do_not_wait_for_it(storage: Storage) -> None:
    async def elsewhere() -> None:
        with pytest.raises(BotError, match="another event loop than the bot"):
            await storage.begin(entry("w.1"))

    await asyncio.to_thread(asyncio.run, elsewhere())
    async with asyncio.timeout(PATIENCE_S):
        assert await storage.put(delivery())


async def test_duplicates_among_other_deliveries_are_dropped_alone(storage: Storage) -> None:
    await storage.put(delivery(name="w.1", message_key="m.1"))
    together = [
        delivery("c:2", name="w.2", message_key="m.2"),
        delivery("c:1", name="w.1"),
        delivery("c:3", name="w.3", message_key="m.1"),
        delivery("c:4", name="w.4", message_key="m.2"),
        delivery("c:5", name="w.5", message_key="m.5"),
    ]
    assert await asyncio.gather(*map(storage.put, together)) == [True, False, False, False, True]
    # What was dropped has left nothing behind that would refuse another message.
    assert await storage.put(delivery("c:6", name="w.3", message_key="m.6"))
    assert await taken(storage) == ["w.1", "w.2", "w.5", "w.3"]


async def test_duplicates_are_forgotten_after_a_day(storage: Storage, clock: MovableClock) -> None:
    await storage.finish(await leased(storage, delivery(name="w.1", message_key="m.1"), limit=10), ACK)
    await passes(SEEN_KEPT_S + 61, storage, clock)
    assert await storage.put(delivery(name="w.1", message_key="m.1")) is True


async def test_a_clock_ahead_makes_the_storage_forget_no_duplicate(storage: Storage, clock: MovableClock) -> None:
    await storage.finish(await leased(storage, delivery(name="w.1", message_key="m.1")), ACK)
    clock.advance(3 * SEEN_KEPT_S)  # a webhook's signature would be refused as too old now
    await storage.put(delivery("c:2", name="p.1"))
    clock.advance(-3 * SEEN_KEPT_S)
    assert await storage.put(delivery(name="w.1", message_key="m.1")) is False


async def test_concurrent_puts_are_accepted_in_the_order_in_which_they_began(storage: Storage) -> None:
    names = [f"w.{n}" for n in range(5)]
    await asyncio.gather(*(storage.put(delivery(name=name)) for name in names))
    assert await handle_all(storage) == names


async def test_takes_at_the_same_time_never_share_a_lane(storage: Storage) -> None:
    for n in range(4):
        await storage.put(delivery(f"c:{n}", name=f"w.{n}"))
    taken = await asyncio.gather(*(take(storage, 1) for _ in range(6)))
    assert sorted(lease.delivery.id for leases in taken for lease in leases) == ["w.0", "w.1", "w.2", "w.3"]


async def test_the_end_of_a_turn_under_a_lost_lease_stores_nothing(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(Timer("kept", NOON + 900, "c:1", "send", b"{}"))
    await storage.start_broadcast(NewBroadcast("july", "+12025550100", 20, b"[]", NOON), ["+1"])
    await storage.fire(NOON)
    lost = await leased(storage)
    clock.advance(60)
    held = await leased(storage)
    commit = Commit(
        Ack(),
        entries=[entry("w.1", status="accepted")],
        state=[StateWrite("bot", "a", b"1")],
        timers=[Timer("t", NOON + 300, "c:1", "send", b"{}")],
        cancelled=["kept"],
        rearmed=[Rearm("kept", NOON + 900, NOON + 300)],
        conversations=[asked("w.1")],
        recipients=[RecipientUpdate("july", 1, "refused", None)],
    )
    with pytest.raises(LeaseLost):
        await storage.finish(lost, commit)
    assert (await storage.entries("w.1"), await storage.load("bot"), await storage.conversations()) == ([], {}, [])
    assert [(each.id, each.due) for each in await storage.scheduled()] == [("kept", NOON + 900)]
    assert [each.outcome for each in await storage.recipients("july")] == ["under_way"]
    await storage.finish(held, ACK)


async def test_of_two_finishes_at_once_one_is_lost(storage: Storage) -> None:
    lease = await leased(storage, delivery(), limit=10)
    outcomes = await asyncio.gather(storage.finish(lease, ACK), storage.finish(lease, ACK), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LeaseLost]
    assert await storage.depth() == 0


async def test_a_lease_that_is_not_finished_when_the_storage_closes_counts_as_a_crash(closed_storage: Storage) -> None:
    counted, lost = [], list[Lease]()
    for progress in (None, 0, 0, 2, 2, 3, 3, 3):
        async with closed_storage as storage:
            if progress is None:
                await storage.put(delivery())
            lease = await leased(storage, limit=10)
            for old in lost:
                with pytest.raises(LeaseLost):
                    await storage.finish(old, ACK)
            lost = [lease]
            if progress is not None:
                counted.append((lease.crashes, await storage.note_progress(lease, progress)))
    # With the crashes before the turn last went on.
    assert counted == [(1, 0), (2, 0), (3, 3), (4, 3), (5, 5), (6, 5), (7, 5)]


async def test_a_turn_whose_lease_is_over_notes_no_progress(storage: Storage, clock: MovableClock) -> None:
    old = await leased(storage, delivery(), limit=10)
    clock.advance(60)
    new = await leased(storage, limit=10)
    with pytest.raises(LeaseLost):
        await storage.note_progress(old, 7)
    assert await storage.note_progress(new, 7) == 1


async def test_a_lease_may_be_longer_than_any_process_lives(storage: Storage) -> None:
    await storage.put(delivery("c:1"))
    (first,) = await take(storage, lease_s=1e10)
    await storage.put(delivery("c:2"))
    (second,) = await take(storage, lease_s=1e300)
    for lease in (first, second):
        await storage.finish(lease, Commit(Ack()))
    assert await storage.depth() == 0


async def test_changed_returns_once_for_a_put_and_for_an_end_and_not_for_a_duplicate(storage: Storage) -> None:
    assert not await is_woken(storage)
    await storage.put(delivery(name="w.1"))
    assert await is_woken(storage)
    await storage.put(delivery(name="w.1"))
    assert not await is_woken(storage)
    await storage.finish(await leased(storage), ACK)
    assert await is_woken(storage)
    assert not await is_woken(storage)


async def test_a_copy_of_a_refused_delivery_is_refused_too(storage: Storage) -> None:
    for n in range(5):
        await storage.put(delivery("c:full", name=f"w.{n}"))
    copies = [delivery("c:full", name="w.late", message_key="m.late") for _ in range(3)]
    outcomes = await asyncio.gather(*map(storage.put, copies), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LaneFull] * 3
    await storage.finish(await leased(storage), ACK)
    assert await storage.put(copies[0])


async def test_a_full_backlog_refuses_deliveries(storage: Storage) -> None:
    put = (storage.put(delivery(f"c:{n}")) for n in range(25))
    outcomes = await asyncio.gather(*put, return_exceptions=True)
    assert outcomes.count(True) == 20
    assert sum(type(outcome) is StorageBusy for outcome in outcomes) == 5
    assert await storage.depth() == 20


async def test_a_check_fails_if_no_delivery_could_be_stored(storage: Storage) -> None:
    for n in range(20):
        await storage.check()
        await storage.put(delivery(f"c:{n}"))
    with pytest.raises(StorageBusy, match="backlog is full"):
        await storage.check()
    await storage.finish(await leased(storage), ACK)
    await storage.check()
    assert storage.trouble is None


async def test_a_lane_accepts_no_more_of_concurrent_puts_than_fit(storage: Storage) -> None:
    outcomes = await asyncio.gather(*(storage.put(delivery()) for _ in range(8)), return_exceptions=True)
    assert outcomes[:5] == [True] * 5
    assert all(isinstance(outcome, StorageBusy) for outcome in outcomes[5:])


async def test_a_cancelled_put_is_stored_or_not_but_never_half(storage: Storage) -> None:
    for n in range(3):
        putting = asyncio.ensure_future(storage.put(delivery(f"c:{n}", name=f"w.{n}")))
        await asyncio.sleep(0)
        putting.cancel()
        await asyncio.wait([putting])
    again = [await storage.put(delivery(f"c:{n}", name=f"w.{n}")) for n in range(3)]
    assert await storage.depth() == 3
    assert len(again) == 3
    assert sorted(await taken(storage)) == ["w.0", "w.1", "w.2"]


async def test_a_delivery_with_its_carrier_survives_restarts(closed_storage: Storage) -> None:
    puts = [delivery("c:1", message_key="m.1", body=b"\x00", carrier='{"trace":"é"}'), delivery("c:2")]
    async with closed_storage as storage:
        for put in puts:
            await storage.put(put)
    for _ in range(2):
        async with closed_storage as storage:
            leases = await take(storage)
            assert [each.delivery for each in leases] == puts
            await storage.finish(leases[0], Commit(Retry(0.0, "?")))


async def test_the_task_that_writes_is_none_of_the_turn_that_calls_the_storage(storage: Storage) -> None:
    loop = asyncio.get_running_loop()
    follow_tasks(loop)
    try:
        turn = begin_turn()
        await storage.put(delivery())
        assert not turn.has_children
    finally:
        loop.set_task_factory(None)
