"""The contract of the journal, with every backend."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from pydantic_core import to_json
from storage.conftest import NOON, delivery, entry, leased, passes

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost, StateConflict, StorageError
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Retry
from linqbot.storage.journal import ENTRIES_KEPT_S, DeliveryStatus, EntryStatus, Receipt
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer


async def test_entries_are_returned_in_the_order_in_which_they_were_begun(storage: Storage) -> None:
    begun = [entry("w.1", slot) for slot in ("0", "10", "2", "thanks")]
    for one in begun:
        await storage.begin(one)
    await storage.begin(entry("w.1", replay=1))
    await storage.begin(entry("w.2"))
    assert await storage.entries("w.1") == begun
    assert await storage.entries("w.1", 1) == [entry("w.1", replay=1)]
    assert await storage.entries("w.3") == []


async def test_beginning_an_entry_again_keeps_the_stored_one_with_its_outcome(storage: Storage) -> None:
    first = entry("w.1", call=b'{"text":"as first said"}')
    await storage.begin(first)
    await storage.begin(first)
    await storage.begin(entry("w.1", call=b'{"text":"said otherwise"}', key="lb.other"))
    assert await storage.entries("w.1") == [first]
    accepted = entry("w.1", status="accepted", answer=b"{}", message_id="msg")
    await storage.settle(accepted)
    await storage.begin(first)
    assert await storage.entries("w.1") == [accepted]


async def test_state_is_written_with_the_entry_that_is_begun_and_once(storage: Storage) -> None:
    def write(value: bytes, expected: bytes | None) -> list[StateWrite]:
        return [StateWrite("bot", "Diary", value, expected=expected)]

    lease = await leased(storage, delivery(name="w.1"))
    changes = entry("w.1", "state:0:0", status="accepted")
    await storage.begin(entry("w.1"), lease, state=write(b"1", None), changes=changes)
    assert await storage.entries("w.1") == [entry("w.1"), changes]
    await storage.write_state([StateWrite("bot", "Diary", b"2")])
    # The answer to COMMIT was lost, so the writer begins again what is on record.
    await storage.begin(entry("w.1"), lease, state=write(b"1", None), changes=changes)
    assert await storage.load("bot") == {"Diary": b"2"}
    other = await leased(storage, delivery("c:2", name="w.2"))
    begun = await asyncio.gather(
        storage.begin(entry("w.1", "1"), lease, state=write(b"3", b"2")),
        storage.begin(entry("w.2"), other, state=write(b"4", b"2"), instead=entry("w.2", "conflict")),
        return_exceptions=True,
    )
    assert [type(each) for each in begun] == [type(None), StateConflict]
    assert await storage.load("bot") == {"Diary": b"3"}
    assert await storage.entries("w.2") == [entry("w.2", "conflict")]
    await storage.finish(other, Commit(Ack()))
    with pytest.raises(LeaseLost):
        await storage.begin(entry("w.2"), other, state=write(b"5", b"3"))
    assert await storage.load("bot") == {"Diary": b"3"}


async def test_an_entry_that_is_refused_does_not_fail_others_begun_with_it(storage: Storage) -> None:
    await storage.begin(entry("w.0", key="lb.same"))
    keys = ["lb.same" if n == 3 else None for n in range(8)]
    begun = (storage.begin(entry(f"w.{n + 1}", key=key)) for n, key in enumerate(keys))
    outcomes = await asyncio.gather(*begun, return_exceptions=True)
    assert [isinstance(outcome, StorageError) for outcome in outcomes] == [n == 3 for n in range(8)]
    assert [len(await storage.entries(f"w.{n + 1}")) for n in range(8)] == [1, 1, 1, 0, 1, 1, 1, 1]


async def test_an_end_that_cannot_be_stored_leaves_all_as_it_was(storage: Storage, clock: MovableClock) -> None:
    await storage.begin(entry("w.0", key="lb.same"))
    lease = await leased(storage, delivery(name="w.1"))
    write = StateWrite("bot", "Diary", b"1")
    later = Timer("t.1", clock.now() + 60, "c:1", "send", b"{}")
    same_key = entry("w.1", key="lb.same", status="accepted")
    failing = Commit(Retry(clock.now(), "Boom"), entries=[same_key], state=(write,), timers=[later])
    outcomes = await asyncio.gather(
        storage.finish(lease, failing),
        storage.put(delivery("c:2", name="w.2")),
        storage.take(10, lease_s=60),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], StorageError)
    assert outcomes[1] is True
    leases = outcomes[2] if isinstance(outcomes[2], list) else []
    leases += await storage.take(10, lease_s=60)
    assert [other.delivery.id for other in leases] == ["w.2"]
    assert (await storage.load("bot"), await storage.timer("t.1"), await storage.entries("w.1")) == ({}, None, [])
    waiting = {one.id: (one.state, one.attempts) for one in await storage.waiting()}
    assert waiting == {"w.1": ("leased", 0), "w.2": ("leased", 0)}
    await storage.finish(lease, Commit(Ack(), state=(write,), timers=[later]))
    assert (await storage.load("bot"), await storage.timer("t.1")) == ({"Diary": b"1"}, later)


async def test_state_is_written_with_the_outcome_of_an_entry_and_only_once(storage: Storage) -> None:
    accepted = entry("w.1", status="accepted", answer=b"{}")
    changes = entry("w.1", "state:0", status="accepted")
    await storage.begin(entry("w.1"))
    first = StateWrite("person:+1415", "Used", b"1", expected=None)
    await storage.settle(accepted, [first], changes)
    assert await storage.load("person:+1415") == {"Used": b"1"}
    # Another run of the turn settles the same entry: it must neither count again nor fail.
    again = StateWrite("person:+1415", "Used", b"2", expected=b"1")
    await storage.settle(accepted, [again], dataclasses.replace(changes, call=b'{"again":1}'))
    await storage.settle(accepted, [first])
    assert await storage.load("person:+1415") == {"Used": b"1"}
    assert await storage.entries("w.1") == [accepted, changes]


async def test_an_entry_whose_state_has_changed_meanwhile_is_not_settled(storage: Storage) -> None:
    await storage.begin(entry("w.1"))
    await storage.begin(entry("w.2"))
    writes = [StateWrite("person:+1415", "Used", b"1", expected=None)]
    settling = (
        storage.settle(entry(turn, status="accepted", answer=b"{}"), writes, entry(turn, "state:0"))
        for turn in ("w.1", "w.2")
    )
    results = await asyncio.gather(*settling, return_exceptions=True)
    assert [type(each) for each in results] == [type(None), StateConflict]
    (first, _), (second,) = [await storage.entries(turn) for turn in ("w.1", "w.2")]
    assert (first.status, second.status) == ("accepted", "attempting")


async def test_finish_replaces_entries_and_keeps_their_order(storage: Storage) -> None:
    lease = await leased(storage, delivery(name="w.1"))
    for slot in "01":
        await storage.begin(entry("w.1", slot))
    first = entry("w.1", "0", status="accepted", answer=b'{"id":1}', message_id="msg", call=b"{}")
    second = entry("w.1", "1", status="refused", answer=b'{"code":2024}')
    never_begun = entry("w.1", "2", status="dropped")
    await storage.finish(lease, Commit(DeadLetter("broken"), entries=[second, never_begun, first]))
    assert await storage.entries("w.1") == [first, second, never_begun]


async def test_no_call_begins_for_a_lease_that_another_turn_has(storage: Storage, clock: MovableClock) -> None:
    old = await leased(storage, delivery(name="w.1"))
    await storage.begin(entry("w.1"), old)
    clock.advance(60)
    await storage.begin(entry("w.1", "1"), old)  # it has run out, but no other turn has begun
    (new,) = await storage.take(1, lease_s=60)
    begun = (storage.begin(entry("w.1", "2"), old), storage.begin(entry("w.1", "3"), new))
    outcomes = await asyncio.gather(*begun, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LeaseLost, type(None)]
    await storage.finish(new, Commit(Ack()))
    with pytest.raises(LeaseLost):
        await storage.begin(entry("w.1", "4"), new)
    assert [each.slot for each in await storage.entries("w.1")] == ["0", "1", "3"]


async def test_entries_are_kept_for_a_week_after_the_turns_last_delivery(storage: Storage, clock: MovableClock) -> None:
    lease = await leased(storage, delivery("c:1", name="w.root"))
    await storage.finish(lease, Commit(Ack(), entries=[entry("w.root", "question")]))
    other = await leased(storage, delivery("c:2", name="w.other"))
    await storage.finish(other, Commit(Ack(), entries=[entry("w.other")]))
    clock.advance(ENTRIES_KEPT_S - 1)
    lease = await leased(storage, delivery("c:1", name="w.answer"))
    await storage.finish(lease, Commit(Ack(), entries=[entry("w.root", "thanks")]))
    await passes(ENTRIES_KEPT_S - 1, storage, clock)
    await storage.put(delivery())
    assert [one.slot for one in await storage.entries("w.root")] == ["question", "thanks"]
    assert await storage.entries("w.other") == []


async def test_entries_of_deferred_and_given_up_turns_are_not_deleted(storage: Storage, clock: MovableClock) -> None:
    for name, outcome in (("w.1", Defer(at=clock.now(), reason="away")), ("w.2", DeadLetter(error="Boom"))):
        await storage.begin(entry(name))
        lease = await leased(storage, delivery(name, name=name))
        await storage.finish(lease, Commit(outcome, entries=[entry(name, status="accepted")]))
    await passes(10 * ENTRIES_KEPT_S, storage, clock)
    await storage.put(delivery())
    assert [len(await storage.entries(name)) for name in ("w.1", "w.2")] == [1, 1]


async def test_scheduled_sends_are_known_before_and_after_a_restart(closed_storage: Storage) -> None:
    async with closed_storage as storage:
        await storage.begin(entry("w.1"))
        assert not storage.has_made_scheduled_sends
        await storage.begin(entry("i.timer.1"))
        assert storage.has_made_scheduled_sends
    async with closed_storage as storage:
        assert storage.has_made_scheduled_sends


async def test_a_message_that_the_bot_sent_is_recognised(storage: Storage) -> None:
    lease = await leased(storage, delivery(name="w.1"))
    await storage.begin(entry("w.1"))
    assert not await storage.has_sent("msg")
    await storage.finish(lease, Commit(Ack(), [entry("w.1", status="accepted", message_id="msg")]))
    assert await storage.has_sent("msg")
    assert not await storage.has_sent("another")
    found = await storage.entry_of("msg")
    assert found is not None
    assert (found.turn, found.message_id) == ("w.1", "msg")
    assert await storage.entry_of("another") is None


async def test_the_messages_that_calls_with_a_label_have_made_are_known(storage: Storage) -> None:
    for slot, message in (("words#0", "m-1"), ("words#1", "m-2"), ("1", "m-3")):
        await storage.settle(entry("w.1", slot, message_id=message))
    assert await storage.labelled(["m-1", "m-2", "m-3", "none"], "words") == {"m-1", "m-2"}
    assert await storage.labelled([], "words") == frozenset()


async def test_the_entries_of_turns_and_of_messages_are_found_at_once(storage: Storage) -> None:
    for each in (
        entry("w.1"),
        entry("w.1", "1", replay=1),
        entry("w.2", message_id="m-2"),
        entry("w.3", message_id="m-3"),
    ):
        await storage.settle(each)
    found = await storage.entries_of(["w.1", "none"], ["m-3", "none"])
    assert [(each.turn, each.slot, each.replay) for each in found] == [
        ("w.1", "0", 0),
        ("w.1", "1", 1),
        ("w.3", "0", 0),
    ]
    assert await storage.entries_of([], []) == []


# Receipts


async def test_a_receipt_updates_the_entry_that_made_the_message(storage: Storage) -> None:
    accepted = entry("w.1", status="accepted", answer=b'{"id":"msg"}', message_id="msg")
    await storage.settle(accepted)
    updated = dataclasses.replace(accepted, delivery="delivered")
    assert await storage.settle_receipt(Receipt(None, "msg", "delivered")) == updated
    assert await storage.entries("w.1") == [updated]
    assert await storage.settle_receipt(Receipt("lb.unknown", "unknown", "read")) is None


def received(event_type: str, name: str, **data: Any) -> Delivery:
    content = {"event_type": event_type, "data": data}
    return Delivery(name, "r:1", event_type, to_json(content), NOON)


async def test_receipts_that_no_code_wants_update_their_entries_and_have_no_turn(closed_storage: Storage) -> None:
    closed_storage.settled = ["message.sent", "message.delivered"]
    async with closed_storage as storage:
        for slot, message_id in (("0", None), ("1", "new"), ("2", "old")):
            status: EntryStatus = "attempting" if message_id is None else "accepted"
            await storage.settle(entry("w.1", slot, status=status, message_id=message_id))
        receipts = [
            received("message.sent", "w.r0", id="msg", idempotency_key="lb.w.1.0.0"),
            received("message.delivered", "w.r1", id="new"),
            received("message.delivered", "w.r2", message={"id": "old"}),
            received("message.sent", "w.r3", id="of-another-program"),
        ]
        for copy in (False, True):
            assert await asyncio.gather(*map(storage.put, receipts)) == [not copy] * 4
        assert [one.delivery for one in await storage.entries("w.1")] == ["sent", "delivered", "delivered"]
        assert (await storage.entries("w.1"))[0].message_id == "msg"
        assert (await storage.depth(), await storage.has_seen("w.r3")) == (0, True)
        assert await storage.last_activity() == NOON


async def test_other_receipts_have_a_turn(closed_storage: Storage) -> None:
    closed_storage.settled = ["message.sent"]
    unreadable = [
        received("message.sent", "w.r1"),
        received("message.sent", "w.r2", id=5),
        Delivery("w.r3", "r:1", "message.sent", b"{", NOON),
    ]
    others = [*unreadable, received("message.read", "w.r4", id="msg")]
    async with closed_storage as storage:
        for each in others:
            await storage.put(each)
        assert await storage.depth() == len(others)


async def test_receipts_in_any_order_only_raise_the_state(storage: Storage, subtests: pytest.Subtests) -> None:
    rows: list[tuple[list[DeliveryStatus], DeliveryStatus]] = [
        (["sent", "delivered", "read"], "read"),
        (["read", "delivered", "sent"], "read"),
        (["delivered", "failed"], "delivered"),
        (["sent", "failed", "sent"], "failed"),
        (["failed", "delivered"], "delivered"),
        (["failed", "read", "failed"], "read"),
    ]
    for n, (receipts, end) in enumerate(rows):
        with subtests.test(receipts=receipts):
            await storage.settle(entry(f"w.{n}", status="accepted", message_id=f"msg-{n}"))
            for status in receipts:
                await storage.settle_receipt(Receipt(f"lb.w.{n}.0.0", f"msg-{n}", status))
            assert [one.delivery for one in await storage.entries(f"w.{n}")] == [end]


async def test_a_receipt_settles_a_doubtful_entry(storage: Storage) -> None:
    doubtful: tuple[EntryStatus, ...] = ("attempting", "ambiguous")
    for status in doubtful:
        turn, sent = f"w.{status}", f"msg-{status}"
        await storage.settle(entry(turn, status=status, answer=b"null"))
        await storage.settle_receipt(Receipt(f"lb.{turn}.0.0", sent, "sent"))
        settled = dataclasses.replace(entry(turn, status="accepted", message_id=sent), delivery="sent")
        assert await storage.entries(turn) == [settled]
        assert await storage.has_sent(sent)


async def test_a_receipt_that_came_before_the_answer_is_not_undone_by_it(storage: Storage) -> None:
    lease = await leased(storage, delivery(name="w.1"))
    await storage.begin(entry("w.1"))
    await storage.settle_receipt(Receipt("lb.w.1.0.0", "msg", "delivered"))
    accepted = entry("w.1", status="accepted", answer=b'{"id":"msg"}')
    await storage.finish(lease, Commit(DeadLetter("broken"), entries=[accepted]))
    assert await storage.entries("w.1") == [dataclasses.replace(accepted, message_id="msg", delivery="delivered")]


async def test_a_later_outcome_does_not_undo_what_a_receipt_proved(storage: Storage) -> None:
    later: tuple[EntryStatus, ...] = ("attempting", "ambiguous", "refused")
    await storage.begin(entry("w.1"))
    accepted = await storage.settle_receipt(Receipt("lb.w.1.0.0", "msg", "sent"))
    for status in later:
        await storage.settle(entry("w.1", status=status, answer=b'{"code":1}'))
        assert await storage.entries("w.1") == [accepted], status


async def test_an_outcome_keeps_the_key_of_its_entry(storage: Storage) -> None:
    await storage.begin(entry("w.1"))
    await storage.settle(entry("w.1", key="lb.other", status="accepted"))
    assert [one.key for one in await storage.entries("w.1")] == ["lb.w.1.0.0"]
    await storage.begin(entry("w.2", key="lb.other"))


# Texts

CALL = json.dumps({
    "noun": "chats.messages", "verb": "send", "method": "POST", "path": "/v3/chats/c/messages", "safety": "keyed",
    "body": {"message": {"parts": [{"type": "text", "value": "marker"}]}}, "query": [], "headers": {}, "key_in": [],
}, separators=(",", ":")).encode()  # fmt: skip
ANSWER = b'{"chat_id":"c","message":{"id":"msg","parts":[{"type":"text","value":"marker"}],"sent_at":"2026"}}'


async def test_texts_are_deleted_when_the_entry_is_settled(storage: Storage) -> None:
    ends: tuple[EntryStatus, ...] = ("accepted", "refused", "dropped")
    for status in ends:
        await storage.begin(entry(f"w.{status}", call=CALL))
        await storage.settle(entry(f"w.{status}", call=CALL, status=status, answer=ANSWER))
        (kept,) = await storage.entries(f"w.{status}")
        assert b"marker" not in kept.call + (kept.answer or b"")
        without_text = {"id": "msg", "parts": [], "sent_at": "2026"}
        assert json.loads(kept.answer or b"") == {"chat_id": "c", "message": without_text}


@pytest.mark.parametrize("has_all_entries", [True, False])
async def test_all_entries_of_a_turn_are_kept_for_a_week_after_the_ack_without_texts_and_answers(
    storage: Storage, clock: MovableClock, has_all_entries: bool
) -> None:
    lease = await leased(storage, delivery(name="w.1"))
    await storage.begin(entry("w.1", call=CALL))
    if not has_all_entries:
        await storage.begin(entry("w.1", "once"))
        await storage.settle(entry("w.1", "1", call=CALL, status="accepted", answer=ANSWER))
    clock.advance(2 * ENTRIES_KEPT_S)
    accepted = entry("w.1", call=CALL, status="accepted", answer=ANSWER, message_id="msg")
    await storage.finish(lease, Commit(Ack(), [accepted], has_all_entries=has_all_entries))
    kept = await storage.entries("w.1")
    assert [each.slot for each in kept] == (["0"] if has_all_entries else ["0", "once", "1"])
    assert [each.answer for each in kept] == [None] * len(kept)
    assert b"marker" not in b"".join(each.call for each in kept)
    assert (kept[0].status, kept[0].message_id, await storage.has_sent("msg")) == ("accepted", "msg", True)
    await passes(ENTRIES_KEPT_S - 1, storage, clock)
    assert len(await storage.entries("w.1")) == len(kept)
    await passes(62, storage, clock)
    assert await storage.entries("w.1") == []
    await storage.begin(entry("w.2", key="lb.w.1.0.0"))


@pytest.mark.parametrize("status", ["attempting", "ambiguous"])
async def test_texts_of_a_doubtful_call_are_kept_with_its_turn(
    storage: Storage, clock: MovableClock, status: Any
) -> None:
    lease = await leased(storage, delivery(name="w.1"))
    doubtful = entry("w.1", call=CALL, status=status)
    await storage.finish(lease, Commit(Defer(clock.now(), "away"), entries=[doubtful]))
    await passes(10 * ENTRIES_KEPT_S, storage, clock)
    assert await storage.entries("w.1") == [doubtful]
    await storage.finish(await leased(storage), Commit(Ack()))
    await passes(61, storage, clock)
    (kept,) = await storage.entries("w.1")
    assert kept.status == status
    assert b"marker" not in kept.call
