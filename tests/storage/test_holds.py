"""The contract of holds with every backend, by the mutes that are stored in them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from linqbot_postgres import migrate as migrations
from postgres_server import dropped_storage_url
from storage.conftest import NOON, delivery, entry, handle
from storage.test_people import ran
from storages import BACKENDS, open_storage

from linqbot.clock import MovableClock
from linqbot.features.muted_chats import (
    PROACTIVE,
    Mute,
    change_mute,
    mute_by_hand,
    mute_chat,
    mutes_of,
    stored_mutes,
    unmute_chats,
)
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.ops.stored_contents import migrate
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.holds import FOREVER
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer

HANDOFF = ChatHandoff("h", "1", "+14155550142", "+14155550149", "+12025550100", "Ann", "Dana", None, 60.0)
MUTE = Mute("1", NOON + 3600, "+14155550142", "Dana takes over")


async def known(storage: Storage) -> tuple[dict[str, Mute], list[Mute]]:
    """Return the mutes that turns see, and those that are stored."""
    return {each.chat_id: each for each in mutes_of(storage.holds)}, [*await stored_mutes(storage)]


def timer(name: str, due: float, lane: str = "c:1") -> Timer:
    return Timer(name, due, lane, "send", b"{}")


async def test_a_mute_is_stored_and_replaced_and_survives_a_restart_until_it_is_ended(closed_storage: Storage) -> None:
    other = Mute("2", FOREVER)
    async with closed_storage as storage:
        assert await known(storage) == ({}, [])
        for each in (Mute("1", FOREVER), MUTE, other):
            await mute_chat(storage, each)
        assert await known(storage) == ({"1": MUTE, "2": other}, [MUTE, other])
    async with closed_storage as storage:
        assert await known(storage) == ({"1": MUTE, "2": other}, [MUTE, other])
        assert [await unmute_chats(storage, "1") for _ in range(2)] == [True, False]
        assert await known(storage) == ({"2": other}, [other])


async def test_a_mute_is_changed_as_it_is_stored(storage: Storage) -> None:
    handed = replace(MUTE, handoff=HANDOFF)
    assert await change_mute(storage, "1", lambda mute: None) is None
    assert await change_mute(storage, "1", lambda mute: handed if mute is None else None) == handed
    assert await change_mute(storage, "1", lambda mute: mute) == handed
    assert await known(storage) == ({"1": handed}, [handed])
    assert await change_mute(storage, "1", lambda mute: None) is None
    assert await known(storage) == ({}, [])


async def test_a_message_by_hand_mutes_for_its_time_unless_a_turn_has_sent_it(storage: Storage) -> None:
    await storage.settle(entry("w.1", status="accepted", message_id="ours"))
    assert not await mute_by_hand(storage, MUTE, "ours")
    assert await mute_by_hand(storage, MUTE, "by hand")
    shorter, longer = replace(MUTE, until=NOON + 60), replace(MUTE, until=NOON + 7200)
    assert not await mute_by_hand(storage, shorter, "by hand")
    assert {each.chat_id: each for each in mutes_of(storage.holds)} == {"1": MUTE}
    handed = replace(MUTE, handoff=HANDOFF)
    await mute_chat(storage, handed)
    await mute_by_hand(storage, longer, "by hand")
    assert {each.chat_id: each for each in mutes_of(storage.holds)} == {"1": replace(handed, until=longer.until)}


async def test_an_operator_who_writes_mutes_before_the_text_is_sent_and_is_in_the_log(storage: Storage) -> None:
    dana = By("dana")
    assert await mute_by_hand(storage, MUTE, None, by=dana)
    assert not await mute_by_hand(storage, replace(MUTE, until=MUTE.until - 60), None, by=dana)
    assert {each.chat_id: each for each in mutes_of(storage.holds)} == {"1": MUTE}
    assert [(each.who, each.what, each.target) for each in await storage.acts()] == [("dana", "mute", "1")]


async def test_a_handoff_ends_with_its_mute_and_by_a_later_one_and_stays_on_record(storage: Storage) -> None:
    for by_mute in (False, True):
        await mute_chat(storage, replace(MUTE, handoff=HANDOFF))
        if by_mute:
            await mute_chat(storage, Mute("1", FOREVER))
            (found,) = mutes_of(storage.holds)
            assert (found.until, found.stops_handoffs, found.is_handed_over(NOON)) == (FOREVER, True, False)
        assert await unmute_chats(storage, "1")
        (found,) = await stored_mutes(storage)
        assert found == Mute.of(storage.holds["1"])
        assert found.handoff is not None
        assert found.handoff.ended == "unmuted"
        assert found.until == pytest.approx(NOON, abs=1)
        await change_mute(storage, "1", lambda _: None)


async def test_the_timers_of_a_muted_chat_wait_until_the_mute_ends(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer("here", NOON + 10))
    await storage.schedule(timer("late", NOON + 7200))
    await storage.schedule(timer("there", NOON + 20, "c:2"))
    await mute_chat(storage, MUTE)
    assert await storage.next_timer() == pytest.approx(NOON + 20, abs=1)
    clock.advance(60)
    assert await storage.fire(clock.now()) == 1
    assert await storage.next_timer() == pytest.approx(MUTE.until, abs=1)
    assert {each.id for each in await storage.scheduled(lane="c:1")} == {"here", "late"}
    clock.advance(3600)
    assert await storage.fire(clock.now()) == 1
    assert {each.id for each in await storage.waiting()} == {"i.send.there", "i.send.here"}


async def test_the_timers_go_on_when_the_mute_is_ended(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer("here", NOON + 10))
    await mute_chat(storage, Mute("1", FOREVER))
    assert await storage.next_timer() is None
    clock.advance(60)
    assert await storage.fire(clock.now()) == 0
    await unmute_chats(storage, "1")
    assert await storage.fire(clock.now()) == 1


async def test_the_mute_of_all_chats_holds_every_timer_of_a_chat(storage: Storage, clock: MovableClock) -> None:
    for name, lane in (("here", "c:1"), ("there", "c:2"), ("tick", "s:tick")):
        await storage.schedule(timer(name, NOON + 10, lane))
    await mute_chat(storage, Mute(EVERY_CHAT, NOON + 3600))
    await mute_chat(storage, Mute("2", NOON + 7200))
    clock.advance(60)
    assert await storage.fire(clock.now()) == 1
    assert await storage.next_timer() == pytest.approx(NOON + 3600, abs=1)
    clock.advance(3600)
    assert await storage.fire(clock.now()) == 1
    assert await storage.next_timer() == pytest.approx(NOON + 7200, abs=1)
    assert {each.id for each in await storage.waiting()} == {"i.send.tick", "i.send.here"}


async def test_a_proactive_mute_holds_sends_alone(storage: Storage, clock: MovableClock) -> None:
    await storage.schedule(timer("here", NOON + 10))
    await storage.schedule(Timer("asked", NOON + 20, "c:1", "ask", b"{}"))
    await mute_chat(storage, Mute("1", FOREVER, only_proactive=True))
    assert await storage.next_timer() == pytest.approx(NOON + 20, abs=1)
    clock.advance(60)
    assert await storage.fire(clock.now()) == 1
    assert await storage.next_timer() is None


async def test_a_mute_that_is_prolonged_has_begun_with_the_first(storage: Storage) -> None:
    await mute_chat(storage, Mute("1", NOON + 60, since=NOON - 60))
    await mute_chat(storage, Mute("1", FOREVER, since=NOON))
    (found,) = await stored_mutes(storage)
    assert found.since == pytest.approx(NOON - 60)


async def test_a_mute_that_is_over_is_deleted_some_time(storage: Storage, clock: MovableClock) -> None:
    handed = Mute("2", MUTE.until, handoff=HANDOFF)
    for each in (MUTE, handed):
        await mute_chat(storage, each)
    for left in ([handed], []):
        clock.advance(100 if left else 2 * 86_400)
        await handle(storage, delivery("c:2"))
        clock.advance(3700)
        await handle(storage, delivery("c:2"))
        assert (mutes_of(storage.holds), await stored_mutes(storage)) == (left, left)


async def test_a_forgotten_person_leaves_no_mute(storage: Storage) -> None:
    group, kept = Mute("2", FOREVER), Mute("3", FOREVER, "+14155550143")
    answers = Mute("4", FOREVER, handoff=replace(HANDOFF, owner="+14155550142"))
    for each in (MUTE, group, kept, answers):
        await mute_chat(storage, each)
    await storage.forget("+14155550142", chats=["2"])
    assert await known(storage) == ({"3": kept}, [kept])


async def test_a_mute_of_another_process_is_known_here_too(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as served:
        async with SQLiteStorage(path, clock=clock, serving=False) as command:
            await mute_chat(command, MUTE)
        await served.put(delivery())
        assert {each.chat_id: each for each in mutes_of(served.holds)} == {"1": MUTE}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.process)])
async def test_a_mute_that_an_older_linqbot_has_stored_is_one(
    kind: str, path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{path}" if kind == "sqlite" else dropped_storage_url("mutes_of_older")
    for module in (file, migrations):
        older = {number: sql for number, sql in module.schemas().items() if number < 4}
        monkeypatch.setattr(module, "schemas", lambda found=older: found)
    await migrate(url, BACKENDS)
    monkeypatch.undo()
    handed = replace(MUTE, until=FOREVER, reason=None, handoff=HANDOFF)
    partial = Mute(EVERY_CHAT, NOON + 60, "", 'away "until" noon', only_proactive=True, since=NOON)
    handoff = json.dumps(asdict(HANDOFF))
    for row in (
        f"('c:1', {FOREVER}, '+14155550142', NULL, '{handoff}', false, 0)",
        f"('c:*', {NOON + 60}, '', 'away \"until\" noon', NULL, true, {NOON})",
    ):
        await ran(url, f"INSERT INTO mute (lane, until, person, reason, handoff, only_proactive, since) VALUES {row}")
    await migrate(url, BACKENDS)
    async with open_storage(url, clock=clock) as storage:
        assert [replace(each, since=round(each.since)) for each in await stored_mutes(storage)] == [partial, handed]
        assert [(each.kinds, each.kept_until) for each in await storage.stored_holds()] == [
            (PROACTIVE, NOON + 60),
            (None, FOREVER + 172_800.0),
        ]
