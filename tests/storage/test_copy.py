"""A copy of a storage holds the same in the same order, on another backend and back, or nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from postgres_server import connected, dropped_storage_url, execute, server_url
from sqlite_connections import in_storage
from storage.conftest import delivery, entry, open_and_close, rows_of
from storages import BACKENDS, open_storage

from linqbot.errors import ConfigError, StorageError
from linqbot.events import Delivery
from linqbot.features.muted_chats import Mute, mute_chat
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.ops.stored_contents import check, copy, migrate
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.consents import Consent
from linqbot.storage.contents import TABLES
from linqbot.storage.conversations import Conversation
from linqbot.storage.decisions import Decision
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease, Retry
from linqbot.storage.outcomes import OutcomeRow
from linqbot.storage.sqlite import file
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

pytestmark = pytest.mark.process


PRIVATE = json.dumps({"data": {"zero_retention": True, "text": "off the record"}}).encode()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "full.db"
    in_storage(path, fill, keep_days=9)
    return path


@pytest.fixture
def full(filled: Path, tmp_path: Path) -> str:
    """The URL of a file with rows in every table. A process was killed while it handled w.3."""
    return f"sqlite:///{shutil.copy(filled, tmp_path)}"


async def fill(storage: Storage) -> None:
    now = time.time()

    async def lease(made: Delivery) -> Lease:
        await storage.put(made)
        (lease,) = [each for each in await storage.take(9, lease_s=600) if each.delivery.id == made.id]
        return lease

    state = [StateWrite("bot", "Menü", b'{"soup":3}'), StateWrite("chat:é", "a", b"1", person="+1")]
    asked = Conversation("w.1", 0, "1", "+1", "bot:form", "waiting", now, now + 60, b'{"text":"?"}', root=b"{}")
    first = await lease(delivery("c:1", name="w.1", message_key="m.1"))
    sent = [entry("w.1", "0", status="accepted", answer=b'{"a":1}', message_id="out-1"), entry("w.1", "1")]
    await storage.finish(first, Commit(Ack(), sent, state, conversations=[asked]))
    again = await lease(delivery("c:2", name="w.2"))
    row = OutcomeRow(
        "w.2", "c:2", "t", "m", "t", now, "retry", "bot:x", "KeyError", "w.1", 1, 1, 1, 0.5, "[]", "[]", "[]"
    )
    await storage.finish(again, Commit(Retry(now + 3600, "no\0answer"), record=row))
    await storage.put(delivery("c:2", name="w.2b", message_key="m.2b"))
    later = await lease(delivery("c:5", name="w.5"))
    await storage.finish(later, Commit(Defer(now - 5, "Linq is away")))
    dead = await lease(delivery("c:4", name="w.4", body=PRIVATE))
    await storage.finish(dead, Commit(DeadLetter("no\0way", "bot:x")))
    await storage.schedule(Timer("t-1", now + 60, "c:1", "send", b'{"text":"later"}'))
    await storage.schedule(Timer("t-2", now + 60, "c:1", "send", PRIVATE))
    await mute_chat(storage, Mute("9", now + 60, "+14155550142", "Dana answers", only_proactive=True, since=now))
    await storage.import_consents([Consent("k", "+14155550142", now, "given", "a form")], by=By("dana", "ticket 12"))
    await storage.write_state([StateWrite("chat:7", "a", b"1")], by=By("dana"))
    await storage.decide(Decision("k", now, "refused", "reply", "Not allowed.", "w.1", "+14155550142", "+1", now))
    handoff = ChatHandoff("h", "8", "+1", "+2", "+3", "Ann", None, "fr", 60.0, taken=True)
    await mute_chat(storage, Mute("8", now + 60, "+1", handoff=handoff))
    await storage.start_broadcast(NewBroadcast("july", "+1", 20, b"[]", now), ["+2", "ann@example.com"])
    await storage.fire(now)
    await asyncio.gather(*(storage.put(delivery(f"c:many-{n % 7}", name=f"w.many-{n}")) for n in range(300)))
    await lease(delivery("c:3", name="w.3", body=PRIVATE, carrier='{"trace":"1"}'))


def fill_every_column(path: Path) -> None:
    """Give each column of each table a value in some row, and each table that has text a row off the record."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(
            """
            UPDATE delivery SET replay = 1, put_back = 1, attempts = 2, crashes = 3, crashed_with_others = 4,
                max_concurrent_suspects = 5, progress = 6, crashes_before_progress = 7, early = 1 WHERE id = 'w.2';
            UPDATE dead SET message_key = 'm.4', carrier = '{}', replay = 1, attempts = 2, crashes = 3;
            INSERT INTO dead (id, lane, type, received_at, error, replay, delivery_count, attempts, crashes, dead_lettered_at, body)
                SELECT 'w.4b', lane, type, 2.5, 'why', 0, 0, 0, 0, 3.5, CAST('{}' AS BLOB) FROM dead;
            UPDATE done SET carrier = '{}', replay = 2;
            UPDATE journal SET replay = 1, chat_id = '1', delivery = 'read', digest = 'd', origin = CAST('{}' AS BLOB),
                off_the_record = 1, texts = 1, ended_at = 1.5 WHERE slot = '1';
            UPDATE conversation SET replay = 1, off_the_record = 1;
            UPDATE broadcast SET next_at = 1.5, ended_at = 2.5, off_the_record = 1, lane = 'c:1';
            UPDATE recipient SET reason = 'why', at = 1.5 WHERE n = 2;
            UPDATE seen SET at = n FROM (SELECT seq AS s, row_number() OVER () AS n FROM seen) WHERE seq = s;
            """
        )


async def test_a_copy_of_a_copy_is_equal_row_by_row_on_every_backend(full: str, tmp_path: Path) -> None:
    fill_every_column(tmp_path / "full.db")
    first = await rows_of(full)
    empty = [
        f"{table}.{name}"
        for table, names in TABLES.items()
        for n, name in enumerate(names)
        if not any(row[n] for row in first[table])
    ]
    assert not empty, "these columns show nothing"
    files = [f"sqlite:///{tmp_path}/copy-{n}.db" for n in range(4)]
    way = [full, files[0], files[1], dropped_storage_url("one"), dropped_storage_url("two"), files[2], files[3]]
    for source, target in pairwise(way):
        told = list[tuple[int, int]]()
        copied = await copy(source, target, BACKENDS, lambda done, total, told=told: told.append((done, total)))  # type: ignore[misc]
        assert told == sorted(told)
        assert told[-1] == (2 * copied.digest.total,) * 2
        assert copied.digest.rows == {table: len(rows) for table, rows in first.items()}
        report = await check(target, BACKENDS)
        assert (report.problems, report.digest) == ((), copied.digest)
        found = await rows_of(target)
        for table in TABLES:
            assert found[table] == first[table], (table, source, target)
    dumps = []
    for url in files:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            dumps.append(list(db.iterdump()))
            for table in ("body", "dead", "timer", "journal", "conversation", "broadcast"):
                (padded,) = db.execute(f"SELECT count(*) FROM {table} WHERE length(padding) = 4096").fetchone()
                assert padded, table
            assert db.execute("SELECT value FROM meta WHERE key = 'off_the_record'").fetchone() == ("1",)
    assert dumps[1:] == dumps[:1] * 3


async def test_a_copy_goes_on_where_the_first_storage_was(full: str) -> None:
    there = dropped_storage_url("goes_on")
    await copy(full, there, BACKENDS)
    ends: list[object] = []
    for url in (full, there):
        async with open_storage(url, keep_days=9) as storage:
            for name, message_key in (("w.1", "m.1"), ("w.1", "m.other"), ("w.other", "m.1"), ("w.other", "m.2b")):
                assert await storage.put(delivery("c:again", name=name, message_key=message_key)) is False
            taken = {each.delivery.lane: each for each in await storage.take(500, lease_s=60)}
            assert "c:2" not in taken, "its retry is due in an hour"
            assert taken["c:many-3"].delivery.id == "w.many-3"
            assert (taken["c:3"].crashes, taken["c:3"].delivery_count) == (0, 1)
            assert not await storage.put(taken["c:5"].delivery)
            ends.append(
                (
                    storage.install,
                    sorted((lane, each.attempts, each.crashes, each.replay) for lane, each in taken.items()),
                    await storage.seen(["m.1", "w.1", "m.2b", "w.2", "w.77"]),
                    storage.conversations_in("1"),
                    await storage.entries("w.1"),
                    await storage.state_rows(),
                    # Stored by the database's clock, which was compared with ours once more.
                    [replace(timer, due=round(timer.due)) for timer in await storage.scheduled()],
                    await storage.recipients("july"),
                    [(letter.delivery, letter.handler) for letter in await storage.dead_letters()],
                )
            )
    assert ends[0] == ends[1]


class Interrupted(Exception):
    """A test ends a copy in the middle."""


def interrupt(done: int, total: int) -> None:
    if done > total / 4:
        raise Interrupted


@pytest.mark.parametrize("to", ["postgresql", "sqlite"])
async def test_an_interrupted_copy_is_empty_and_not_used_until_it_is_made_again(
    full: str, tmp_path: Path, to: str
) -> None:
    target = dropped_storage_url("interrupted") if to == "postgresql" else f"sqlite:///{tmp_path}/target.db"

    with pytest.raises(Interrupted):
        await copy(full, target, BACKENDS, interrupt)
    for serving in (True, False):
        with pytest.raises(ConfigError, match=r"a copy of .*full\.db, which was interrupted"):
            await open_and_close(open_storage(target, serving=serving))
    report = await check(target, BACKENDS)
    assert "interrupted" in report.problems[0]
    assert report.digest is not None
    assert not any(count for table, count in report.digest.rows.items() if table != "meta")
    copied = await copy(full, target, BACKENDS)
    report = await check(target, BACKENDS)
    assert (report.problems, report.digest) == ((), copied.digest)
    await open_and_close(open_storage(target))


async def test_a_storage_that_holds_rows_is_not_overwritten(full: str) -> None:
    there = dropped_storage_url("overwritten")
    async with open_storage(there) as storage:
        await storage.write_state([StateWrite("bot", "a", b"1")])
    for source, target in ((full, there), (there, full)):
        with pytest.raises(StorageError, match=r"holds \d+ rows already"):
            await copy(source, target, BACKENDS)


@pytest.mark.parametrize("serves", ["source", "target"])
async def test_a_copy_is_refused_while_a_process_serves_a_file(full: str, tmp_path: Path, serves: str) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    async with open_storage(other):
        with pytest.raises(StorageError, match=r"other\.db.*Stop the process first"):
            await (
                copy(other, f"sqlite:///{tmp_path}/new.db", BACKENDS)
                if serves == "source"
                else copy(full, other, BACKENDS)
            )


async def test_a_copy_and_a_process_that_uses_the_database_refuse_each_other(full: str, tmp_path: Path) -> None:
    there = dropped_storage_url("used")
    async with open_storage(there):
        with pytest.raises(StorageError, match="Stop the process first"):
            await copy(full, there, BACKENDS)
    async with open_storage(there, serving=False):
        with pytest.raises(StorageError, match="a server, or a linqbot command"):
            await copy(full, there, BACKENDS)
    await copy(full, there, BACKENDS)
    refused: list[bool] = []

    async def use() -> None:
        try:
            async with open_storage(there):
                refused.append(False)
        except ConfigError as error:
            refused.append("is being copied" in str(error))

    def during(done: int, total: int) -> None:
        if not refused:
            # In another thread, so that the copy waits for it.
            with ThreadPoolExecutor(1) as other:
                other.submit(asyncio.run, use()).result()

    await copy(there, f"sqlite:///{tmp_path}/back.db", BACKENDS, during)
    assert refused == [True]


async def test_check_names_rows_that_contradict_each_other(full: str, tmp_path: Path) -> None:
    there = dropped_storage_url("contradicting")
    await copy(full, there, BACKENDS)
    execute(server_url(), "DELETE FROM contradicting.body WHERE seq = (SELECT seq FROM contradicting.delivery LIMIT 1)")
    execute(server_url(), "DELETE FROM contradicting.queue WHERE seq = (SELECT max(seq) FROM contradicting.delivery)")
    assert (await check(there, BACKENDS)).problems == (
        "1 waiting deliveries have no body.",
        "1 waiting deliveries are not in the queue, so they are never handled.",
    )
    with closing(sqlite3.connect(tmp_path / "full.db")) as db, db:
        db.execute("DELETE FROM body WHERE seq = 2")
    assert (await check(full, BACKENDS)).problems == ("1 waiting deliveries have no body.",)


async def test_check_finds_a_damaged_file(full: str, tmp_path: Path) -> None:
    path = tmp_path / "full.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'seen_by_message_key'").fetchone()
    with path.open("r+b") as damaged:
        damaged.seek((page - 1) * 4096 + 8)
        damaged.write(b"\xff" * 200)
    assert any(problem.startswith("The file is damaged: ") for problem in (await check(full, BACKENDS)).problems)


async def test_an_old_schema_is_reported_and_copied_only_after_it_is_migrated(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    await open_and_close(open_storage(url))
    old = file.newest_schema()
    of_next_release = {**file.schemas(), old + 1: "CREATE TABLE added (n INTEGER PRIMARY KEY);"}
    monkeypatch.setattr(file, "schemas", lambda: of_next_release)
    report = await check(url, BACKENDS)
    assert report.digest is None
    assert f"Schema {old} is older than" in report.problems[0]
    with pytest.raises(StorageError, match=rf"has schema {old}.*migrate"):
        await copy(url, f"sqlite:///{tmp_path}/new.db", BACKENDS)
    before = await migrate(url, BACKENDS)
    assert (before.have, (await migrate(url, BACKENDS)).have) == (old, before.newest)
    assert (await check(url, BACKENDS)).problems == ()
    async with open_storage(full):
        with pytest.raises(ConfigError, match="serves this storage already"):
            await migrate(full, BACKENDS)


async def test_a_newer_schema_is_refused(full: str, tmp_path: Path) -> None:
    there = dropped_storage_url("newer_copy")
    before = await migrate(there, BACKENDS)
    assert (before.have, (await migrate(there, BACKENDS)).have) == (0, before.newest)
    execute(server_url(), "UPDATE newer_copy.meta SET value = '999' WHERE key = 'schema'")
    with closing(sqlite3.connect(tmp_path / "full.db")) as db:
        db.execute("PRAGMA user_version = 999")
    for url in (there, full):
        for refused in (
            check(url, BACKENDS),
            migrate(url, BACKENDS),
            copy(url, f"sqlite:///{tmp_path}/new.db", BACKENDS),
        ):
            with pytest.raises(StorageError, match="has schema 999"):
                await refused


async def test_every_column_of_postgresql_is_copied() -> None:
    """For the columns of a file see test_released_files.py."""
    own = {"n", "seq", "padding", "token", "owner"}
    there = dropped_storage_url("columns")
    await migrate(there, BACKENDS)
    sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'columns'"
    async with connected(there) as connection:
        rows = await connection.fetch(sql)
    columns = defaultdict[str, set[str]](set)
    for table, column in rows:
        columns[table].add(column)
    columns["delivery"] |= columns.pop("body") | {"leased"}
    assert columns.pop("process") == {"id", "lock", "settled", "started_at"}
    assert columns.pop("head") == {"lane", "seq"}  # triggers fill it
    assert columns.pop("queue") == {"seq", "free_at"}  # a copy gives new numbers
    assert columns.pop("named") == {"who", "place", "at"}  # a copy makes it of the rows that it finds
    copied = {table: set(names) - own for table, names in TABLES.items()}
    assert {table: names - own for table, names in columns.items()} == copied
