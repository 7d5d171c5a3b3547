"""The default storage: one SQLite file. `storage/backend.py` has most of the contract.

Writes share commits (`writer.py`): when a method returns, its change is on disk. Reads run in a separate thread
with their own connection, because a page that is not in memory would block the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from linqbot.clock import Clock
from linqbot.errors import StorageUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import people
from linqbot.storage.backend import Storage
from linqbot.storage.dialect import Readable, drive
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.op_queue import LaneTransaction, ReleaseOp, WorkOp, nothing
from linqbot.storage.sqlite import lanes
from linqbot.storage.sqlite.commit_thread import CommitThread
from linqbot.storage.sqlite.file import cannot_be_opened, connect, prepare, tighten, transaction, translated
from linqbot.storage.sqlite.serving_lock import ServingLock
from linqbot.storage.sqlite.transaction import Index, SQLiteReader
from linqbot.storage.sqlite.writer import SQLiteWriter
from linqbot.storage.upkeep import Progress

T = TypeVar("T")

LOOK_EVERY_S = 1.0
"""Seconds between looks at the file that is served. Its place is also checked after each commit."""


class SQLiteMethods(Storage):
    """The contract over SQLite, without opening, leasing and copying. Without `serving`, rows are read, not the index."""

    _memory: Index

    def __init__(self, clock: Clock | None, limits: InboxLimits, *, serving: bool) -> None:
        super().__init__(clock, serving=serving)
        self._memory = Index(limits)
        self.holds = self._memory.holds
        self.edited = self._memory.edited

    async def _operate(self, work: Callable[[LaneTransaction], Coroutine[Any, Any, T]]) -> T:
        now = self._clock.now()

        async def named(tx: LaneTransaction) -> T:
            result = await work(tx)
            await people.write(tx)
            return result

        def write(db: sqlite3.Connection) -> T:
            with transaction(db):
                return drive(named(lanes.outside(db, now)))

        return await self._upkeep(write)

    async def _survey(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        return await self._upkeep(lambda db: drive(query(SQLiteReader(db))))

    async def _wipe(self, *, whole: bool) -> bool:
        from linqbot.storage.sqlite import upkeep

        return await self._upkeep(lambda db: upkeep.wipe(db, whole=whole))

    async def room_to_compact(self) -> str | None:
        """Raises StorageUnavailable if there is not enough."""
        from linqbot.storage.sqlite import upkeep

        needed = await self._upkeep(upkeep.needed)
        if needed.lack is not None:
            raise StorageUnavailable(needed.lack)
        return needed.about

    @abstractmethod
    async def _upkeep(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a method for operators, which writes in transactions of its own, and make the index notice."""

    async def next_due(self) -> float | None:
        return self._memory.lanes.next_due(self._clock.now(), self._clock.monotonic())

    async def depth(self) -> int:
        # In a command the index may be outdated. Counting 100,000 rows takes milliseconds.
        return self._memory.lanes.depth if self._serving else await super().depth()

    async def following(self, lane: str, limit: int) -> list[Delivery]:
        """If all are recent, none is read from disk."""
        seqs = self._memory.lanes.waiting(lane)[1 : 1 + limit]
        known = self._memory.recent.among(seqs)
        if len(known) < len(seqs):
            # All are read at one time: numbers may change meanwhile, and then one that is known could be read again.
            known = await self._read(lambda db: lanes.stored(db, seqs))
        return [known[seq] for seq in seqs if seq in known]

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        return await self._read(lambda db: lanes.seen(db, keys))


class SQLiteStorage(SQLiteMethods):
    """Inbox, journal, state and timers in one SQLite file.

    Args:
        path: The file. It is created if it is missing; its folder is not. `-wal`, `-shm` and `.lock` are next to it.
        clock: The time for leases, retries and retention.
        max_backlog: Maximum number of deliveries in the inbox. When it is reached, `put` raises StorageBusy.
        max_lane_backlog: Maximum number of deliveries in one lane. When it is reached, `put` raises LaneFull.
        serving: True for the one process that leases deliveries: it locks the file, and counts a crash for each
            delivery that was leased when the last server died. False for a command that runs next to the server: it
            can call everything except `take`, in short transactions, and the server notices its writes within a second.
            The file must exist then.
        keep_days: History: days for which deliveries can be replayed after their ack, and for which the texts stay in
            journal entries. With 0, bodies are deleted with the ack, and texts when Linq has accepted them. The value
            also applies to what was stored before.
        commit_thread: Waits for the disk; None is a thread of this storage.
    """

    _queue: SQLiteWriter

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        max_backlog: int = 1_000_000,
        max_lane_backlog: int = 1000,
        serving: bool = True,
        keep_days: float = 0,
        commit_thread: CommitThread | None = None,
    ) -> None:
        super().__init__(clock, InboxLimits(max_backlog, max_lane_backlog), serving=serving)
        # Resolved: two names of one file must use the same lock.
        self._path = Path(path).resolve()
        self._lock = ServingLock(self._path)
        self._next_look: asyncio.TimerHandle | None = None
        self._queue = SQLiteWriter(self._path, self._memory, self._clock, keep_days, commit_thread or CommitThread())
        self._reads: ThreadPoolExecutor | None = None
        self._reader: sqlite3.Connection

    async def __aenter__(self) -> Self:
        """Open the file, and create it if it is missing.

        Raises:
            ConfigError: the file cannot be served, for example because another process serves it.
            NewerSchema: a newer linqbot has written the file.
            StorageUnavailable: the file cannot be opened, read or written.
        """
        await asyncio.to_thread(self._open)
        self._queue.open()
        if self._serving:
            if self._memory.is_off_the_record:
                # A process that was killed may have left text off the record in the WAL.
                self._queue.truncate_soon()
            self._look(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Write what is queued, and close the file. A lease that was not finished counts as a crash from now on."""
        # Shielded from cancellation: a file that is half closed would look like a crash.
        await asyncio.shield(self._close())

    @property
    def trouble(self) -> str | None:
        return self._queue.place.lost

    # Inbox

    def _take_at_once(self, limit: int, lease_s: float) -> list[Lease] | None:
        if not self._queue.place.lost and not self._queue.is_reloading:
            now, monotonic = self._clock.now(), self._clock.monotonic()
            prefetched = self._memory.take_prefetched(limit, now=now, monotonic=monotonic, until=monotonic + lease_s)
            if prefetched is not None:
                return prefetched
        if given_back := self._memory.give_back_prefetched():
            # In the transaction of this take, so that it can lease these again.
            self._queue.post(ReleaseOp(given_back))
        return None

    async def has_seen(self, delivery_id: str) -> bool:
        seen = await super().has_seen(delivery_id)
        self._queue.place.check()
        return seen

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Only its owner can read the copy, like the file itself."""
        from linqbot.storage.sqlite import upkeep

        self._queue.place.check()
        await asyncio.to_thread(upkeep.backup, self._path, Path(path), progress)

    def _open(self) -> None:
        prepare(self._path, create=self._serving)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            if self._serving:
                self._lock.acquire()
                tighten(self._path)
            else:
                self._lock.check_file()
            self._queue.place.opening()
            self._reader = connect(self._path)
            undo.callback(self._reader.close)
            self._open_wal(self._reader)
            self._install = self._queue.connect(serving=self._serving)
            undo.pop_all()
        self._reads = ThreadPoolExecutor(1, "linqbot-storage-reader")

    def _open_wal(self, reader: sqlite3.Connection) -> None:
        try:
            reader.execute("PRAGMA query_only = ON")
            # The first read opens the WAL. It must happen now: after the file was moved it would fail, but running turns
            # still have to read then.
            reader.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise cannot_be_opened(self._path, error) from error

    async def _close(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        await self._queue.close()
        await asyncio.to_thread(self._disconnect)

    def _disconnect(self) -> None:
        reads, self._reads = self._reads, None
        if reads:
            reads.shutdown()
        try:
            # The reader first: the last connection that closes moves the WAL into the file, and the reader may not
            # write.
            self._reader.close()
            self._queue.disconnect()
        finally:
            self._lock.release()

    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        if self._reads is None:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        read = lambda: drive(query(SQLiteReader(self._reader)))  # noqa: E731
        with translated(self._path, f"{self._path.name} cannot be read"):
            return await asyncio.get_running_loop().run_in_executor(self._reads, read)

    async def _upkeep(self, work: Callable[[sqlite3.Connection], T]) -> T:
        from linqbot.storage.sqlite import upkeep

        if self._reads is None:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        # SQLite would create a missing file.
        self._queue.place.check()
        result = await asyncio.to_thread(upkeep.on_own_connection, self._path, work)
        await self._write(nothing)
        return result

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look now and then at the file: it may be lost, another process may have written, or text is to be deleted."""
        with contextlib.suppress(StorageUnavailable, sqlite3.Error):
            self._queue.place.check()
            self._queue.truncates = self._queue.truncate_at <= self._clock.now()
            if self._queue.truncates or self._queue.is_outdated or self._memory.next_upkeep <= self._clock.now():
                self._queue.post(WorkOp(nothing))
        self._next_look = loop.call_later(LOOK_EVERY_S, self._look, loop)
