"""The SQL of the methods for operators, over a separate connection, in the server or in another process.

The server's writer notices that another connection has written, and reads its index from the file again. So this module
does not change lanes or memory. Its transactions are short, and wait longer for the file than those of the server.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import erasure, journal
from linqbot.storage.dialect import Readable, Writable, drive
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.file import connect, transaction, unusable
from linqbot.storage.sqlite.statements import SQLiteReader, outside
from linqbot.storage.upkeep import Forgotten, Progress

T = TypeVar("T")

BUSY_TIMEOUT_MS = 30_000
"""Milliseconds to wait for the transactions of a busy server, which leave gaps of a millisecond."""
_BACKUP_PAGES = 1000


def on_own_connection(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run `work` on a new connection, and return its result.

    Raises:
        StorageUnavailable: the file cannot be read or written, or other connections write all the time.
    """
    db = connect(path)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        file.overwrite_freed(db)
        return work(db)
    except sqlite3.Error as error:
        raise unusable(path, error, f"{path.name} cannot be read or written: {error}. Try again.") from error
    finally:
        db.close()


async def number(tx: Writable, deliveries: Sequence[Delivery]) -> Sequence[int]:
    """Return numbers at the tails of lanes for deliveries that come back, and remember their ids."""
    first = await tx.value("SELECT coalesce(max(seq), 0) + 1 FROM seen")
    for seq, d in enumerate(deliveries, first):
        await tx.run("DELETE FROM seen WHERE id = $1 OR message_key = $2", d.id, d.message_key)
        await tx.insert("seen (seq, id, message_key, at)", [(seq, d.id, d.message_key, tx.now)])
    # Lanes that wait for more deliveries get some.
    sql = "UPDATE delivery SET not_before = 0 WHERE waits = 'gathering' AND NOT leased AND lane = ANY($1)"
    await tx.run(sql, [d.lane for d in deliveries])
    return range(first, first + len(deliveries))


def purge(db: sqlite3.Connection, before: float, limit: int, now: float) -> int:
    """Delete old dead letters, and the texts in their journal entries. The entries themselves are purged later.

    The call that finds fewer than `limit` removes the bytes of all calls; see `Storage.purge`.

    Raises:
        StorageUnavailable: the rows were deleted, but the file could not be written again, so that bytes are left in it.
    """
    with transaction(db):
        if purged := drive(journal.purge_dead(outside(db, now), before, limit)):
            file.note(db, "unwiped")
    if purged < limit and file.is_noted(db, "unwiped") and not file.wipe(db):
        raise StorageUnavailable(
            "The dead letters were purged, but the file could not be written again, so that their bytes are still in it. "
            "Other programs kept it busy, or its disk has no room for a copy of it. Purge again."
        )
    return purged


def forget(db: sqlite3.Connection, handle: str, chats: Collection[str], now: float) -> Forgotten:
    """Erase a person; see `Storage.forget`."""

    async def read(query: Callable[[Readable], Awaitable[T]]) -> T:
        return await query(SQLiteReader(db))

    async def operate(work: Callable[[Writable], Awaitable[T]]) -> T:
        with transaction(db):
            return await work(outside(db, now))

    forgotten = drive(erasure.forget(handle, chats, read, operate, _forget_waiting))
    return replace(forgotten, wiped=file.wipe(db))


async def _forget_waiting(tx: Writable, ids: Collection[str]) -> int:
    seqs = [seq for (seq,) in await tx.fetch("SELECT seq FROM delivery WHERE id = ANY($1)", list(ids))]
    # Their ids stay known for a day, as after an ack, because Linq may deliver them again. The row that `seq` names is
    # gone, so they no longer count as waiting.
    await tx.run("UPDATE seen SET at = $1 WHERE seq = ANY($2)", tx.now, seqs)
    await tx.run("DELETE FROM body WHERE seq = ANY($1)", seqs)
    return await tx.run("DELETE FROM delivery WHERE seq = ANY($1)", seqs)


def backup(source: Path, target: Path, progress: Progress | None) -> None:
    """Copy the file as it is at one moment; see `Storage.backup`. When this function returns, the copy outlives a power loss.

    Raises:
        ConfigError: there is a file `target` already, or its folder does not exist.
        StorageUnavailable: the copy cannot be written, or the file cannot be read.
    """
    if target.exists():
        raise ConfigError(f"There is a file {target} already. Choose another name; a backup overwrites nothing.")
    if not target.parent.is_dir():
        raise ConfigError(f"The folder of the backup {target} does not exist. Create it, or change the path.")
    # The copy gets its final name when it is complete: a half copy looks like an empty storage.
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StorageUnavailable(f"The backup {target} cannot be written: {error.strerror}.") from error
    try:
        on_own_connection(source, lambda db: _copy(db, source, partial, progress))
        partial.rename(target)
        _sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def _copy(db: sqlite3.Connection, source: Path, target: Path, progress: Progress | None) -> None:
    def report(_: int, left: int, total: int) -> None:
        if progress:
            progress(total - left, total)

    copy = sqlite3.connect(target, isolation_level=None)
    try:
        # A read transaction: the whole copy shows this moment. Without it, each write of another connection would
        # restart the copy.
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM meta").fetchone()
        db.backup(copy, pages=_BACKUP_PAGES, progress=report)
    except sqlite3.Error as error:
        # SQLite does not say which of the two files it means.
        message = f"{source.name} could not be copied into {target.parent.resolve()}: {error}."
        raise unusable(source, error, message) from error
    finally:
        copy.close()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # Windows cannot open a folder
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
