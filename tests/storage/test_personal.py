"""Forgetting a person, with every backend: their records are erased, those of other people stay."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from storage.conftest import NOON, MakeStorage, entry, handle, handle_all, leased, rows_of
from storages import open_storage

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.features.muted_chats import Mute, mute_chat
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.consents import Consent
from linqbot.storage.contents import TABLES
from linqbot.storage.conversations import Conversation
from linqbot.storage.decisions import Decision
from linqbot.storage.holds import FOREVER
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Retry
from linqbot.storage.outcomes import OutcomeRow
from linqbot.storage.personal import KEPT, Person
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Forgotten, Selection

ANN, BOB, LINE = "+14155550142", "+14155550187", "+12052535597"
ME = {"handle": LINE, "is_me": True}


@pytest.fixture
async def storage(make_storage: MakeStorage) -> AsyncIterator[Storage]:
    async with make_storage(keep_days=9) as made:
        yield made


def said(name: str, sender: str, chat: str, *, is_group: bool = False, text: str = "hi") -> Delivery:
    body = {
        "event_id": name,
        "event_type": "message.received",
        "data": {
            "id": f"of-{name}",
            "chat": {"id": chat, "is_group": is_group, "owner_handle": ME},
            "sender_handle": {"handle": sender, "is_me": False},
            "parts": [{"type": "text", "value": text}],
        },
    }
    return Delivery.from_webhook(json.dumps(body).encode(), webhook_id="", received_at=NOON)


async def everything(storage: Storage) -> set[str]:
    return {*await storage.replayable(Selection()), *(each.id for each in await storage.waiting())}


async def test_a_person_is_forgotten_everywhere_and_other_people_are_not(storage: Storage, clock: MovableClock) -> None:
    for name, person, chat in (("a", ANN, "ann-chat"), ("b", BOB, "bob-chat")):
        state = [StateWrite(f"chat:{chat}", "x", b"1"), StateWrite(f"person:{person}", "x", b"1")]
        await handle(storage, said(f"{name}-done", person, chat), commit=Commit(Ack(), state=state))
        await handle(storage, said(f"{name}-dead", person, chat), commit=Commit(DeadLetter("Boom")))
        await handle(storage, said(f"{name}-wait", person, chat), commit=Commit(Retry(NOON + 99, "Boom")))
        await storage.put(said(f"{name}-behind", person, chat))
        await storage.schedule(Timer(f"{name}-lane", NOON, f"c:{chat}", "send", b"{}"))
        await storage.schedule(Timer(f"{name}-body", NOON, "c:x", "send", json.dumps({"to": [person]}).encode()))
        await storage.begin(entry(f"w.{name}-wait"))
        await storage.settle(entry("w.other", f"{name}-created", call=json.dumps({"body": {"to": [person]}}).encode()))
        in_chat = entry("w.other", f"{name}-sent", status="accepted", answer=b"{}")
        await storage.settle(replace(in_chat, chat_id=chat))
    assert await storage.forget(ANN) == Forgotten(
        Counter(delivery=2, done=1, dead=1, journal=3, timer=2, state=2), chats=("ann-chat",)
    )
    assert await everything(storage) == {"w.b-done", "w.b-dead", "w.b-wait", "w.b-behind"}
    assert await storage.depth() == 2
    assert [one.slot for one in await storage.entries("w.other")] == ["b-created", "b-sent"]
    assert (await storage.entries("w.a-wait"), len(await storage.entries("w.b-wait"))) == ([], 1)
    assert {one.id for one in await storage.scheduled()} == {"b-lane", "b-body"}
    for scope, count in ((f"person:{ANN}", 0), ("chat:ann-chat", 0), (f"person:{BOB}", 1), ("chat:bob-chat", 1)):
        assert len(await storage.load(scope)) == count
    assert await storage.forget(ANN) == Forgotten()
    clock.advance(100)
    assert (await leased(storage)).delivery.id == "w.b-wait"


async def test_a_lane_goes_on_without_its_erased_deliveries(storage: Storage) -> None:
    for name, person in (("1", BOB), ("2", ANN), ("3", BOB), ("4", ANN)):
        await storage.put(said(name, person, "group", is_group=True))
    await storage.forget(ANN)
    assert await handle_all(storage) == ["w.1", "w.3"]
    assert await storage.depth() == 0


async def test_deliveries_being_handled_are_left_and_reported(storage: Storage) -> None:
    await storage.put(said("1", ANN, "chat"))
    lease = await leased(storage, said("2", ANN, "chat"))
    await storage.begin(entry("w.1", call=json.dumps({"to": ANN}).encode()))
    assert await storage.forget(ANN) == Forgotten(Counter(delivery=1), left=("w.1",), chats=("chat",))
    assert len(await storage.entries("w.1")) == 1
    await storage.finish(lease, Commit(Ack()))
    assert await storage.forget(ANN) == Forgotten(Counter(done=1, journal=1), chats=("chat",))


async def test_a_forgotten_delivery_is_still_a_known_duplicate(storage: Storage) -> None:
    await storage.put(said("1", ANN, "chat"))
    await storage.forget(ANN)
    assert await storage.put(said("1", ANN, "chat")) is False


async def test_a_chat_in_which_somebody_writes_a_number_is_no_chat_of_that_person(storage: Storage) -> None:
    state = [StateWrite("chat:bob-chat", "x", b"1"), StateWrite(f"person:{BOB}", "x", b"1")]
    await handle(storage, said("asked", BOB, "bob-chat"), commit=Commit(Ack(), state=state))
    await handle(storage, said("whose", BOB, "bob-chat", text=ANN))
    made = {"chat": {"id": "bob-chat", "is_group": False}, "message": {"parts": [{"type": "text", "value": ANN}]}}
    await storage.settle(entry("w.whose", status="accepted", answer=json.dumps(made).encode()))
    assert await storage.forget(ANN) == Forgotten()
    assert await everything(storage) == {"w.asked", "w.whose"}
    assert await storage.load("chat:bob-chat") == {"x": b"1"}


async def test_records_that_only_mention_the_direct_chat_are_erased(storage: Storage) -> None:
    await storage.put(said("1", ANN, "chat"))
    await storage.put(Delivery("w.paid", "pay:1", "payment.succeeded", b'{"metadata": {"chat_id": "chat"}}', NOON))
    await storage.put(Delivery("w.other", "pay:2", "payment.succeeded", b'{"metadata": {"chat_id": "chat-2"}}', NOON))
    await storage.begin(entry("w.own", "0", call=b'{"path": "/v3/chats/chat/messages"}'))
    await storage.begin(entry("w.own", "1", call=b'{"path": "/v3/chats/chat-2/messages"}'))
    forgotten = await storage.forget(ANN)
    assert (forgotten.rows["delivery"], forgotten.rows["journal"]) == (2, 1)
    assert await everything(storage) == {"w.other"}
    assert [one.slot for one in await storage.entries("w.own")] == ["1"]


async def test_receipts_of_answers_to_the_person_in_a_group_are_erased_and_others_stay(storage: Storage) -> None:
    for name, person in (("a", ANN), ("b", BOB)):
        sent = entry(f"w.{name}", status="accepted", answer=b"{}", message_id=f"sent-{name}")
        await handle(storage, said(name, person, "group", is_group=True), commit=Commit(Ack(), entries=[sent]))
    for name in ("a", "b"):
        receipt = json.dumps({"data": {"id": f"sent-{name}", "parts": [{"value": "you said hi"}]}}).encode()
        await storage.put(Delivery(f"w.receipt-{name}", "r:group", "message.delivered", receipt, NOON))
    assert (await storage.forget(ANN)).rows["delivery"] == 1
    assert await everything(storage) == {"w.b", "w.receipt-b"}


async def test_entries_of_a_running_turn_of_another_person_stay_until_it_ends(storage: Storage) -> None:
    lease = await leased(storage, said("b", BOB, "bob-chat"))
    await storage.begin(entry("w.b", call=json.dumps({"body": {"to": [ANN]}}).encode()))
    assert await storage.forget(ANN) == Forgotten(left=("w.b",))
    await storage.finish(lease, Commit(Ack()))
    assert await storage.forget(ANN) == Forgotten(Counter(journal=1))
    assert await everything(storage) == {"w.b"}


async def test_a_question_of_another_person_stays_with_its_steps_until_it_ends(storage: Storage) -> None:
    asks = said("b", BOB, "group", is_group=True)
    asked = Conversation(
        "w.b", 0, "group", BOB, "bot:gift", "waiting", NOON, NOON + 60, b'{"text":"?"}', root=asks.body
    )
    step = entry("w.b", status="accepted", answer=json.dumps({"gift_to": ANN}).encode())
    also = replace(asked, id="w.c", person=f"{BOB} vote:w.c", question=json.dumps({"voters": [ANN]}).encode())
    await handle(storage, asks, commit=Commit(Ack(), [step], conversations=[asked, also]))
    assert await storage.forget(ANN) == Forgotten(left=("w.b", "w.c"))
    assert len(await storage.entries("w.b")) == 1
    await handle(storage, said("d", BOB, "group", is_group=True), commit=Commit(Ack(), ended=["w.b", "w.c"]))
    assert await storage.forget(ANN) == Forgotten(Counter(journal=1))


async def fill(storage: Storage, name: str, person: str, chat: str) -> None:
    """Store rows about a person in every table that can have some."""
    asks = said(f"{name}-asks", person, chat)
    asked = Conversation(
        asks.id, 0, chat, person, "bot:form", "waiting", NOON, NOON + 60, b'{"text":"?"}', root=asks.body
    )
    record = OutcomeRow(asks.id, asks.lane, asks.type, f"of-{name}", None, NOON, "handled", tried='[["bot:a","b"]]')
    sent = replace(entry(asks.id, status="accepted", answer=b"{}"), chat_id=chat)
    state = [StateWrite(f"chat:{chat}", "x", b'{"a":1}'), StateWrite(f"person:{person}", "x", b"[1]")]
    await handle(storage, asks, commit=Commit(Ack(), [sent], state, conversations=[asked], record=record))
    await handle(storage, said(f"{name}-dead", person, chat), commit=Commit(DeadLetter("Boom")))
    await storage.schedule(Timer(f"{name}-later", NOON + 60, f"c:{chat}", "send", b'{"text":"hi"}'))
    handoff = ChatHandoff(name, chat, person, LINE, LINE, name, None, "fr", 60.0)
    await mute_chat(storage, Mute(chat, FOREVER, person, "busy", handoff))
    await storage.note_consent(Consent(name, person, NOON, "given", "a form"))
    await storage.decide(Decision(name, NOON, "refused", "reply", "Not allowed.", "w.1", person, LINE))
    await storage.start_broadcast(NewBroadcast(name, LINE, 60, b"[]", NOON, lane=f"c:{chat}"), [person])
    await storage.write_state([StateWrite(f"person:{person}", "y", b"{}")], by=By("dana", "asked by phone"))


async def test_an_export_holds_every_row_that_forget_removes(url: str, clock: MovableClock) -> None:
    people = (("a", ANN, "ann-chat"), ("b", BOB, "bob-chat"))
    async with open_storage(url, clock=clock, keep_days=9) as storage:
        for name, person, chat in people:
            await fill(storage, name, person, chat)
        for name, person, chat in people:
            await storage.put(said(f"{name}-wait", person, chat))
        before, exported, others = await rows_of(url), await storage.export(ANN), await storage.export(BOB)
        forgotten, after = await storage.forget(ANN), await rows_of(url)
        assert [table for table, found in exported.rows.items() if not found] == []
        assert {table: len(found) for table, found in exported.rows.items()} == forgotten.rows
        for table in before.keys() - HOLD_NOTHING:
            gone = [row for row in before[table] if row not in after[table]]
            assert [tuple(row.values()) for row in exported.rows.get(table, ())] == gone
        assert not any((await storage.export(ANN)).rows.values())
        assert await storage.export(BOB) == others


HOLD_NOTHING = {"meta", "seen"}
"""Tables of `TABLES` without personal data. What `forget` erases leaves `seen` as an id of no delivery."""


def test_each_table_says_how_the_rows_of_a_person_are_found() -> None:
    assert KEPT.keys() | HOLD_NOTHING == TABLES.keys(), "Say in KEPT how a person is found in the new table."


def names(handle: str, document: Any) -> bool:
    return Person(handle, set()).is_named_in(document if isinstance(document, bytes) else json.dumps(document).encode())


def test_a_handle_of_a_person_matches_a_whole_value_only_in_any_case() -> None:
    assert names(ANN, {"data": {"handles": [{"handle": ANN}]}})
    assert names(ANN, b'{"from": "\\u002b14155550142"}')
    assert not names(ANN, {"text": f"call {ANN} please"})
    assert not names(ANN, {"from": ANN + "9"})
    assert not names(ANN, {"parts": [{"value": ANN, "filename": ANN}], "options": [{"text": ANN}], "first_name": ANN})
    assert names(ANN, {"data": {"seats": {ANN: 1}}})
    assert not names(ANN, b"not json " + ANN.encode())
    assert names("Ann@Example.org", {"from": "ann@example.ORG"})
    # The line of the bot is no person.
    assert not names(LINE, {"chat": {"owner_handle": ME, "is_group": False, "id": "chat"}})


def test_direct_chats_are_found_in_all_shapes_of_events_and_answers() -> None:
    person = Person(ANN, set())
    for data in (
        {"data": {"chat": {"id": "1", "is_group": False}, "from": ANN}},
        {"data": {"chat_id": "2", "is_group": False, "from": ANN, "message": {"id": "m"}}},
        {"data": {"id": "3", "is_group": False, "handles": [{"handle": ANN}]}},
        {"chat": {"id": "4", "is_group": False, "handles": [{"handle": ANN}]}},
        {"data": {"chat": {"id": "5", "is_group": True}, "from": ANN}},
        {"data": {"chat": {"id": "6", "is_group": False}, "from": BOB}},
        # A step may have listed chats: those of other people are not the person's.
        [{"id": str(n), "is_group": False, "handles": [{"handle": who}]} for n, who in ((3, ANN), (7, BOB))],
    ):
        person.is_named_in(json.dumps(data).encode())
    assert person.chats == {"1", "2", "3", "4"}
