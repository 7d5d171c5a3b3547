"""No row of a storage holds a text that is to be kept no longer, whatever the backend."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from postgres_server import empty_storage_url
from storage.conftest import NOON, leased

from linqbot.clock import MovableClock
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.contents import TABLES, Contents
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease
from linqbot.storage.journal import JournalEntry
from linqbot.storage.postgres.contents import PostgresContents
from linqbot.storage.postgres.storage import PostgresStorage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.sqlite.upkeep import SQLiteContents
from linqbot.storage.timers import Timer

pytestmark = pytest.mark.anyio

DAY_S = 24 * 3600.0
WORDS = "what a person has said"


class Place:
    """A storage that is opened and read from outside."""

    def __init__(self, kind: str, folder: Path, clock: MovableClock) -> None:
        self._path = folder / "bot.db"
        self._url = empty_storage_url("retention") if kind == "postgres" else ""
        self._clock = clock

    def storage(self, keep_days: float) -> Storage:
        if self._url:
            return PostgresStorage(self._url, clock=self._clock, keep_days=keep_days)
        return SQLiteStorage(self._path, clock=self._clock, keep_days=keep_days)

    async def with_words(self) -> set[str]:
        """Return the tables of which a row holds the words."""
        contents: Contents = PostgresContents(self._url) if self._url else SQLiteContents(self._path)
        found: set[str] = set()
        async with contents:
            for table in TABLES:
                pages: Any = contents.pages(table)
                async with aclosing(pages):
                    found |= {table async for page in pages if any(WORDS in _text(row) for row in page)}
        return found


def _text(row: tuple[Any, ...]) -> str:
    return " ".join(value.decode() if isinstance(value, bytes) else str(value) for value in row)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.process)])
def place(request: pytest.FixtureRequest, tmp_path: Path, clock: MovableClock) -> Place:
    return Place(request.param, tmp_path, clock)


def said(name: str, *, is_private: bool) -> Delivery:
    data = {"zero_retention": is_private, "parts": [{"type": "text", "value": WORDS}]}
    return Delivery(name, f"c:{name}", "message.received", json.dumps({"data": data}).encode(), NOON)


def sent(turn: str, *, is_private: bool) -> JournalEntry:
    call = {"verb": "send", "body": {"message": {"parts": [{"type": "text", "value": WORDS}]}}}
    answer = json.dumps({"message": call["body"]}).encode()
    made = json.dumps(call).encode()
    return JournalEntry(turn, 0, "0", f"key-{turn}", "keyed", made, "accepted", NOON, answer, off_the_record=is_private)


async def lease(storage: Storage, delivery: Delivery) -> Lease:
    await storage.put(delivery)
    return next(each for each in await storage.take(9, lease_s=60) if each.delivery.id == delivery.id)


@pytest.fixture
async def used(place: Place) -> AsyncIterator[Storage]:
    """A storage that keeps history for three days, with turns on and off the record that are over."""
    async with place.storage(keep_days=3) as storage:
        for name, is_private in (("w.public", False), ("w.private", True)):
            ended = await lease(storage, said(name, is_private=is_private))
            entry = sent(name, is_private=is_private)
            await storage.begin(entry, ended)
            await storage.finish(ended, Commit(Ack(), [entry], off_the_record=is_private))
        yield storage


async def test_texts_off_the_record_leave_all_tables_with_the_ack(place: Place) -> None:
    async with place.storage(keep_days=3) as storage:
        ended = await lease(storage, said("w.private", is_private=True))
        entry = sent("w.private", is_private=True)
        await storage.begin(entry, ended)
        assert await place.with_words() == {"delivery", "journal"}
        await storage.finish(ended, Commit(Ack(), [entry], off_the_record=True))
        assert await place.with_words() == set()


async def test_history_is_deleted_with_the_first_write_after_its_days(
    place: Place, used: Storage, clock: MovableClock
) -> None:
    assert await place.with_words() == {"done", "journal"}
    clock.advance(2.9 * DAY_S)
    await used.put(said("w.later", is_private=False))
    assert await place.with_words() == {"delivery", "done", "journal"}
    await used.finish(await leased(used), Commit(DeadLetter("no handler")))
    assert await used.purge(before=clock.now() + 1) == 1
    clock.advance(0.2 * DAY_S)
    await used.check()
    assert await place.with_words() == set()


async def test_a_text_that_waits_leaves_with_what_ends_the_wait(place: Place, clock: MovableClock) -> None:
    async with place.storage(keep_days=0) as storage:
        payload = json.dumps({"calls": WORDS}).encode()
        await storage.schedule(Timer("t-1", NOON + 60, "c:1", "send", payload, 30.0))
        await storage.start_broadcast(NewBroadcast("july", "+1", 20, payload, NOON), ["+2"])
        asked = Conversation("w.1", 0, "1", "+1", "bot:form", "waiting", NOON, NOON + 60, payload, root=payload)
        first = await lease(storage, said("w.1", is_private=False))
        await storage.finish(first, Commit(Ack(), conversations=[asked]))
        assert await place.with_words() == {"timer", "broadcast", "conversation"}
        await storage.cancel("t-1")
        await storage.order_broadcast("july", "cancel")
        await storage.advance_broadcasts(clock.now())
        answer = await lease(storage, said("w.2", is_private=False))
        await storage.finish(answer, Commit(Ack(), ended=["w.1"]))
        assert await place.with_words() == set()
