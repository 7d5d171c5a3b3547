"""The contract of broadcasts, with every backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from storage.conftest import NOON, delivery, is_woken, leased

from linqbot import Broadcast
from linqbot.clock import MovableClock
from linqbot.linq.types.proactive import RecipientOutcome
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import AT_ONCE, NewBroadcast, RecipientUpdate
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease
from linqbot.storage.timers import Timer

LINE = "+12025550100"
PEOPLE = ["+14155550101", "+14155550102", "ann@example.com"]
LANE = "c:11111111-1111-4111-8111-111111111111"
WAITS = RecipientUpdate("july", 1, "pending", "quiet hours", NOON + 3600)


def new(name: str = "july", *, line: str = LINE, per_minute: float = 20, **changes: Any) -> NewBroadcast:
    return NewBroadcast(name, line, per_minute, b'[{"parts":[{"type":"text","value":"hi"}]}]', NOON, **changes)


def facts(broadcast: Broadcast | None) -> dict[str, Any]:
    """Return the status, and the counts that are not 0."""
    assert broadcast is not None
    names = ("people", "sent", "opted_out", "refused", "failed", "cancelled", "pending")
    return {"status": broadcast.status} | {name: n for name in names if (n := getattr(broadcast, name))}


async def under_way(storage: Storage) -> Lease:
    """Lease the one delivery that is ready."""
    (lease,) = await storage.take(10, lease_s=60)
    return lease


async def first_turn(storage: Storage, people: Sequence[str] = PEOPLE, **changes: Any) -> Lease:
    """Start a broadcast, and lease the delivery of its first person."""
    await storage.start_broadcast(new(**changes), people)
    await storage.fire(NOON)
    return await under_way(storage)


async def advance(storage: Storage, clock: MovableClock, after_s: float = 3) -> Lease:
    """Make the next step when the pace allows it, and lease its delivery."""
    clock.advance(after_s)
    assert await storage.fire(clock.now()) == 1
    return await under_way(storage)


async def end(storage: Storage, lease: Lease, outcome: RecipientOutcome = "sent", reason: str | None = None) -> None:
    """End the turn of a delivery of a broadcast with the outcome of its person."""
    body = json.loads(lease.delivery.body)
    update = RecipientUpdate(body["broadcast"], body["n"], outcome, reason)
    await storage.finish(lease, Commit(Ack(), recipients=[update]))


async def give_up(storage: Storage, lease: Lease, n: int) -> None:
    """Give up the delivery of a person."""
    await storage.finish(lease, Commit(DeadLetter("no"), recipients=[RecipientUpdate("july", n, "failed", "no")]))


async def test_a_broadcast_is_stored_once_with_its_people_in_order(storage: Storage) -> None:
    assert await storage.next_timer() is None
    assert await storage.start_broadcast(new(), PEOPLE)
    assert await is_woken(storage)
    assert not await storage.start_broadcast(new(per_minute=1), ["+14155550109"])
    july = await storage.broadcast("july")
    assert july == Broadcast("july", "running", LINE, 20, datetime.fromtimestamp(NOON, UTC), people=3, pending=3)
    assert [one.handle for one in await storage.recipients("july")] == PEOPLE
    assert [one.n for one in await storage.recipients("july", after=1, limit=1)] == [2]
    assert await storage.broadcast("august") is None
    assert await storage.recipients("august") == []


async def test_the_next_person_becomes_a_delivery_when_it_is_time(storage: Storage, clock: MovableClock) -> None:
    await storage.start_broadcast(new(), PEOPLE)
    assert await storage.next_timer() == 0.0
    assert await storage.fire(clock.now()) == 1
    assert await storage.next_timer() == NOON + 3
    assert await storage.fire(NOON + 2.9) == 0
    lease = await under_way(storage)
    assert (lease.delivery.id, lease.delivery.type) == ("i.broadcast.july.1", "linqbot.broadcast")
    assert json.loads(lease.delivery.body) == {
        "broadcast": "july",
        "n": 1,
        "from": LINE,
        "to": PEOPLE[0],
        "purpose": "promotional",
        "messages": [{"parts": [{"type": "text", "value": "hi"}]}],
    }
    assert (await advance(storage, clock)).delivery.id == "i.broadcast.july.2"
    assert [one.outcome for one in await storage.recipients("july")] == ["under_way", "under_way", "pending"]


async def test_a_late_step_is_made_once_and_is_not_caught_up(storage: Storage, clock: MovableClock) -> None:
    await storage.start_broadcast(new(), PEOPLE)
    await storage.fire(clock.now())
    clock.advance(3600)
    assert await storage.fire(clock.now()) == 1
    assert await storage.fire(clock.now()) == 0
    assert await storage.next_timer() == NOON + 3603


async def test_timers_that_are_due_hold_up_no_step(storage: Storage, clock: MovableClock) -> None:
    await storage.start_broadcast(new(), PEOPLE)
    for n in range(3):
        await storage.schedule(Timer(str(n), NOON, f"c:{n}", "send", b"{}"))
    assert await storage.fire(clock.now(), limit=2) == 3
    ids = [lease.delivery.id for lease in await storage.take(10, lease_s=60)]
    assert ids == ["i.broadcast.july.1", "i.send.0", "i.send.1"]
    assert await storage.next_timer() == NOON
    assert await storage.fire(clock.now(), limit=2) == 1
    assert await storage.next_timer() == NOON + 3


async def test_outcomes_are_counted_and_the_last_one_ends_the_broadcast(storage: Storage, clock: MovableClock) -> None:
    await end(storage, await first_turn(storage, [*PEOPLE, "+14155550104"]), "refused", "403/2012: no")
    await end(storage, await advance(storage, clock), "sent")
    await end(storage, await advance(storage, clock), "opted_out")
    await give_up(storage, await advance(storage, clock), 4)
    counts = {"people": 4, "sent": 1, "opted_out": 1, "refused": 1, "failed": 1}
    assert facts(await storage.broadcast("july")) == {"status": "running"} | counts
    assert await storage.next_timer() == 0.0
    ended = await advance(storage, clock, 0)
    assert facts(await storage.broadcast("july")) == {"status": "done"} | counts
    assert (ended.delivery.id, ended.delivery.type) == ("i.broadcast_done.july", "linqbot.broadcast_done")
    assert json.loads(ended.delivery.body)["data"] == {
        "name": "july",
        "line": LINE,
        "was_cancelled": False,
        "began_at": "2027-01-15T08:00:00Z",
        "cancelled": 0,
        **counts,
    }
    await storage.finish(ended, Commit(Ack()))
    assert (await storage.next_timer(), await storage.fire(clock.now())) == (None, 0)
    refused, failed = [
        one for outcome in ("refused", "failed") for one in await storage.recipients("july", outcome=outcome)
    ]
    assert (refused.n, refused.reason, refused.at) == (1, "403/2012: no", datetime.fromtimestamp(NOON, UTC))
    assert (failed.n, failed.reason) == (4, "no")


async def test_the_retry_of_a_person_who_failed_corrects_the_outcome(storage: Storage, clock: MovableClock) -> None:
    await give_up(storage, await first_turn(storage, PEOPLE[:1]), 1)
    await storage.finish(await advance(storage, clock), Commit(Ack()))
    assert await storage.retry(["i.broadcast.july.1"]) == 1
    await end(storage, await under_way(storage))
    assert facts(await storage.broadcast("july")) == {"status": "done", "people": 1, "sent": 1}
    assert await storage.next_timer() is None


async def test_a_person_who_must_wait_keeps_no_other_waiting(storage: Storage, clock: MovableClock) -> None:
    first = await first_turn(storage, PEOPLE[:2])
    await storage.start_broadcast(new("august"), PEOPLE[2:])
    await storage.finish(first, Commit(Ack(), recipients=[WAITS]))
    for name in ("july.2", "august.1"):
        lease = await advance(storage, clock)
        assert lease.delivery.id == f"i.broadcast.{name}"
        await end(storage, lease)
    await storage.finish(await advance(storage, clock, 0), Commit(Ack()))  # the end of the second one
    assert facts(await storage.broadcast("july")) == {"status": "running", "people": 2, "sent": 1, "pending": 1}
    (waiting,) = await storage.recipients("july", outcome="pending")
    assert (waiting.n, waiting.reason) == (1, "quiet hours")
    assert await storage.next_timer() == pytest.approx(NOON + 3600, abs=1)
    lease = await advance(storage, clock, 3600)
    assert lease.delivery.id.startswith("i.broadcast.july.1~")
    await end(storage, lease)
    await storage.fire(clock.now())
    assert facts(await storage.broadcast("july")) == {"status": "done", "people": 2, "sent": 2}


async def test_a_person_who_waits_is_not_reached_after_a_cancellation(storage: Storage, clock: MovableClock) -> None:
    lease = await first_turn(storage, PEOPLE[:1])
    await storage.order_broadcast("july", "cancel")
    await storage.finish(lease, Commit(Ack(), recipients=[WAITS]))
    await storage.fire(clock.now())
    assert facts(await storage.broadcast("july")) == {"status": "cancelled", "people": 1, "cancelled": 1}


async def test_the_broadcasts_of_a_line_go_out_in_turn_at_one_pace(storage: Storage, clock: MovableClock) -> None:
    await storage.start_broadcast(new("july"), PEOPLE[:1])
    await storage.start_broadcast(new("august"), PEOPLE)
    await storage.start_broadcast(new("elsewhere", line="+12025550101"), PEOPLE)
    assert await storage.fire(clock.now()) == 2
    leases = await storage.take(10, lease_s=60)
    assert [lease.delivery.id for lease in leases] == ["i.broadcast.july.1", "i.broadcast.elsewhere.1"]
    for lease in leases:
        await end(storage, lease)
    # The end of July is noted at once. Its pace still holds for August.
    assert await storage.fire(clock.now()) == 1
    assert await storage.next_timer() == NOON + 3
    clock.advance(3)
    assert await storage.fire(clock.now()) == 2
    assert [one.name for one in await storage.broadcasts(limit=2)] == ["elsewhere", "august"]


async def test_few_people_of_a_line_are_under_way_at_once(storage: Storage, clock: MovableClock) -> None:
    await storage.start_broadcast(new(), [f"+1415555{n:04}" for n in range(AT_ONCE + 2)])
    for _ in range(AT_ONCE):
        assert await storage.fire(clock.now()) == 1
        clock.advance(3)
    assert (await storage.next_timer(), await storage.fire(clock.now())) == (None, 0)
    lease, *_ = await storage.take(10, lease_s=60)
    await storage.finish(lease, Commit(Defer(NOON + 60, "Linq is away")))
    assert await storage.next_timer() is None
    clock.advance(60)
    await end(storage, (await storage.take(10, lease_s=60))[0])
    assert await storage.fire(clock.now()) == 1


async def test_a_paused_broadcast_waits_and_lets_others_of_its_line_pass(storage: Storage, clock: MovableClock) -> None:
    first = await first_turn(storage)
    await storage.start_broadcast(new("august"), PEOPLE[:1])
    assert await storage.order_broadcast("july", "pause")
    assert not await storage.order_broadcast("july", "pause")
    assert facts(await storage.broadcast("july"))["status"] == "paused"
    await end(storage, first)
    lease = await advance(storage, clock)
    assert lease.delivery.id == "i.broadcast.august.1"
    await end(storage, lease)
    await storage.finish(await advance(storage, clock, 0), Commit(Ack()))
    clock.advance(3)
    assert await storage.next_timer() is None
    while await is_woken(storage):
        pass
    assert await storage.order_broadcast("july", "resume")
    assert await is_woken(storage)
    assert (await advance(storage, clock, 0)).delivery.id == "i.broadcast.july.2"


async def test_a_cancelled_broadcast_reaches_nobody_else_and_ends(storage: Storage, clock: MovableClock) -> None:
    lease = await first_turn(storage)
    assert await storage.order_broadcast("july", "cancel")
    assert facts(await storage.broadcast("july")) == {"status": "cancelled", "people": 3, "cancelled": 2, "pending": 1}
    assert await storage.next_timer() is None
    await end(storage, lease)
    assert json.loads((await advance(storage, clock, 0)).delivery.body)["data"]["was_cancelled"]
    assert facts(await storage.broadcast("july")) == {"status": "cancelled", "people": 3, "sent": 1, "cancelled": 2}
    assert not await storage.order_broadcast("july", "resume")
    assert not await storage.order_broadcast("august", "pause")


async def test_what_is_under_way_survives_a_restart(closed_storage: Storage, clock: MovableClock) -> None:
    async with closed_storage as storage:
        await first_turn(storage)
    async with closed_storage as storage:
        lease = await under_way(storage)
        assert (lease.delivery.id, lease.crashes) == ("i.broadcast.july.1", 1)
        assert await storage.next_timer() == NOON + 3
        await end(storage, lease)
        for _ in range(2):
            await end(storage, await advance(storage, clock))
        assert facts(await storage.broadcast("july")) == {"status": "running", "people": 3, "sent": 3}


async def test_a_forgotten_person_leaves_every_broadcast(storage: Storage, clock: MovableClock) -> None:
    await storage.start_broadcast(new("july"), ["Ann@Example.com", *PEOPLE[:2]])
    await storage.start_broadcast(new("august"), PEOPLE)
    await storage.fire(clock.now())
    forgotten = await storage.forget("ann@example.com")
    assert (forgotten.rows["recipient"], forgotten.rows["delivery"], forgotten.left) == (2, 1, ())
    assert [one.handle for one in await storage.recipients("july")] == PEOPLE[:2]
    assert await storage.take(10, lease_s=60) == []
    for _ in range(2):
        await end(storage, await advance(storage, clock))
    await storage.fire(clock.now())
    assert facts(await storage.broadcast("july")) == {"status": "done", "people": 2, "sent": 2}


async def test_a_person_who_is_forgotten_under_way_gets_no_row_back(storage: Storage, clock: MovableClock) -> None:
    lease = await first_turn(storage, PEOPLE[:1])
    assert (await storage.forget(PEOPLE[0])).left == (lease.delivery.id,)
    await end(storage, lease)
    assert await storage.recipients("july") == []
    assert await storage.fire(clock.now()) == 1


async def test_a_full_inbox_does_not_hold_up_a_broadcast(storage: Storage, clock: MovableClock) -> None:
    for n in range(20):
        await storage.put(delivery(f"c:{n}"))
    await storage.start_broadcast(new(), PEOPLE)
    assert await storage.fire(clock.now()) == 1


async def test_the_deliveries_of_a_line_that_keeps_nothing_are_off_the_record(storage: Storage) -> None:
    assert (await first_turn(storage, off_the_record=True)).delivery.is_off_the_record


async def test_the_report_waits_for_the_turn_that_began_the_broadcast(storage: Storage, clock: MovableClock) -> None:
    turn = await leased(storage, delivery(LANE))
    for name in ("july", "august"):
        await storage.start_broadcast(new(name, lane=LANE), [])
        assert await storage.fire(clock.now()) == 1
    assert await storage.take(10, lease_s=60) == []
    await storage.finish(turn, Commit(Ack()))
    report = await under_way(storage)
    assert (report.delivery.id, report.delivery.lane) == ("i.broadcast_done.july", LANE)


async def test_a_broadcast_forgets_the_chat_in_which_it_began(storage: Storage, clock: MovableClock) -> None:
    await storage.put(delivery(LANE))
    await storage.start_broadcast(new(lane=LANE), [])
    await storage.forget("+14155550199", chats=[LANE.removeprefix("c:")])
    assert (await advance(storage, clock)).delivery.lane == "b:july"
