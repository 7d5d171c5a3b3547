"""Bytes of deleted text in the SQLite file and its WAL, and three ways to remove them.

- Text of a line that keeps nothing (zero retention) is stored behind `PADDING`, so it lies in overflow pages, and
  `overwrite_freed` makes SQLite overwrite those when they are freed. See the schema for the reason.
- `truncate` copies the WAL into the file and empties it. Until then the WAL holds every version of every page.
- `wipe` writes the whole file again. Only this removes text that was stored without padding: SQLite leaves copies of
  rows that it moved in free space, even with secure_delete. Measured: 8 of 100,000 rows.
"""

from __future__ import annotations

import sqlite3
from typing import Final

PADDING: Final = bytes(4096)


def padding(off_the_record: bool) -> bytes | None:
    """Return the value of the column `padding`, in front of a text."""
    return PADDING if off_the_record else None


def overwrite_freed(db: sqlite3.Connection) -> None:
    """Overwrite every page that this connection frees from now on, which costs one write per page."""
    db.execute("PRAGMA secure_delete = ON")


def note_off_the_record(db: sqlite3.Connection) -> None:
    """Record in the file that it holds text off the record, or ever did."""
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('off_the_record', '1')")


def is_off_the_record(db: sqlite3.Connection) -> bool:
    """Return True if the file ever held text off the record."""
    return db.execute("SELECT 1 FROM meta WHERE key = 'off_the_record'").fetchone() is not None


def note_unwiped(db: sqlite3.Connection) -> None:
    """Record in the file that bytes of purged text are left in it. Call it in the transaction that purges."""
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('unwiped', '1')")


def is_unwiped(db: sqlite3.Connection) -> bool:
    """Return True if bytes of purged text are left in the file."""
    return db.execute("SELECT 1 FROM meta WHERE key = 'unwiped'").fetchone() is not None


def wipe(db: sqlite3.Connection) -> bool:
    """Write the whole file again, without deleted bytes.

    Returns:
        False if that failed: other connections kept the file busy, or its disk has no room for a copy.
    """
    try:
        db.execute("VACUUM")
    except sqlite3.OperationalError:
        return False
    if not truncate(db):
        return False
    db.execute("DELETE FROM meta WHERE key = 'unwiped'")
    return True


def truncate(db: sqlite3.Connection) -> bool:
    """Copy the WAL into the file and empty it. Return False if another connection still reads from the WAL."""
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:
        return False
    return not busy
