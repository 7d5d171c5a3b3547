"""The SQL of the methods for operators, over a separate connection, in the server or in another process.

The server's writer notices that another connection has written, and reads its index from the file again. So this module
does not change lanes or memory. Its transactions are short, and wait longer for the file than those of the server.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.file import connect, unusable
from linqbot.storage.upkeep import Progress

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
