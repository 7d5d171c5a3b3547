"""A storage in memory, lost when the process ends: an SQLite database without a file, for tests of a bot.

A commit costs nothing there, so each operation is a transaction of its own, and the event loop runs it at once.
"""

from __future__ import annotations

import atexit
import os
import secrets
import sqlite3
import weakref
from collections.abc import Callable, Coroutine, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

from linqbot.clock import Clock
from linqbot.errors import ConfigError
from linqbot.storage.dialect import Readable, drive
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.op_queue import Op
from linqbot.storage.operations import count_crash
from linqbot.storage.sqlite.file import migrate, register_adapters
from linqbot.storage.sqlite.storage import SQLiteMethods
from linqbot.storage.sqlite.transaction import Index, IndexChanges, SQLiteReader
from linqbot.storage.sqlite.writer import Writer
from linqbot.storage.upkeep import Progress

T = TypeVar("T")

_NAME = Path("memory")


class InlineWriter(Writer):
    """Writes each operation at once. Its connection is ready for use, and is closed with the last reference to it."""

    def __init__(self, index: Index, clock: Clock, keep_days: float) -> None:
        super().__init__(_NAME, index, clock, keep_days)
        self._is_open = True
        self.db = self._db = _connect()
        weakref.finalize(self, self._db.close)
        _empty().backup(self._db)

    def post(self, op: Op[Any]) -> None:
        drive(self._settle([op]))

    async def _write(self, batch: list[Op[Any]]) -> None:
        try:
            self._db.execute("BEGIN")
            self.run(batch)
            self._db.execute("COMMIT")
        except Exception:
            self.roll_back()
            raise
        # Leasing a new delivery with its `put` would save no disk access here.
        self._changes.capacity = None
        self._index.apply(self._changes)
        self._changes = IndexChanges()

    def end_leases(self) -> None:
        """Count a crash for the deliveries that are leased, as for those in a file whose process was killed."""
        if not self._index.lanes.depth:
            return
        self._index.clear()
        drive(self._count_crash())
        self.load_index()

    def end_leases_of(self, tokens: Iterable[int]) -> None:
        """Do the same for these leases only: other processes hold the others."""
        lanes = self._index.lanes
        held = {token: seq for token in tokens if (seq := lanes.leased_by(token)) is not None}
        drive(count_crash(self._transaction(), list(held.values())))
        for token in held:
            lanes.release(token)
        self.load_index()
        self._index.changed.set()


class MemoryStorage(SQLiteMethods):
    """A storage in memory with the arguments of `SQLiteStorage`. The content stays when it is closed and opened again."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        max_backlog: int = 1_000_000,
        max_lane_backlog: int = 1000,
        keep_days: float = 0,
    ) -> None:
        super().__init__(clock, InboxLimits(max_backlog, max_lane_backlog), serving=True)
        self._queue = self._writer = InlineWriter(self._memory, self._clock, keep_days)
        self._install = secrets.token_hex(16)

    async def __aenter__(self) -> Self:
        self._writer.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """End the leases. A lease that was not finished counts as a crash."""
        self._writer.end_leases()

    def end_leases_of(self, tokens: Iterable[int]) -> None:
        """End the leases of one of several processes of a simulation, which share this object. They count as crashes."""
        self._writer.end_leases_of(tokens)

    @property
    def trouble(self) -> str | None:
        return None  # a write to memory cannot fail

    def _take_at_once(self, limit: int, lease_s: float) -> list[Lease] | None:
        return None if self._memory.lanes.has_free(self._clock.now(), self._clock.monotonic()) else []

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Raise ConfigError: there is no file to copy."""
        raise ConfigError("A storage in memory cannot be copied to a file. Serve with sqlite:///linqbot.db instead.")

    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        return drive(query(SQLiteReader(self._writer.db)))

    async def _upkeep(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result = work(self._writer.db)
        self._writer.load_index()
        self._memory.watched.note(None)
        self._memory.changed.set()
        return result


def _connect() -> sqlite3.Connection:
    register_adapters()
    # Any thread: the last reference to a storage may be dropped in another one, which then closes the connection.
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, cached_statements=256)


@cache
def _empty() -> sqlite3.Connection:
    """Return an empty storage to copy, because creating the schema takes ten times as long."""
    db = _connect()
    atexit.register(db.close)
    migrate(db, _NAME)
    return db
