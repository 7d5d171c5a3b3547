"""The files and the connections of an SQLite storage: their bytes, a limit of their size, and the statements."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from linqbot.storage.sqlite.storage import SQLiteStorage

T = TypeVar("T")


def bytes_of(path: Path) -> bytes:
    """Return what is on the disk: the file, and the files that SQLite keeps next to it."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


def fill_disk(db: sqlite3.Connection) -> None:
    """Allow no further page in the file."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")


def free_disk(db: sqlite3.Connection) -> None:
    """Allow the file to grow again."""
    db.execute("PRAGMA max_page_count = 1000000000")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Keep a transaction of another connection open, so that no one else can write."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Let another connection read what is stored now, so that the WAL cannot be emptied."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM delivery").fetchone()
        yield other


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the operating system allow this process no write behind `size` bytes of any file. Not on Windows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def in_storage(path: str | Path, act: Callable[[SQLiteStorage], Awaitable[T]], **how: Any) -> T:
    """Open a storage, do one thing with it outside of any event loop, close it, and return the result."""

    async def work() -> T:
        async with SQLiteStorage(path, **how) as storage:
            return await act(storage)

    return asyncio.run(work())
