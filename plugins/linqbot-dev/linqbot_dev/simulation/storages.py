"""The storages of a simulation: one that processes share in memory, and files on a disk that loses what was not synced.

`disk.py` says what of a file is left after a loss of power.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from linqbot.clock import Clock
from linqbot.storage.inbox import Lease
from linqbot.storage.sqlite.commit_thread import CommitThread
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot_dev.simulation.loop import VirtualLoop
from linqbot_dev.testing.stage.connections import StorageAround

T = TypeVar("T")


class MemoryOfProcess(StorageAround):
    """One of several processes at a storage in memory: what it has leased ends with it."""

    def __init__(self, memory: MemoryStorage) -> None:
        super().__init__(memory)
        self._memory = memory
        self._tokens: set[int] = set()

    async def __aexit__(self, *exc: object) -> None:
        self.end_leases()

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        leases = await self._inner.take(limit, lease_s=lease_s)
        self._tokens.update(lease.token for lease in leases)
        return leases

    def end_leases(self) -> None:
        """Count a crash for what this process has leased."""
        self._memory.end_leases_of(self._tokens)


class VirtualCommits(CommitThread):
    """Runs each step of a transaction in virtual time: its work in one step of the loop, its answer in another one.

    Args:
        disk_s: Mean seconds of each of the two.
        reach: Called before and after each COMMIT. It may end the process, or suspend it.
    """

    def __init__(self, loop: VirtualLoop, disk_s: float, reach: Callable[[str], None]) -> None:
        self._loop = loop
        self._disk_s = disk_s
        self._reach = reach

    def open(self) -> None:
        """Start nothing."""

    def close(self) -> None:
        """End nothing."""

    def run(self, step: Callable[[], T]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self._loop.create_future()
        is_commit = step.__name__ == "commit"

        def work() -> None:
            if is_commit:
                self._reach("before commit")
            # A step of a process that has just been ended must not run, and that of a suspended one comes later.
            self._loop.call_soon(begin)

        def begin() -> None:
            self._loop.end_later(done, step, self._disk_s)
            if is_commit:
                self._reach("after commit")

        self._loop.call_later(self._loop.drawn(self._disk_s), work)
        return done


class SimulatedSQLite(SQLiteStorage):
    """A file of one process of a simulation."""

    def __init__(self, path: Path, clock: Clock, commits: VirtualCommits) -> None:
        super().__init__(path, clock=clock, commit_thread=commits)

    @property
    def is_writing(self) -> bool:
        """True while a transaction may be open: a thread of this process would wait for its end."""
        return self._queue.is_writing

    def drop(self) -> None:
        """Close the connections of a process that has ended. Its file is used by no other process."""
        for connection in (getattr(self, "_reader", None), getattr(self._queue, "_db", None)):
            if isinstance(connection, sqlite3.Connection):
                connection.close()
