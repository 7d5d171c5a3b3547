"""The methods that the storage in a file and the storage in memory share: each is a query, or an operation to write."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from linqbot.clock import Clock
from linqbot.events.delivery import Delivery
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.dialect import Readable, Writable, drive
from linqbot.storage.methods import TableMethods
from linqbot.storage.sqlite import accept
from linqbot.storage.sqlite.file import transaction
from linqbot.storage.sqlite.index import Index
from linqbot.storage.sqlite.statements import SQLiteReader, among, outside
from linqbot.storage.tables import broadcasts, timers
from linqbot.storage.tables.deliveries import DELIVERY
from linqbot.storage.upkeep import Forgotten

T = TypeVar("T")


class SQLiteMethods(TableMethods):
    """The contract over SQLite, without opening, leasing and copying.

    Args:
        clock: The time for leases, retries and retention.
        serving: True if the index always mirrors the rows. A command reads the rows instead.
    """

    def __init__(self, clock: Clock | None, *, serving: bool) -> None:
        super().__init__(clock)
        self._serving = serving
        self._index = Index()

    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        return await self._query(lambda db: drive(query(SQLiteReader(db))))

    @abstractmethod
    async def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query, and return its result."""

    async def _operate(self, work: Callable[[Writable], Coroutine[Any, Any, T]]) -> T:
        now = self._clock.now()

        def write(db: sqlite3.Connection) -> T:
            with transaction(db):
                return drive(work(outside(db, now)))

        return await self._upkeep(write)

    @abstractmethod
    async def _upkeep(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a method for operators, which writes in transactions of its own, and make the index notice."""

    @property
    def is_shared(self) -> bool:
        """False: one process serves the content."""
        return False

    # Inbox

    def note_refused(self, lane: str) -> None:
        """Do nothing: no other process leases from this storage; see `Inbox.note_refused`."""

    async def announce_gap(self, since: float) -> None:
        """Do nothing: no other process leases from this storage; see `Inbox.announce_gap`."""

    def follow_gaps(self, found: Callable[[str | None, float | None], None]) -> None:
        """Do nothing: no other process receives deliveries; see `Inbox.follow_gaps`."""

    def end_leasing(self) -> None:
        """Do nothing: no other process leases from this storage; see `Inbox.end_leasing`."""

    async def next_due(self) -> float | None:
        """Return when a wait or a lease ends; see `Inbox.next_due`."""
        return self._index.lanes.next_due(self._clock.now(), self._clock.monotonic())

    async def depth(self) -> int:
        """Return the number of deliveries that are stored and not finished."""
        if self._serving:
            return self._index.lanes.depth
        # In a command the index may be outdated. Counting 100,000 rows takes milliseconds.
        (depth,) = await self._query(lambda db: db.execute("SELECT count(*) FROM delivery").fetchone())
        return int(depth)

    async def following(self, lane: str, limit: int) -> list[Delivery]:
        """Return the deliveries behind the head of a lane; see `Inbox.following`. Recent ones are not read from disk."""
        seqs = self._index.lanes.behind(lane, limit)
        known = {seq: row.delivery for seq in seqs if (row := self._index.recent.get(seq))}
        if missing := [seq for seq in seqs if seq not in known]:
            sql = f"SELECT seq, {DELIVERY} FROM delivery JOIN body USING (seq) WHERE seq IN (*)"  # noqa: S608 - constant text
            for seq, *columns in await self._query(lambda db: among(db, sql, missing)):
                known[seq] = Delivery(*columns)
        return [known[seq] for seq in seqs if seq in known]

    def watch(self, lane: str) -> AbstractContextManager[asyncio.Event]:
        """Watch a lane for new deliveries; see `Inbox.watch`."""
        return self._index.watched.watch(lane)

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        """Return which keys are known; see `Inbox.seen`."""
        return await self._query(lambda db: accept.seen(db, keys))

    async def has_seen(self, delivery_id: str) -> bool:
        """Return True if a delivery was stored before; see `Inbox.has_seen`."""
        sql = "SELECT 1 FROM seen WHERE id = ?"
        return await self._query(lambda db: db.execute(sql, (delivery_id,)).fetchone()) is not None

    async def first_activity(self) -> float | None:
        """Return when the first webhook ever was accepted; see `Inbox.first_activity`."""
        return self._index.first_active_at

    async def last_activity(self) -> float | None:
        """Return when the newest webhook was accepted; see `Inbox.last_activity`."""
        return self._index.active_at

    # Journal

    @property
    def has_made_scheduled_sends(self) -> bool:
        """See `Journal.has_made_scheduled_sends`."""
        return self._index.has_own_entries

    # Conversations

    def conversations_in(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the conversations of a chat; see `Conversations.conversations_in`."""
        return self._index.conversations.in_chat(chat_id)

    def conversations_of(self, person: str) -> Sequence[ConversationSummary]:
        """Return the conversations in which this person must answer; see `Conversations.conversations_of`."""
        return self._index.conversations.of_person(person)

    # Timers

    async def next_timer(self) -> float | None:
        """Return when the earliest timer is due; see `Timers.next_timer`."""
        return self._index.next_timer if self._serving else await self._read(timers.earliest)

    # Broadcasts

    async def next_broadcast(self) -> float | None:
        """Return when the next step of a broadcast is due; see `Broadcasts.next_broadcast`."""
        if self._serving:
            return self._index.next_broadcast
        now = self._clock.now()
        return await self._read(lambda db: broadcasts.next_at(db, now))

    # Upkeep. The modules that only these methods need are imported late: most bots that serve never call them.

    async def _put_back(self, tx: Any, ids: Sequence[str], places: Sequence[str], *, again: bool) -> int:
        from linqbot.storage.sqlite import upkeep

        return await upkeep.put_back(tx, ids, places, again=again)

    async def purge(self, *, before: float, limit: int = 500) -> int:
        """Delete old dead letters; see `Upkeep.purge`."""
        from linqbot.storage.sqlite import upkeep

        now = self._clock.now()
        return await self._upkeep(lambda db: upkeep.purge(db, before, limit, now))

    async def forget(self, handle: str, *, chats: Collection[str] = ()) -> Forgotten:
        """Erase a person; see `Upkeep.forget`. This writes a whole file again, which takes as long as copying it."""
        from linqbot.storage.sqlite import upkeep

        now = self._clock.now()
        return await self._upkeep(lambda db: upkeep.forget(db, handle, chats, now))
