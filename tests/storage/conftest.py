"""Fixtures of the storage tests. A test that uses `storage` runs on SQLite and on PostgreSQL.

A storage in memory has all operations of SQLite: `test_inbox_model.py`, `test_open.py` and most tests of features use it.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from linqbot_postgres.storage import PostgresStorage
from postgres_server import empty_storage_url
from storages import BACKENDS

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.contents import TABLES, Row
from linqbot.storage.conversations import NEW_CHAT, Conversation
from linqbot.storage.inbox import Ack, Commit, Lease
from linqbot.storage.journal import EntryStatus, JournalEntry
from linqbot.storage.open import backend_of
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage

NOON = 1_800_000_000.0

MakeStorage = Callable[..., Storage]

_NUMBERS = itertools.count(1)


def delivery(
    lane: str = "c:1",
    *,
    name: str | None = None,
    message_key: str | None = None,
    body: bytes = b"{}",
    carrier: str | None = None,
) -> Delivery:
    """`delivery(lane="c:1")` returns a new delivery, with a new id unless `name` is given."""
    made = name or f"w.no-{next(_NUMBERS)}"
    return Delivery(made, lane, "message.received", body, NOON, message_key, carrier, decoded={"id": made})


def entry(
    turn: str,
    slot: str = "0",
    *,
    replay: int = 0,
    key: str | None = None,
    status: EntryStatus = "attempting",
    answer: bytes | None = None,
    message_id: str | None = None,
    call: bytes = b'{"verb":"send"}',
) -> JournalEntry:
    """`entry("w.1", slot="0")` returns the journal entry of an attempted send, with a key made of turn and slot."""
    made = key or f"lb.{turn}.{replay}.{slot}"
    return JournalEntry(turn, replay, slot, made, "keyed", call, status, NOON, answer, message_id)


def asked(name: str = "w.root", *, chat: str = "1", person: str = "+1", root: bytes = b'{"a":1}') -> Conversation:
    """`asked("w.1")` returns the conversation of a question that waits, which this delivery began."""
    question = b'{"text":"Your name?"}'
    return Conversation(name, 0, chat, person, "bot:form", "waiting", NOON, NOON + 60, question, root=root)


def opening(turn: str, *, person: str = "+1 +9") -> Conversation:
    """`opening("w.1")` returns the row of a turn that opens the direct chat with a person, with the line that it uses."""
    return replace(asked(f"{NEW_CHAT}.{turn}", chat=NEW_CHAT, person=person), status="opening", handler="")


async def open_and_close(storage: Storage) -> None:
    async with storage:
        pass


async def take(storage: Storage, limit: int = 10, lease_s: float = 60.0) -> list[Lease]:
    return await storage.take(limit, lease_s=lease_s)


async def leased(storage: Storage, *deliveries: Delivery, limit: int = 1) -> Lease:
    """Put deliveries, and return the lease of the one that can be leased now."""
    for each in deliveries:
        await storage.put(each)
    (found,) = await take(storage, limit)
    return found


async def taken(storage: Storage) -> list[str]:
    """Lease what can be leased, and return the ids."""
    return [lease.delivery.id for lease in await take(storage, 100)]


async def handle_all(storage: Storage) -> list[str]:
    """Lease and ack until nothing can be leased, and return the ids in the order in which they were leased."""
    ids = []
    while leases := await take(storage):
        for lease in leases:
            ids.append(lease.delivery.id)
            await storage.finish(lease, Commit(Ack()))
    return ids


async def passes(seconds: float, storage: Storage, clock: MovableClock) -> None:
    """Let time pass, and store another delivery, with which rows are deleted that are kept no longer."""
    clock.advance(seconds)
    await storage.put(replace(delivery("c:later"), received_at=clock.now()))


async def handle(storage: Storage, *deliveries: Delivery, commit: Commit | None = None) -> None:
    """Put deliveries, each when the turn of the one before has ended: with an ack, if there is no other `commit`."""
    for each in deliveries:
        await storage.finish(await leased(storage, each), commit or Commit(Ack()))


async def is_woken(storage: Storage) -> bool:
    """Return True if `changed` returns now."""
    waiting = asyncio.ensure_future(storage.changed())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    waiting.cancel()
    return bool(done)


async def rows_of(url: str) -> dict[str, list[Row]]:
    """Return all rows of a storage by table. A process may be using it."""
    contents = backend_of(url, BACKENDS).contents(url)
    found: dict[str, list[Row]] = {table: [] for table in TABLES}
    async with contents:
        for table, rows in found.items():
            async with aclosing(contents.pages(table)) as pages:
                async for page in pages:
                    rows.extend(page)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a storage file, which does not exist yet."""
    return tmp_path / "bot.db"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOON, frozen=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.process)])
def make_storage(request: pytest.FixtureRequest, tmp_path: Path, clock: MovableClock) -> MakeStorage:
    """`make_storage("bot", keep_days=3)` returns a storage that is empty and not open, of each backend in turn."""

    def make(name: str = "bot", **options: Any) -> Storage:
        if request.param == "postgres":
            return PostgresStorage(empty_storage_url(name), clock=clock, **options)
        return SQLiteStorage(tmp_path / f"{name}.db", clock=clock, **options)

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.process)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a storage that is empty, of each backend in turn. `rows_of(url)` reads it from outside."""
    return f"sqlite:///{tmp_path}/bot.db" if request.param == "sqlite" else empty_storage_url("bot")


@pytest.fixture
def closed_storage(make_storage: MakeStorage) -> Storage:
    """A storage that is not open; it may be opened several times."""
    return make_storage(max_lane_backlog=5, max_backlog=20)


@pytest.fixture
async def storage(closed_storage: Storage) -> AsyncIterator[Storage]:
    async with closed_storage:
        yield closed_storage


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections through which storages write that were opened in this test."""
    found: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        found.append(file.connect(path))
        return found[-1]

    monkeypatch.setattr("linqbot.storage.sqlite.writer.connect", connect)
    return found


@pytest.fixture
def crashed(tmp_path: Path) -> Callable[[Path], Path]:
    """`crashed(path)` copies the file as a kill would leave it now, and returns the path of the copy."""
    numbers = itertools.count()

    def copy(path: Path) -> Path:
        folder = tmp_path / f"crash-{next(numbers)}"
        folder.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", folder / f"{path.name}{suffix}")
        return folder / path.name

    return copy
