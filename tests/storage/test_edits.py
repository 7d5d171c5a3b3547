"""Edits that come before the turn of their message. Every test runs with every backend."""

from __future__ import annotations

import json
from dataclasses import replace

from storage.conftest import delivery, leased, passes
from storage.test_holds import MUTE

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.features.muted_chats import mute_chat
from linqbot.options import DAY_S
from linqbot.storage.backend import Storage
from linqbot.storage.edits import kept
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Retry

PERSON = "+14155550142"


def edit(lane: str = "c:1", *, of: str = "m1", text: str = "new") -> Delivery:
    """Return the delivery of an edit of the message with the id `of`."""
    data = {"id": of, "sender_handle": {"handle": PERSON}, "part": {"index": 0, "text": text}}
    return replace(delivery(lane, body=json.dumps({"data": data}).encode()), type="message.edited", decoded=None)


async def ids(storage: Storage, lane: str = "c:1", *, only_early: bool = False) -> list[str]:
    return [each.id for each in await storage.edits(lane, only_early=only_early)]


async def test_the_edits_of_a_lane_are_found_wherever_they_wait_and_its_lane_is_known_to_have_some(
    storage: Storage,
) -> None:
    first, second, other = edit(), edit(of="m2"), edit("c:2")
    for each in (delivery(), first, delivery(), second, other, delivery("c:3")):
        await storage.put(each)
    assert await ids(storage) == [first.id, second.id]
    taken = {lease.delivery.lane: lease for lease in await storage.take(10, lease_s=60)}
    assert set(storage.edited) == {"c:1", "c:2"}
    await storage.join(taken["c:1"], taken["c:1"].delivery, [first.id])
    assert await ids(storage) == [second.id]


async def test_a_lane_without_edits_is_forgotten_some_time_later(storage: Storage, clock: MovableClock) -> None:
    await storage.finish(await leased(storage, edit()), Commit(Ack()))
    await passes(61, storage, clock)
    await passes(61, storage, clock)
    assert not set(storage.edited)


async def test_only_edits_that_waited_when_the_head_was_first_leased_are_early(closed_storage: Storage) -> None:
    message, before, after = delivery(), edit(), edit()
    async with closed_storage as storage:
        await storage.put(message)
        await storage.put(before)
        lease = await leased(storage)
        await storage.put(after)
        # Given back unused, it has not begun.
        await storage.gather(lease, 0.0, known=5)
        last = edit()
        lease = await leased(storage)
        await storage.put(last)
        assert await ids(storage, only_early=True) == [before.id, after.id]
        await storage.finish(lease, Commit(Retry(0.0, "failed")))
        assert (await leased(storage)).delivery.id == message.id
        assert await ids(storage, only_early=True) == [before.id, after.id]
    async with closed_storage as storage:  # the process has died with the lease
        assert (await leased(storage)).crashes == 1
        assert set(storage.edited) == {"c:1"}
        assert await ids(storage, only_early=True) == [before.id, after.id]
        assert await ids(storage) == [before.id, after.id, last.id]


async def test_an_edit_is_kept_for_a_day_until_its_message_takes_it(
    closed_storage: Storage, clock: MovableClock
) -> None:
    early, lost = edit(text="early"), edit(of="m9")
    async with closed_storage as storage:
        for each in (early, lost):
            lease = await leased(storage, each)
            await storage.finish(lease, Commit(Ack(), timers=[kept(lease.delivery, clock.now())]))
        assert not await storage.put(early), "it is known"
    async with closed_storage as storage:
        lease = await leased(storage, delivery(message_key="m.m1"))
        assert set(storage.edited) == {"c:1"}
        found = await storage.edits("c:1", only_early=True)
        assert [(each.type, each.data["id"]) for each in found] == [("message.edited", "m1"), ("message.edited", "m9")]
        await storage.join(lease, lease.delivery, [found[0].id])
        assert await ids(storage) == [found[1].id]
        await storage.finish(lease, Commit(Ack()))
        clock.advance(DAY_S + 1)
        assert await storage.fire(clock.now()) == 1
        assert (await leased(storage)).delivery.id == found[1].id
        assert await ids(storage) == []


async def test_a_mute_keeps_no_edit_for_longer(storage: Storage, clock: MovableClock) -> None:
    lease = await leased(storage, edit())
    await storage.finish(lease, Commit(Ack(), timers=[kept(lease.delivery, clock.now())]))
    await mute_chat(storage, replace(MUTE, chat_id="1"))
    clock.advance(DAY_S + 1)
    assert await storage.fire(clock.now()) == 1


async def test_the_turn_of_a_message_has_begun_once_it_has_left_the_inbox_or_was_put_back(storage: Storage) -> None:
    message = delivery(message_key="m.m1")
    assert not await storage.has_begun("m.m1")
    await storage.put(message)
    assert not await storage.has_begun("m.m1")
    await storage.finish(await leased(storage), Commit(DeadLetter("failed")))
    assert await storage.has_begun("m.m1")
    await storage.retry([message.id])
    assert await storage.has_begun("m.m1")


async def test_edits_are_erased_with_their_person_whether_they_wait_or_are_kept(
    storage: Storage, clock: MovableClock
) -> None:
    lease = await leased(storage, edit("c:2"))
    await storage.finish(lease, Commit(Ack(), timers=[kept(lease.delivery, clock.now())]))
    for each in (delivery(), edit()):
        await storage.put(each)
    forgotten = await storage.forget(PERSON)
    assert (forgotten.rows["timer"], forgotten.rows["delivery"]) == (1, 1)
    assert await ids(storage) == await ids(storage, "c:2") == []
