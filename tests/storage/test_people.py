"""The index of people, with every backend: what is kept of one person is found without reading what is kept of others."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgres_server import connected
from storage.conftest import NOON, MakeStorage, entry, handle, passes
from storages import BACKENDS, open_storage

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.ops.stored_contents import copy
from linqbot.storage import people
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.dialect import schemas_in
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.outcomes import OutcomeRow
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

ANN, BOB, LINE = "+14155550142", "+14155550187", "+12052535597"
DAY_S = 86_400.0


@pytest.fixture
async def storage(make_storage: MakeStorage) -> AsyncIterator[Storage]:
    async with make_storage() as made:
        yield made


def said(name: str, sender: str, chat: str, *, is_group: bool = False, text: str = "hi") -> Delivery:
    me = {"handle": LINE, "is_me": True}
    data = {
        "id": f"of-{name}",
        "chat": {"id": chat, "is_group": is_group, "owner_handle": me},
        "sender_handle": {"handle": sender, "is_me": False},
        "parts": [{"type": "text", "value": text}],
    }
    body = {"event_id": name, "event_type": "message.received", "data": data}
    return Delivery.from_webhook(json.dumps(body).encode(), webhook_id="", received_at=NOON)


def record(of: Delivery) -> OutcomeRow:
    return OutcomeRow(of.id, of.lane, of.type, None, None, NOON, "handled")


def origin(sender: str, chat: str, *, is_group: bool = False) -> bytes:
    return json.dumps({"handles": [sender], "chat_id": chat, "is_group": is_group}, separators=(",", ":")).encode()


async def answered(storage: Storage, name: str, sender: str, chat: str, *, is_group: bool = False) -> None:
    """Handle a message as a bot does that answers it."""
    message = said(name, sender, chat, is_group=is_group)
    path = f'{{"noun":"messages","verb":"send","path":"/v3/chats/{chat}/messages"}}'.encode()
    reply = entry(message.id, status="accepted", answer=b"{}", message_id=f"sent-{name}", call=path)
    reply = replace(reply, chat_id=chat, origin=origin(sender, chat, is_group=is_group))
    await handle(storage, message, commit=Commit(Ack(), [reply], record=record(message)))


async def full_row_of(storage: Storage, name: str, person: str) -> None:
    """Store rows of a person in the tables that grow."""
    await answered(storage, name, person, f"chat-{name}")
    await handle(storage, said(f"{name}-dead", person, f"chat-{name}"), commit=Commit(DeadLetter("Boom")))
    await storage.schedule(Timer(f"{name}-t", NOON + 60, f"c:chat-{name}", "send", b"{}"))
    await storage.write_state([StateWrite(f"chat:chat-{name}", "x", b"1", person=person)])


# The cost


def steps_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the steps of SQLite's virtual machine on the connections of operators, and return a function that reads them."""
    counted = Counter[str]()

    def counting(of: Path) -> sqlite3.Connection:
        db = file.connect(of)
        db.set_progress_handler(lambda: counted.update(["steps"]), 100)
        return db

    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.connect", counting)

    def read() -> int:
        steps = counted["steps"]
        counted.clear()
        return steps

    return read


async def test_a_person_costs_the_same_in_a_file_with_many_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = steps_of(path, monkeypatch)
    costs: list[tuple[int, int]] = []
    async with SQLiteStorage(path, keep_days=9) as storage:
        for others in (10, 300):
            for n in range(others):
                await full_row_of(storage, f"{others}-{n}", f"+1415556{n:04}")
            await full_row_of(storage, f"ann-{others}", ANN)
            read()
            assert (await storage.export(ANN)).counts["journal"] == 1
            exported = read()
            monkeypatch.setattr("linqbot.storage.sqlite.file.wipe", lambda *_: True)
            assert (await storage.forget(ANN)).rows["journal"] == 1
            costs.append((exported, read()))
    (few_shown, few_erased), (many_shown, many_erased) = costs
    assert many_shown <= 1.5 * few_shown + 5
    assert many_erased <= 1.5 * few_erased + 5


async def test_no_table_is_read_whole_for_a_person(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def tracing(of: Path) -> sqlite3.Connection:
        db = file.connect(of)
        db.set_trace_callback(lambda sql: asked.add(" ".join(sql.split())))
        return db

    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.connect", tracing)
    async with SQLiteStorage(path, keep_days=9) as storage:
        await fill_all(storage)
        await storage.export(ANN)
        await storage.forget(ANN)
    wholly = set()
    with closing(sqlite3.connect(path)) as db:
        for sql in sorted(each for each in asked if each.startswith(("SELECT", "DELETE", "UPDATE"))):
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
            wholly |= {(step, sql) for step in plan if re.match(r"SCAN (?!json_each|CONSTANT)", step)}
    # The inbox has what waits now. Its rows without their bodies are read to find those of a lane.
    others = {each for each in wholly if "FROM delivery JOIN body" not in each[1] or "lane IN" not in each[1]}
    assert others == set()


async def test_an_echo_in_a_known_chat_adds_no_row_to_the_index(path: Path, opened: list[sqlite3.Connection]) -> None:
    async with SQLiteStorage(path) as storage:
        await answered(storage, "first", ANN, "chat")
        statements: list[str] = []
        opened[0].set_trace_callback(statements.append)
        await answered(storage, "second", ANN, "chat")
        opened[0].set_trace_callback(None)
    assert [each for each in statements if "named" in each] == []


async def test_a_turn_that_is_not_on_record_is_found_by_the_people_of_its_chat(
    make_storage: MakeStorage, clock: MovableClock
) -> None:
    made = make_storage()
    made.keep_outcomes_days = 0
    async with made as storage:
        message = said("1", ANN, "group", is_group=True)
        sent = replace(entry(message.id, status="accepted"), origin=origin(ANN, "group", is_group=True))
        await handle(storage, message, commit=Commit(Ack(), [sent]))
        assert (await storage.export(ANN)).counts == {"journal": 1}


# Completeness


async def test_who_is_named_in_a_later_message_of_a_known_chat_is_found(storage: Storage) -> None:
    await answered(storage, "1", BOB, "group", is_group=True)
    card = {"event_type": "message.received", "data": {"chat": {"id": "group"}, "sender_handle": {"handle": BOB}}}
    named = (ANN, "ann@example.com", "72975")
    for n, handle_of in enumerate(named):
        card["data"] |= {"id": str(n), "sender_handle": {"handle": BOB}, "contact": {"handle": handle_of}}  # type: ignore[operator]
        body = json.dumps(card).encode()
        await handle(
            storage,
            Delivery(f"w.card-{n}", "c:group", "message.received", body, NOON),
            commit=Commit(DeadLetter("Boom")),
        )
    assert [(await storage.export(each)).counts for each in named[:2]] == [{"dead": 1}, {"dead": 1}]


async def test_the_sender_of_a_first_message_may_be_a_short_code(storage: Storage) -> None:
    await handle(storage, said("1", "72975", "chat"), commit=Commit(DeadLetter("Boom")))
    assert (await storage.forget("72975")).rows == {"dead": 1}


async def test_people_are_found_whatever_letters_json_escapes(storage: Storage) -> None:
    body = json.dumps({"data": {"from": ANN}}).replace("+", "\\u002b").encode()
    await handle(storage, Delivery("w.1", "c:1", "x", body, NOON), commit=Commit(DeadLetter("Boom")))
    assert (await storage.export(ANN)).counts == {"dead": 1}


async def test_a_call_to_another_chat_is_found_with_that_chat(storage: Storage) -> None:
    await handle(storage, said("ann", ANN, "ann-chat"), commit=Commit(DeadLetter("Boom")))
    message = said("bob", BOB, "bob-chat")
    sent = replace(
        entry(message.id, status="accepted", answer=b"{}"), chat_id="ann-chat", origin=origin(BOB, "bob-chat")
    )
    own = replace(
        entry(message.id, "1", status="accepted", answer=b"{}"), chat_id="bob-chat", origin=origin(BOB, "bob-chat")
    )
    await handle(storage, message, commit=Commit(Ack(), [sent, own], record=record(message)))
    (found,) = (await storage.export(ANN)).rows["journal"]
    assert found["slot"] == "0"


async def test_who_writes_again_after_being_forgotten_is_found_again(storage: Storage) -> None:
    for n in range(3):
        await handle(storage, said(str(n), ANN, "chat"), commit=Commit(DeadLetter("Boom")))
        assert (await storage.forget(ANN)).rows == {"dead": 1}
    assert await storage.forget(ANN) == replace(await storage.forget(BOB), chats=())


async def test_another_process_that_has_seen_a_person_notes_them_again_after_they_were_forgotten(
    make_storage: MakeStorage, url: str
) -> None:
    async with open_storage(url) as server, open_storage(url, serving=False) as command:
        await handle(server, said("1", ANN, "chat"), commit=Commit(DeadLetter("Boom")))
        assert (await command.forget(ANN)).rows == {"dead": 1}
        await handle(server, said("2", ANN, "chat"), commit=Commit(DeadLetter("Boom")))
        assert (await command.forget(ANN)).rows == {"dead": 1}


async def test_a_person_with_many_rows_is_erased_in_several_short_transactions(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.personal.ERASED_AT_ONCE", 4)
    for n in range(10):
        await answered(storage, str(n), ANN, "chat")
    assert (await storage.forget(ANN)).rows == Counter(journal=10, outcome=10)
    receipts = await storage.acts(handle=ANN)
    assert [sorted((each.counts or {}).values()) for each in receipts] == [[2, 2], [4, 4], [4, 4]]


async def test_rows_of_places_where_nothing_is_left_are_deleted(url: str, clock: MovableClock) -> None:
    async with open_storage(url, clock=clock) as storage:
        await answered(storage, "1", ANN, "chat")
        await handle(storage, said("2", BOB, "dead-chat"), commit=Commit(DeadLetter("Boom")))
        assert await named(url) == {"c:chat", "c:dead-chat"}
        await passes(3 * DAY_S, storage, clock)
        assert await named(url) == {"c:chat", "c:dead-chat"}
        for _ in range(3):
            await passes(6 * DAY_S, storage, clock)
        assert await named(url) == {"c:dead-chat"}
        assert (await storage.export(BOB)).counts == {"dead": 1}


# A storage of an older linqbot


async def ran(url: str, *statements: str) -> list[Any]:
    """Run statements on a storage from outside, and return the rows of the last one."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return [db.execute(each).fetchall() for each in statements][-1]
    async with connected(url) as connection:
        return [await connection.fetch(each) for each in statements][-1]


async def named(url: str) -> set[str]:
    return {place for (place,) in await ran(url, "SELECT place FROM named WHERE who <> ''")}


async def forget_index(url: str) -> None:
    """Leave the storage as the migration of an older one does."""
    schema = schemas_in("linqbot.storage.sqlite" if url.startswith("sqlite") else "linqbot_postgres")[3]
    marks = re.findall(r"^INSERT INTO named .*;$", schema, re.MULTILINE)
    assert len(marks) == 7
    await ran(url, "DELETE FROM named", *marks)


async def fill_all(storage: Storage) -> None:
    asks = said("asks", ANN, "ann-chat")
    asked = Conversation(asks.id, 0, "ann-chat", ANN, "f", "waiting", NOON, NOON + 60, b"{}", root=asks.body)
    await handle(storage, asks, commit=Commit(Ack(), conversations=[asked], record=record(asks)))
    await full_row_of(storage, "a", ANN)
    await answered(storage, "b", ANN, "group", is_group=True)
    await storage.put(said("waits", ANN, "group", is_group=True))
    shared = Delivery("w.p", f"p:{LINE}:{ANN}", "location", b"{}", NOON)
    await handle(storage, shared, commit=Commit(Ack(), record=record(shared)))
    payload = json.dumps({"to": ANN}).encode()
    await storage.schedule(Timer("elsewhere", NOON + 60, "c:other", "send", payload))


async def test_what_an_older_linqbot_has_stored_is_found_before_the_index_is_made(
    url: str, clock: MovableClock
) -> None:
    async with open_storage(url, clock=clock, keep_days=9) as storage:
        await fill_all(storage)
        before = (await storage.export(ANN)).rows
        await forget_index(url)
        assert {**(await storage.export(ANN)).rows, "act": ()} == {**before, "act": ()}


async def test_a_server_makes_the_index_of_an_older_storage_a_few_rows_at_a_time(
    url: str, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_storage(url, clock=clock, keep_days=9) as storage:
        await fill_all(storage)
        before = (await storage.export(ANN)).rows
    await forget_index(url)
    monkeypatch.setattr("linqbot.storage.upkeep.FILLED_ROWS", 2)
    async with open_storage(url, clock=clock, keep_days=9) as storage:
        steps = 0
        while await ran(url, "SELECT 1 FROM named WHERE who = ''"):
            await passes(1, storage, clock)
            steps += 1
        assert steps > 5
        monkeypatch.setattr(people, "fill", nothing_is_left)
        after = (await storage.export(ANN)).rows
    assert {table: after[table] for table in before.keys() - {"act"}} == {
        table: before[table] for table in before.keys() - {"act"}
    }


async def nothing_is_left(*_: object, **__: object) -> int:
    return 0


async def test_a_copy_finds_people_too(url: str, tmp_path: Path) -> None:
    async with open_storage(url, keep_days=9) as storage:
        await fill_all(storage)
        before = (await storage.export(ANN)).counts
    target = f"sqlite:///{tmp_path}/copy.db"
    await copy(url, target, BACKENDS)
    async with open_storage(target, keep_days=9) as copied:
        assert (await copied.export(ANN)).counts == before
