"""The log of what operators do, with every backend: a row in the commit of each act, and receipts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from storage.conftest import NOON, delivery, handle

from linqbot.clock import MovableClock
from linqbot.errors import StateConflict, StorageUnavailable
from linqbot.events import Delivery
from linqbot.features.muted_chats import Mute, mute_chat, stored_mutes, unmute_chats
from linqbot.storage.acts import ActedOn, By, OperatorAct, digest_of
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.consents import Consent
from linqbot.storage.holds import FOREVER
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

ANN = "+14155550142"
DANA = By("dana", "ticket 12")


async def prepare(storage: Storage) -> None:
    await handle(storage, delivery("c:1", name="w.dead"), commit=Commit(DeadLetter("Boom")))
    await handle(storage, delivery("r:1", name="w.dead2"), commit=Commit(DeadLetter("Boom")))
    await storage.schedule(Timer("t-1", NOON + 60, "c:1", "send", b"{}"))
    await storage.start_broadcast(NewBroadcast("july", "+1", 60, b"[]", NOON), ["+2"])


def acts_of(storage: Storage) -> dict[str, tuple[Callable[[], Awaitable[object]], list[tuple[str, str | None]]]]:
    """Return each act, with the targets in its rows and the chat or person that each is about."""
    ann = digest_of(storage.install, ANN)
    order = Delivery("i.order.1", "c:1", "linqbot.order", b"{}", NOON)
    edited = [StateWrite(scope, "x", b"{}") for scope in (f"person:{ANN}", "chat:1", "bot")]
    rows = [Consent("k", ANN, NOON, "given", "a form"), Consent("k", ANN, NOON, "given", "a form")]
    return {
        "mute": (lambda: mute_chat(storage, Mute("1", FOREVER), by=DANA), [("1", "1")]),
        "unmute": (lambda: unmute_chats(storage, "1", by=DANA), [("1", "1")]),
        "retry": (lambda: storage.retry(["w.dead", "w.none"], by=DANA), [("w.dead", "1")]),
        "replay": (lambda: storage.replay_live(["w.dead2"], by=DANA), [("w.dead2", "1")]),
        "answer": (lambda: storage.put_order(order, "answer", "w.asked", by=DANA), [("w.asked", "1")]),
        "cancel": (lambda: storage.cancel("t-1", by=DANA), [("t-1", "1")]),
        "pause": (lambda: storage.order_broadcast("july", "pause", by=DANA), [("july", None)]),
        "edit": (lambda: storage.write_state(edited, by=DANA), [("x", None), ("x", "1"), ("x", ann)]),
        "consent": (lambda: storage.import_consents(rows, by=DANA), [("", None)]),
        "export": (lambda: storage.export(ANN, by=DANA), [("", ann)]),
        "forget": (lambda: storage.forget(ANN, by=DANA), [("", ann)]),
    }


async def test_each_act_of_an_operator_is_in_the_log(storage: Storage, clock: MovableClock) -> None:
    await prepare(storage)
    for what, (act, targets) in acts_of(storage).items():
        clock.advance(1)
        await act()
        found = await storage.acts(since=clock.now() - 0.5)
        assert {(each.who, each.what, each.reason) for each in found} == {("dana", what, "ticket 12")}, what
        assert [(each.target, each.about) for each in found] == targets
        assert all(each.at == pytest.approx(clock.now(), abs=0.5) for each in found)
    assert await storage.depth() == 3  # the order is stored, like the dead letters that were put back
    (consent,) = [each for each in await storage.acts() if each.what == "consent"]
    assert consent.counts == {"consent": 1}


async def test_an_act_that_came_to_nothing_or_that_no_operator_did_is_not_in_the_log(storage: Storage) -> None:
    await prepare(storage)
    await mute_chat(storage, Mute("1", FOREVER))
    assert not await unmute_chats(storage, "2", by=DANA)
    assert not await storage.cancel("none", by=DANA)
    assert not await storage.order_broadcast("july", "resume", by=DANA)
    assert await storage.retry(["none"], by=DANA) == 0
    seen = StateWrite("bot", "x", b"{}", expected=b"1")
    with pytest.raises(StateConflict):
        await storage.write_state([StateWrite("bot", "y", b"{}"), seen], by=DANA)
    assert (await storage.load("bot"), await storage.acts()) == ({}, [])


async def test_equal_orders_of_two_operators_are_one_delivery_and_two_acts(storage: Storage) -> None:
    order = Delivery("i.order.1", "c:1", "linqbot.order", b"{}", NOON)
    for who in ("dana", "eve"):
        await storage.put_order(order, "answer", "w.asked", by=By(who))
    assert await storage.depth() == 1
    assert {each.who for each in await storage.acts()} == {"dana", "eve"}


async def test_a_send_is_noted_before_it_is_made_and_named_by_its_message_then(storage: Storage) -> None:
    for chat in ("1", "2"):
        await storage.note_act("send", ActedOn("key", chat), by=DANA)
    await storage.note_act("mute", ActedOn("key", "1"), by=DANA)
    await storage.name_send("key", "1", "m-1")
    named = {(each.what, each.target, each.about) for each in await storage.acts()}
    assert named == {("send", "m-1", "1"), ("send", "key", "2"), ("mute", "key", "1")}


async def test_an_act_that_cannot_be_logged_is_not_done(tmp_path: Path) -> None:
    async with SQLiteStorage(tmp_path / "bot.db") as storage:
        await prepare(storage)
        with closing(sqlite3.connect(tmp_path / "bot.db")) as db:
            db.execute("DROP TABLE act")
        with pytest.raises(StorageUnavailable):
            await storage.retry(["w.dead"], by=DANA)
        with pytest.raises(StorageUnavailable):
            await mute_chat(storage, Mute("1", FOREVER), by=DANA)
        assert (len(await storage.dead_letters()), await stored_mutes(storage)) == (2, [])


async def test_forget_leaves_who_and_when_in_the_log_and_a_receipt(storage: Storage) -> None:
    body = json.dumps({"from": ANN, "chat_id": "1", "is_group": False}).encode()
    dead = Commit(DeadLetter("Boom"), state=[StateWrite("chat:2", "x", b"{}")])
    await handle(storage, delivery("c:1", name="w.1", body=body), commit=dead)
    await mute_chat(storage, Mute("1", FOREVER), by=DANA)
    await mute_chat(storage, Mute("2", FOREVER), by=DANA)
    await storage.export(ANN, by=DANA)
    forgotten = await storage.forget(ANN, by=By("eve"))
    assert forgotten.rows == {"dead": 1, "hold": 1, "act": 1}

    def said(each: OperatorAct) -> tuple[object, ...]:
        return each.who, each.what, each.target, each.reason, each.counts

    log = await storage.acts()
    assert [said(each) for each in log if each.counts is None] == [
        ("dana", "mute", "2", "ticket 12", None),
        ("dana", "mute", "", None, None),
    ]
    kept = {"dead": 1, "hold": 1, "act": 1}
    receipts = [("eve", "forget", "", None, kept), ("dana", "export", "", "ticket 12", kept)]
    assert [said(each) for each in await storage.acts(handle=ANN)] == receipts
    assert await storage.acts(handle="+1999") == []
    assert ANN not in repr(log)
    await storage.forget(ANN)
    (last, *_) = await storage.acts(handle=ANN)
    assert said(last) == ("the bot", "forget", "", None, {})


async def test_the_log_is_chosen_by_chat_and_by_time(storage: Storage, clock: MovableClock) -> None:
    for chat in ("1", "2", "1"):
        await mute_chat(storage, Mute(chat, FOREVER), by=DANA)
        clock.advance(10)
    times = [round(each.at - NOON) for each in await storage.acts(about="1")]
    assert times == [20, 0]
    assert [each.target for each in await storage.acts(since=NOON + 5, until=NOON + 15)] == ["2"]
    assert len(await storage.acts(limit=2)) == 2
