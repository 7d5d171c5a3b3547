"""The methods for operators, with every backend: list, retry, purge and replay deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from storage.conftest import NOON, MakeStorage, delivery, entry, handle, leased, passes

from linqbot.clock import MovableClock
from linqbot.error_details import ErrorDetails, Raised
from linqbot.events import Delivery
from linqbot.frames import Place
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import SEEN_KEPT_S, Ack, Commit, DeadLetter, Defer, Retry
from linqbot.storage.journal import ENTRIES_KEPT_S
from linqbot.storage.upkeep import InboxCounts, Selection, Waiting

DAY_S = 86_400.0
ACK = Commit(Ack())


@pytest.fixture
async def keeping(make_storage: MakeStorage) -> AsyncIterator[Storage]:
    """A storage that keeps three days of history."""
    async with make_storage("keep", keep_days=3) as storage:
        yield storage


async def dead_letter(storage: Storage, *deliveries: Delivery) -> None:
    await handle(storage, *deliveries, commit=Commit(DeadLetter("Boom", "bot:echo", failed=True)))


async def played(storage: Storage, ids: list[str], size: int = 100) -> list[list[str]]:
    return [[each.id for each in page] async for page in storage.pages(ids, size=size)]


# Looking


async def test_waiting_deliveries_are_listed_in_order_with_their_state(storage: Storage, clock: MovableClock) -> None:
    for lane in ("c:1", "c:2", "c:3", "c:4"):
        await storage.put(delivery(lane, name=f"w.{lane}"))
    retried, deferred, _, held = await storage.take(4, lease_s=60)
    await storage.finish(retried, Commit(Retry(clock.now() + 30, "Boom")))
    await storage.finish(deferred, Commit(Defer(clock.now() + 40, "Linq is away")))
    await storage.gather(held, NOON + 50, known=0)
    await storage.put(delivery("c:1", name="w.behind"))
    message = "message.received"
    assert await storage.waiting() == [
        Waiting("w.c:1", "c:1", message, NOON, "retrying", 1, 0, NOON + 30, "Boom"),
        Waiting("w.c:2", "c:2", message, NOON, "deferred", 0, 0, NOON + 40, "Linq is away"),
        Waiting("w.c:3", "c:3", message, NOON, "leased", 0, 0, None, None),
        Waiting("w.c:4", "c:4", message, NOON, "gathering", 0, 0, NOON + 50, None),
        Waiting("w.behind", "c:1", message, NOON, "ready", 0, 0, None, None),
    ]
    clock.advance(30)
    assert (await storage.waiting(limit=1))[0].state == "ready"


async def test_the_counts_of_the_inbox_are_those_of_waiting_deliveries_and_dead_letters(storage: Storage) -> None:
    assert await storage.inbox_counts() == InboxCounts(waiting=0, oldest_at=None, dead=0)
    await dead_letter(storage, delivery(), delivery())
    await storage.put(replace(delivery("c:1"), received_at=NOON - 60))
    await storage.put(delivery("c:2"))
    await leased(storage)
    assert await storage.inbox_counts() == InboxCounts(waiting=2, oldest_at=NOON - 60, dead=2)


async def test_the_webhooks_that_wait_longest_are_found_whatever_else_waits(storage: Storage) -> None:
    assert await storage.oldest_webhooks() == []
    await dead_letter(storage, replace(delivery("c:0", name="w.back"), received_at=NOON - 900))
    for name, age_s in (("i.own", 600), ("w.1", 60), ("w.2", 30), ("w.3", 0)):
        await storage.put(replace(delivery(f"c:{name}", name=name), received_at=NOON - age_s))
    await storage.retry(["w.back"])
    await leased(storage)
    assert await storage.oldest_webhooks() == [NOON - 60], "also while it is being handled"
    assert await storage.oldest_webhooks(2) == [NOON - 60, NOON - 30]
    assert await storage.oldest_webhooks(9) == [NOON - 60, NOON - 30, NOON]
    assert await storage.last_activity() == NOON


async def test_what_was_given_up_since_a_time_is_counted_up_to_a_limit(storage: Storage, clock: MovableClock) -> None:
    await dead_letter(storage, delivery("c:1"), delivery("c:2"))
    clock.advance(100)
    await dead_letter(storage, delivery("c:3"), delivery("c:4"), delivery("c:5"))
    counts = [await storage.given_up(since=NOON + since_s, limit=9) for since_s in (0, 1, 100, 101)]
    assert counts == [5, 3, 3, 0]
    assert await storage.given_up(since=NOON, limit=4) == 4


async def test_waiting_deliveries_are_found_by_id_lane_and_type(storage: Storage) -> None:
    for name, lane in (("w.1", "c:1"), ("w.2", "c:2"), ("w.3", "c:1")):
        await storage.put(delivery(lane, name=name))
    await storage.put(Delivery("w.4", "c:1", "reaction.added", b"{}", NOON))
    assert [each.id for each in await storage.waiting(lane="c:1")] == ["w.1", "w.3", "w.4"]
    assert [each.id for each in await storage.waiting(lane="c:1", type="message.received", limit=1)] == ["w.1"]
    assert [each.id for each in await storage.waiting(delivery_id="w.2")] == ["w.2"]
    assert await storage.waiting(delivery_id="w.9") == []


async def test_a_delivery_is_found_in_the_inbox_after_its_ack_and_as_a_dead_letter(keeping: Storage) -> None:
    await dead_letter(keeping, delivery(name="w.dead", body=b"dead", carrier="dead"))
    await handle(keeping, delivery(name="w.done", body=b"done", message_key="m.1", carrier="done"))
    await keeping.put(delivery(name="w.waits", body=b"waits", carrier="waits"))
    for name in ("dead", "done", "waits"):
        found = await keeping.delivery(f"w.{name}")
        assert found is not None
        assert (found.body, found.received_at, found.carrier) == (name.encode(), NOON, name)
    assert await keeping.delivery("w.9") is None


async def test_dead_letters_are_found_by_id_lane_type_and_time(storage: Storage, clock: MovableClock) -> None:
    for n in range(4):
        await dead_letter(storage, delivery(f"c:{n % 2}", name=f"w.{n}", body=b"poison"))
        clock.advance(10)
    await dead_letter(storage, Delivery("w.4", "c:0", "reaction.added", b"", NOON))

    async def ids(**wanted: object) -> list[str]:
        return [letter.delivery.id for letter in await storage.dead_letters(**wanted)]  # type: ignore[arg-type]

    assert await ids(lane="c:0") == ["w.4", "w.2", "w.0"]
    assert await ids(type="reaction.added") == ["w.4"]
    assert await ids(since=NOON + 10, until=NOON + 30) == ["w.2", "w.1"]
    assert await ids(lane="c:0", limit=1) == ["w.4"]
    letter = await storage.dead_letter("w.2")
    assert letter is not None
    assert (letter.delivery.id, letter.delivery.body, letter.delivery.decoded) == ("w.2", b"poison", None)
    assert (letter.error, letter.handler, letter.attempts, letter.crashes) == ("Boom", "bot:echo", 1, 0)
    assert letter.dead_lettered_at == NOON + 20
    assert await storage.dead_letter("w.9") is None


async def test_the_details_of_an_error_come_back_with_a_dead_letter_and_with_what_waits(storage: Storage) -> None:
    place = Place('/srv/"shop"/bot.py', 7, "greet")
    raised = (Raised("NoOrder", "error", 0, 1, (place, place)), Raised("KeyError", "member", 1, 0, ()))
    details = ErrorDetails(raised, 'Traceback: {"said": "Grüße \u2028"}\n')
    await handle(storage, delivery("c:1"), commit=Commit(DeadLetter("NoOrder at bot.py:7", details=details)))
    await handle(storage, delivery("c:2"), commit=Commit(Retry(9e9, "NoOrder at bot.py:7", ErrorDetails(raised))))
    await handle(storage, delivery("c:3"), commit=Commit(Defer(9e9, "Linq is away.", ErrorDetails(text="503: no"))))
    await storage.put(delivery("c:4"))
    (letter,) = await storage.dead_letters()
    assert (letter.error, letter.details, letter.whole_error) == ("NoOrder at bot.py:7", details, details.text)
    assert [(each.error, each.details) for each in await storage.waiting()] == [
        ("NoOrder at bot.py:7", ErrorDetails(raised)),
        ("Linq is away.", ErrorDetails(text="503: no")),
        (None, None),
    ]


# Retry


async def test_a_retried_dead_letter_goes_to_the_tail_of_its_lane_with_no_attempts(storage: Storage) -> None:
    await dead_letter(storage, delivery(name="w.bad", message_key="m.bad", body=b"bad", carrier="{}"))
    await storage.put(delivery(name="w.meanwhile"))
    await storage.changed()
    assert await storage.retry(["w.bad"]) == 1
    await storage.changed()
    assert await storage.dead_letters() == []
    assert await storage.depth() == 2
    await storage.finish(await leased(storage), ACK)
    lease = await leased(storage)
    assert (lease.delivery.id, lease.delivery.body, lease.delivery.message_key) == ("w.bad", b"bad", "m.bad")
    assert lease.delivery.carrier == "{}"
    assert (lease.attempts, lease.crashes, lease.replay, lease.is_first_run) == (0, 0, 0, False)
    assert lease.put_back


async def test_a_retry_makes_the_storage_forget_no_other_delivery(storage: Storage) -> None:
    await storage.finish(await leased(storage, delivery("c:1", name="w.1")), Commit(DeadLetter("broken")))
    for n in range(2, 5):
        await handle(storage, delivery("c:1", name=f"w.{n}", message_key=f"m.{n}"))
    assert await storage.retry(["w.1"]) == 1
    done = dict.fromkeys(("w.2", "m.2", "w.3", "w.4", "m.4"), True)
    assert await storage.seen(["w.1", *done, "w.5"]) == {"w.1": False} | done


async def test_a_retried_delivery_is_a_known_duplicate_while_it_waits(storage: Storage, clock: MovableClock) -> None:
    await dead_letter(storage, delivery(name="w.1", message_key="m.1"))
    await storage.retry(["w.1"])
    await passes(SEEN_KEPT_S + 61, storage, clock)
    assert await storage.put(delivery(name="w.1")) is False
    assert await storage.put(delivery(message_key="m.1")) is False


async def test_a_dead_letter_that_is_in_the_inbox_again_is_not_retried(storage: Storage, clock: MovableClock) -> None:
    await dead_letter(storage, delivery(name="w.1"))
    await passes(SEEN_KEPT_S + 61, storage, clock)
    assert await storage.put(delivery(name="w.1")) is True
    assert await storage.retry(["w.1"]) == 0
    assert len(await storage.dead_letters()) == 1


async def test_a_full_lane_accepts_a_retried_dead_letter(storage: Storage) -> None:
    await dead_letter(storage, *(delivery(name=f"w.{n}") for n in range(7)))
    assert await storage.retry([f"w.{n}" for n in range(7)]) == 7
    assert [each.id for each in await storage.waiting()] == [f"w.{n}" for n in range(7)]


# Purge


async def test_old_dead_letters_are_purged_in_order_and_their_entries_later(
    storage: Storage, clock: MovableClock
) -> None:
    await storage.begin(entry("w.0"))
    for n in range(3):
        await dead_letter(storage, delivery(name=f"w.{n}"))
        clock.advance(10)
    assert await storage.purge(before=NOON + 20, limit=1) == 1
    assert [letter.delivery.id for letter in await storage.dead_letters()] == ["w.2", "w.1"]
    assert await storage.purge(before=NOON + 20) == 1
    assert await storage.purge(before=NOON + 20) == 0
    assert [letter.delivery.id for letter in await storage.dead_letters()] == ["w.2"]
    assert len(await storage.entries("w.0")) == 1
    await passes(ENTRIES_KEPT_S + 61, storage, clock)
    assert await storage.entries("w.0") == []


async def test_texts_of_a_purged_dead_letters_calls_are_deleted(
    storage: Storage, keeping: Storage, clock: MovableClock
) -> None:
    for each in (storage, keeping):
        await each.begin(entry("w.1", call=b'{"verb":"send","body":"marker"}'))
        await dead_letter(each, delivery(name="w.1"))
    clock.advance(1)
    for each in (storage, keeping):
        assert await each.purge(before=NOON + 1) == 1
        (kept,) = await each.entries("w.1")
        assert kept.call == b'{"verb":"send"}'


# History and replay


async def test_without_history_an_ack_leaves_nothing_to_replay(storage: Storage) -> None:
    await handle(storage, delivery(name="w.1"))
    assert await storage.replayable(Selection()) == []
    assert await storage.delivery("w.1") is None
    assert await storage.replay_live(["w.1"]) == 0


async def test_replayable_deliveries_are_selected_by_id_time_type_and_lane(keeping: Storage) -> None:
    made = [
        Delivery(f"w.{n}", f"c:{n % 2}", "reaction.added" if n == 3 else "message.received", b"{}", NOON + n)
        for n in range(6)
    ]
    await dead_letter(keeping, made[2])
    await handle(keeping, made[0], made[1], *made[3:])

    async def ids(**wanted: object) -> str:
        return "".join(one[2:] for one in await keeping.replayable(Selection(**wanted)))  # type: ignore[arg-type]

    assert await ids() == "012345"
    assert await ids(ids=["w.4", "w.2", "w.9"]) == "24"
    assert await ids(ids=["w.4", "w.2"], lane="c:0", since=NOON + 3) == "4"
    assert await ids(ids=[]) == ""
    assert await ids(since=NOON + 1, until=NOON + 4) == "123"
    assert await ids(type="reaction.added") == "3"
    assert await ids(lane="c:0") == "024"
    assert await keeping.replayable(Selection(), dead_only=True) == ["w.2"]


async def test_replayable_deliveries_come_in_pages(keeping: Storage) -> None:
    await handle(keeping, *(delivery(name=f"w.{n}", body=b"%d" % n) for n in range(5)))
    await dead_letter(keeping, delivery(name="w.5"))
    ids = [f"w.{n}" for n in range(6)]
    assert await played(keeping, ids, size=4) == [ids[:4], ids[4:]]
    assert await played(keeping, ["w.9", "w.3"]) == [["w.3"]]
    bodies = [each.body async for page in keeping.pages(["w.3"]) for each in page]
    assert bodies == [b"3"]


async def test_a_live_replay_has_its_own_replay_number_and_keys(keeping: Storage) -> None:
    await keeping.begin(entry("w.1"))
    await handle(keeping, delivery(name="w.1", message_key="m.1", body=b"again"))
    for run in (1, 2):
        assert await keeping.replay_live(["w.1"]) == 1
        assert await keeping.replayable(Selection()) == []
        lease = await leased(keeping)
        assert (lease.delivery.body, lease.replay, lease.is_first_run) == (b"again", run, True)
        assert await keeping.entries("w.1", run) == []
        await keeping.begin(entry("w.1", replay=run))
        await keeping.finish(lease, ACK)
        assert len(await keeping.entries("w.1", run)) == 1
    assert await keeping.put(delivery(name="w.1")) is False


# Activity


async def test_the_first_and_the_newest_webhook_are_remembered_after_restarts(closed_storage: Storage) -> None:
    async with closed_storage as storage:
        assert (await storage.first_activity(), await storage.last_activity()) == (None, None)
        for n in range(3):
            await handle(storage, Delivery(f"w.{n}", "c:1", "", b"", NOON + 10 * n))
        await storage.put(Delivery("w.older", "c:1", "", b"", NOON + 5))
        await storage.put(Delivery("i.reconciled.1", "c:1", "", b"", NOON + 99))
        assert (await storage.first_activity(), await storage.last_activity()) == (NOON, NOON + 20)
    async with closed_storage as storage:
        assert (await storage.first_activity(), await storage.last_activity()) == (NOON, NOON + 20)
        await storage.put(Delivery("i.reconciled.2", "c:1", "", b"", NOON + 99))
        assert await storage.last_activity() == NOON + 20
