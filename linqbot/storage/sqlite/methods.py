"""The methods that the storage in a file and the storage in memory share: each is a query, or an operation to write."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

from linqbot.clock import Clock
from linqbot.events.delivery import Delivery
from linqbot.storage import broadcasts, timers
from linqbot.storage.backend import Storage
from linqbot.storage.dialect import Readable, Writable, drive
from linqbot.storage.inbox import InboxLimits
from linqbot.storage.sqlite import lanes
from linqbot.storage.sqlite.file import transaction
from linqbot.storage.sqlite.index import Index
from linqbot.storage.sqlite.statements import SQLiteReader, among, outside
from linqbot.storage.upkeep import DELIVERY, Forgotten

T = TypeVar("T")


class SQLiteMethods(Storage):
    """The contract over SQLite, without opening, leasing and copying.

    Args:
        serving: True if the index always mirrors the rows. A command reads the rows instead.
    """

    _memory: Index

    def __init__(self, clock: Clock | None, limits: InboxLimits, *, serving: bool) -> None:
        super().__init__(clock, serving=serving)
        self._memory = Index(limits)

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

    async def next_due(self) -> float | None:
        """Return when a wait or a lease ends; see `Storage.next_due`."""
        return self._memory.lanes.next_due(self._clock.now(), self._clock.monotonic())

    async def depth(self) -> int:
        """Return the number of deliveries that are stored and not finished."""
        if self._serving:
            return self._memory.lanes.depth
        # In a command the index may be outdated. Counting 100,000 rows takes milliseconds.
        (depth,) = await self._query(lambda db: db.execute("SELECT count(*) FROM delivery").fetchone())
        return int(depth)

    async def following(self, lane: str, limit: int) -> list[Delivery]:
        """Return the deliveries behind the head of a lane; see `Storage.following`. Recent ones are not read from disk."""
        seqs = self._memory.lanes.behind(lane, limit)
        known = {seq: row.delivery for seq in seqs if (row := self._memory.recent.get(seq))}
        if missing := [seq for seq in seqs if seq not in known]:
            sql = f"SELECT seq, {DELIVERY} FROM delivery JOIN body USING (seq) WHERE seq IN (*)"  # noqa: S608 - constant text
            for seq, *columns in await self._query(lambda db: among(db, sql, missing)):
                known[seq] = Delivery(*columns)
        return [known[seq] for seq in seqs if seq in known]

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        """Return which keys are known; see `Storage.seen`."""
        return await self._query(lambda db: lanes.seen(db, keys))

    async def first_activity(self) -> float | None:
        """Return when the first webhook ever was accepted; see `Storage.first_activity`."""
        return self._memory.first_active_at

    async def last_activity(self) -> float | None:
        """Return when the newest webhook was accepted; see `Storage.last_activity`."""
        return self._memory.active_at

    # Timers

    async def next_timer(self) -> float | None:
        """Return when the earliest timer is due; see `Storage.next_timer`."""
        return self._memory.next_timer if self._serving else await self._read(timers.earliest)

    # Broadcasts

    async def next_broadcast(self) -> float | None:
        """Return when the next step of a broadcast is due; see `Storage.next_broadcast`."""
        if self._serving:
            return self._memory.next_broadcast
        now = self._clock.now()
        return await self._read(lambda db: broadcasts.next_at(db, now))

    # Upkeep. The modules that only these methods need are imported late: most bots that serve never call them.

    async def _put_back(self, tx: Any, ids: Sequence[str], places: Sequence[str], *, again: bool) -> int:
        from linqbot.storage.sqlite import upkeep

        return await upkeep.put_back(tx, ids, places, again=again)

    async def purge(self, *, before: float, limit: int = 500) -> int:
        """Delete old dead letters; see `Storage.purge`."""
        from linqbot.storage.sqlite import upkeep

        now = self._clock.now()
        return await self._upkeep(lambda db: upkeep.purge(db, before, limit, now))

    async def forget(self, handle: str, *, chats: Collection[str] = ()) -> Forgotten:
        """Erase a person; see `Storage.forget`. This writes a whole file again, which takes as long as copying it."""
        from linqbot.storage.sqlite import upkeep

        now = self._clock.now()
        return await self._upkeep(lambda db: upkeep.forget(db, handle, chats, now))
