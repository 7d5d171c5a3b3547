"""The default storage: one SQLite file. This is its face to the event loop; `sqlite_writer.py` is its pen.

Writes share commits (`group_commit.py`): what returns is on disk. Reads run on a thread and a connection of their
own, since a page that is not in memory would hold up the loop.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from linqbot.clock import Clock, SystemClock
from linqbot.errors import StorageError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.storage.group_commit import GroupCommit, Op
from linqbot.storage.inbox import DeadLetter, Finish, Lease
from linqbot.storage.outbox import Effect
from linqbot.storage.serving_lock import ServingLock
from linqbot.storage.sqlite_file import connect, prepare
from linqbot.storage.sqlite_writer import BeginOp, FinishOp, PutOp, ReleaseOp, SettleOp, TakeOp, Writer

T = TypeVar("T")


class SQLiteStorage:
    """Inbox, outbox and state in one SQLite file.

    Args:
        path: The file; made if it is missing, its folder is not. `-wal`, `-shm` and `.lock` appear beside it.
        clock: For leases, retries and how long things are kept.
        max_backlog: Deliveries in the inbox; beyond, `put` raises StorageBusy.
        max_lane_backlog: Deliveries in one lane, likewise.
        serving: True for the one process that takes deliveries: it locks the file, and counts what was claimed when
            the last one died. False for a command beside it: everything but `take` may be done, in short
            transactions, and the server is woken by what was written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        max_backlog: int = 1_000_000,
        max_lane_backlog: int = 1000,
        serving: bool = True,
    ) -> None:
        # Resolved: two names of one file must meet at one lock.
        self._path = Path(path).resolve()
        self._serving = serving
        self._lock = ServingLock(self._path)
        self._writer = Writer(
            self._path, clock=clock or SystemClock(), max_backlog=max_backlog, max_lane_backlog=max_lane_backlog
        )
        self._commits = GroupCommit(self._writer, self._settled)
        self._changed = asyncio.Event()
        self._reads: ThreadPoolExecutor | None = None
        self._reader: sqlite3.Connection
        self._install = ""

    async def __aenter__(self) -> Self:
        """Open the file, and make it if it is missing.

        Raises:
            ConfigError: no such folder, not our file, or served by another process; says what to do.
            StorageError: the file was written by a newer linqbot.
            StorageUnavailable: the disk or its permissions say no.
        """
        await asyncio.to_thread(self._open)
        if self._serving:
            await self._lock.listen(self._changed.set)
        self._commits.open(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Write what is queued, give claims back without counting a crash, and let go of the file."""
        # Goes on even if we are cancelled here: a file left half closed would look like a crash.
        await asyncio.shield(self._close())

    @property
    def install(self) -> str:
        """128 random bits made once with the file, as 32 hex digits."""
        return self._install

    # Inbox

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery durably; see `Inbox.put`."""
        stored: bool = await self._commits.submit(PutOp(delivery))
        return stored

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Claim the oldest delivery of each free lane; see `Inbox.take`.

        Raises:
            StorageError: this storage was opened with serving=False.
        """
        if not self._serving:
            raise StorageError("Only the serving process takes deliveries; this storage was opened beside it.")
        future = self._commits.submit(TakeOp(limit, lease_s))
        try:
            leases: list[Lease] = await asyncio.shield(future)
        except asyncio.CancelledError:
            # The commit may be over already, or still to come. Nobody will work on these leases.
            future.add_done_callback(self._give_back)
            raise
        return leases

    async def changed(self) -> None:
        """Wait until a `take` may find something new; see `Inbox.changed`."""
        await self._changed.wait()
        self._changed.clear()

    async def next_due(self) -> float | None:
        """When a wait or a lease ends; see `Inbox.next_due`."""
        return self._writer.next_due

    async def finish(self, lease: Lease, finish: Finish) -> None:
        """End a turn in one commit; see `Inbox.finish`."""
        await self._commits.submit(FinishOp(lease, finish))

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """What gave up, newest first."""
        sql = """SELECT id, lane, type, body, received_at, message_key, error, handler, attempts, crashes, buried_at
                 FROM dead ORDER BY n DESC LIMIT ?"""
        rows = await self._read(lambda db: db.execute(sql, (limit,)).fetchall())
        return [DeadLetter(Delivery(*row[:6]), *row[6:]) for row in rows]

    async def depth(self) -> int:
        """How many deliveries are stored and not yet finished."""
        if self._serving:
            return self._writer.depth
        # Beside the server memory is old news, and counting 100,000 rows takes milliseconds.
        (depth,) = await self._read(lambda db: db.execute("SELECT count(*) FROM delivery").fetchone())
        return int(depth)

    async def has_seen(self, delivery_id: str) -> bool:
        """Whether it was stored before; see `Inbox.has_seen`."""
        return await self._exists("SELECT 1 FROM seen WHERE id = ?", delivery_id)

    # Outbox

    async def begin(self, effect: Effect) -> None:
        """Store an effect durably before its first attempt; see `Outbox.begin`."""
        await self._commits.submit(BeginOp(effect))

    async def settle(self, effect: Effect) -> None:
        """Store an effect's outcome durably now; see `Outbox.settle`."""
        await self._commits.submit(SettleOp(effect))

    async def effects(self, turn: str, run: int = 0) -> list[Effect]:
        """The effects on record for a turn, in the order they were begun."""
        sql = """SELECT turn, run, slot, key, safety, call, status, first_at, answer, message_id, chat_id
                 FROM effect WHERE turn = ? AND run = ? ORDER BY n"""
        return [Effect(*row) for row in await self._read(lambda db: db.execute(sql, (turn, run)).fetchall())]

    async def has_sent(self, message_id: str) -> bool:
        """Whether we made this message; see `Outbox.has_sent`."""
        return await self._exists("SELECT 1 FROM effect WHERE message_id = ?", message_id)

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        """All values of a scope, as JSON by name."""
        sql = "SELECT name, value FROM state WHERE scope = ?"
        return dict(await self._read(lambda db: db.execute(sql, (scope,)).fetchall()))

    def _open(self) -> None:
        prepare(self._path)
        if self._serving:
            self._lock.acquire()
        try:
            self._reader = connect(self._path)
            try:
                self._reader.execute("PRAGMA query_only = ON")
                self._install = self._writer.open(serving=self._serving)
            except BaseException:
                self._reader.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._reads = ThreadPoolExecutor(1, "linqbot-storage-reader")

    async def _close(self) -> None:
        self._lock.stop_listening()
        await self._commits.close()
        await asyncio.to_thread(self._disconnect)

    def _disconnect(self) -> None:
        reads, self._reads = self._reads, None
        if reads:
            reads.shutdown()
        try:
            # The reader first: whoever closes last folds the WAL into the file, and only the writer may write.
            self._reader.close()
            self._writer.close()
        finally:
            self._lock.release()

    async def _exists(self, sql: str, key: str) -> bool:
        return await self._read(lambda db: db.execute(sql, (key,)).fetchone()) is not None

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._reads is None:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reads, query, self._reader)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{self._path.name} cannot be read: {error}.") from error

    def _settled(self, batch: list[Op]) -> None:
        if any(op.error is None and _is_news(op) for op in batch):
            self._changed.set()
            if not self._serving:
                self._lock.wake_holder()

    def _give_back(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None and future.result():
            self._commits.post(ReleaseOp(future.result()))


def _is_news(op: Op) -> bool:
    """Whether a `take` may find more after it."""
    return isinstance(op, FinishOp | ReleaseOp) or (isinstance(op, PutOp) and bool(op.result))
