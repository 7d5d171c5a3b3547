"""Inspect an SQLite storage without changing it, for `linqbot check`, also while a server uses the file.

Opening a storage brings its schema up to date. An inspection must not: the doctor of a newer linqbot would lock out an
older server.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from linqbot.errors import StorageMisplaced, StorageUnavailable
from linqbot.storage.sqlite.file import BUSY_TIMEOUT_MS, schema_of, unusable
from linqbot.storage.sqlite.serving_lock import ServingLock


@dataclass(frozen=True, slots=True)
class SQLiteCheckup:
    """The state of a storage file."""

    schema: int | None  # the number of its schema; None if there is no file yet
    journal: str | None  # SQLite's journal mode; `wal` if linqbot created the file
    waiting: int  # deliveries in the inbox
    dead: int  # dead letters
    free_bytes: int  # free space of the file system
    serving: int | None  # id of the process that serves the file; None if none does
    # Unix time at which Linq's newest delivery was accepted, up to a minute too early; None before the first delivery.
    heard_at: float | None = None
    # Number of open questions of `ctx.ask`, by the name of the handler that asked.
    questions: Mapping[str, int] = field(default_factory=dict)


def path_of(url: str) -> Path | None:
    """Return the file of a storage URL; None if the URL is not one of a file."""
    return Path(url.removeprefix("sqlite:///")).resolve() if url.startswith("sqlite:///") else None


def check_up(path: Path) -> SQLiteCheckup:
    """Inspect the file, and write a temporary file next to it to check that the folder is writable.

    Raises:
        ConfigError: the folder does not exist, or the file belongs to another program.
        NewerSchema: a newer linqbot has written the file.
        StorageUnavailable: the file or its folder cannot be read or written.
    """
    folder = path.parent
    if not folder.is_dir():
        raise StorageMisplaced(f"The folder of the storage file {path} does not exist. Create it, or change the path.")
    _write_in(folder)
    free_bytes = shutil.disk_usage(folder).free
    serving = ServingLock(path).holder()
    if not path.exists():
        return SQLiteCheckup(None, None, 0, 0, free_bytes, serving)
    try:
        uri, timeout_s = f"{path.as_uri()}?mode=rw", BUSY_TIMEOUT_MS / 1000
        with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)) as db:
            return _inside(db, path, free_bytes, serving)
    except sqlite3.Error as error:
        raise unusable(path, error, f"The storage file {path} cannot be used: {error}.") from error


def has_stored(path: Path, delivery_id: str) -> bool:
    """Return True if the file holds a delivery with this id, or held one in the last day."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM seen WHERE id = ?", (delivery_id,)).fetchone() is not None
    except sqlite3.Error:
        return False


def _inside(db: sqlite3.Connection, path: Path, free_bytes: int, serving: int | None) -> SQLiteCheckup:
    schema = schema_of(db, path)
    # Take the lock of a write and give it back at once: this fails if the file is read-only.
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")
    (journal,) = db.execute("PRAGMA journal_mode").fetchone()
    if not schema:
        return SQLiteCheckup(schema, journal, 0, 0, free_bytes, serving)
    (waiting,) = db.execute("SELECT count(*) FROM delivery").fetchone()
    (dead,) = db.execute("SELECT count(*) FROM dead").fetchone()
    (heard_at,) = db.execute("SELECT CAST(max(value) AS REAL) FROM meta WHERE key = 'active_at'").fetchone()
    questions = {}
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'conversation'").fetchone():  # not in an older schema
        sql = "SELECT handler, count(*) FROM conversation WHERE status = 'waiting' GROUP BY handler"
        questions = dict(db.execute(sql).fetchall())
    return SQLiteCheckup(schema, journal, waiting, dead, free_bytes, serving, heard_at, questions)


def _write_in(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".linqbot-doctor-") as file:
            file.write(b"linqbot check\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageUnavailable(f"Nothing can be written into {folder}: {error.strerror}.") from error
