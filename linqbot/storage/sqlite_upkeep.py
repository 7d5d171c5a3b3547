"""An operator's work on the SQLite file, on a connection of its own, in the server or beside it.

The server's writer sees that somebody has written, and looks at the whole again; so nothing here knows lanes or
memory. Transactions are short, and wait longer for their turn than a server's do.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.storage import sqlite_effects
from linqbot.storage.person import Person
from linqbot.storage.sqlite_file import connect
from linqbot.storage.sqlite_sql import among
from linqbot.storage.upkeep import Forgotten, Progress

T = TypeVar("T")

PATIENCE_MS = 30_000
"""How long to wait for a busy server's transactions, which leave gaps of a millisecond."""
_BACKUP_PAGES = 1000


def aside(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do `work` on a connection of its own.

    Raises:
        StorageUnavailable: the disk says no, or others write all the time.
    """
    db = connect(path)
    try:
        db.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        return work(db)
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path.name} cannot be read or written: {error}. Try again.") from error
    finally:
        db.close()


def retry(db: sqlite3.Connection, ids: Sequence[str]) -> int:
    """Put dead letters back; see `Upkeep.retry`."""
    with _transaction(db):
        return _put_back(db, ids, ("dead",), "run, runs", "run, runs")


def replay_live(db: sqlite3.Connection, ids: Sequence[str]) -> int:
    """Put what was handled in once more, as the next run; see `Upkeep.replay_live`."""
    with _transaction(db):
        return _put_back(db, ids, ("dead", "done"), "run", "run + 1")


def purge(db: sqlite3.Connection, before: float, limit: int, now: float) -> int:
    """Forget old dead letters; their effects go with those of acked turns."""
    with _transaction(db):
        sql = "SELECT id FROM dead WHERE buried_at < ? ORDER BY buried_at LIMIT ?"
        ids = {delivery_id for (delivery_id,) in db.execute(sql, (before, limit))}
        sqlite_effects.end(db, ids, now)
        among(db, "DELETE FROM dead WHERE id IN (*)", ids)
    return len(ids)


def forget(db: sqlite3.Connection, handle: str, chats: Collection[str], now: float) -> Forgotten:
    """Erase a person; see `Upkeep.forget`."""
    # Looking reads everything there is, and so must not hold up the server: only deleting is a transaction.
    person = Person(handle, set(chats))
    theirs = _theirs(db, person)
    with _transaction(db):
        claimed = {key for (key,) in db.execute("SELECT id FROM delivery WHERE claimed")} & theirs["delivery"]
        turns = (theirs["delivery"] - claimed) | theirs["done"] | theirs["dead"]
        waiting = _forget_waiting(db, theirs["delivery"] - claimed, now)
        effects = _count(db, "DELETE FROM effect WHERE turn IN (*)", turns)
        # Those of a turn that runs now are what keeps it from sending twice.
        running = {key for (key,) in among(db, "SELECT key FROM effect WHERE turn IN (*)", claimed)}
        forgotten = Forgotten(
            waiting=waiting,
            done=_count(db, "DELETE FROM done WHERE id IN (*)", theirs["done"]),
            dead=_count(db, "DELETE FROM dead WHERE id IN (*)", theirs["dead"]),
            effects=effects + _count(db, "DELETE FROM effect WHERE key IN (*)", theirs["effect"] - running),
            timers=_count(db, "DELETE FROM timer WHERE id IN (*)", theirs["timer"]),
            state=_count(db, "DELETE FROM state WHERE lower(scope) IN (*)", person.scopes),
            claimed=len(claimed),
        )
    return replace(forgotten, wiped=_wipe(db))


def backup(source: Path, target: Path, progress: Progress | None) -> None:
    """Copy the file as it is at one moment; see `Upkeep.backup`."""
    if target.exists():
        raise ConfigError(f"There is a file {target} already. Name another one; a backup overwrites nothing.")
    if not target.parent.is_dir():
        raise ConfigError(f"The folder of the backup {target} does not exist. Create it, or change the path.")
    # Under its own name only once it is whole: a half copy looks like an empty storage.
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StorageUnavailable(f"The backup {target} cannot be written: {error.strerror}.") from error
    try:
        aside(source, lambda db: _copy(db, partial, progress))
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _put_back(db: sqlite3.Connection, ids: Sequence[str], tables: Sequence[str], columns: str, values: str) -> int:
    """Move rows out of `tables` to the tails of their lanes, in this order; returns how many."""
    waits = {key for (key,) in among(db, "SELECT id FROM seen WHERE at IS NULL AND id IN (*)", ids)}
    moved = 0
    for delivery_id in dict.fromkeys(ids):
        table = None if delivery_id in waits else _table_of(db, delivery_id, tables)
        if table is None:
            continue
        # The number is the next one: SQLite's rule for a column that is the row's own number.
        seq = db.execute(
            f"""INSERT INTO delivery (id, lane, type, message_key, carrier, received_at, {columns})
                SELECT id, lane, type, message_key, carrier, received_at, {values} FROM {table} WHERE id = ?""",  # noqa: S608
            (delivery_id,),
        ).lastrowid
        db.execute(f"INSERT INTO body (seq, body) SELECT ?, body FROM {table} WHERE id = ?", (seq, delivery_id))  # noqa: S608
        for column in ("id", "message_key"):
            db.execute(
                f"""INSERT INTO seen (id, at) SELECT {column}, NULL FROM {table} WHERE id = ? AND {column} IS NOT NULL
                    ON CONFLICT (id) DO UPDATE SET at = NULL""",  # noqa: S608 - our own words
                (delivery_id,),
            )
        for kept in tables:
            db.execute(f"DELETE FROM {kept} WHERE id = ?", (delivery_id,))  # noqa: S608 - our own words
        moved += 1
    return moved


def _table_of(db: sqlite3.Connection, delivery_id: str, tables: Sequence[str]) -> str | None:
    for table in tables:
        if db.execute(f"SELECT 1 FROM {table} WHERE id = ?", (delivery_id,)).fetchone():  # noqa: S608 - our own words
            return table
    return None


_DOCUMENTS = {
    "delivery": "SELECT id, body FROM delivery JOIN body USING (seq)",
    "done": "SELECT id, body FROM done",
    "dead": "SELECT id, body FROM dead",
    "timer": "SELECT id, payload FROM timer",
    "effect": "SELECT key, call, answer FROM effect",
}
_LANES = ("delivery", "done", "dead", "timer")


def _theirs(db: sqlite3.Connection, person: Person) -> dict[str, set[str]]:
    """What is theirs, by table: first what names them, which tells their chats, then what belongs to these."""
    theirs = {
        table: {key for key, *documents in db.execute(sql) if person.is_in(*documents)}
        for table, sql in _DOCUMENTS.items()
    }
    for table in _LANES:
        rows = db.execute(f"SELECT id, lane FROM {table}")  # noqa: S608 - our own words
        theirs[table].update(key for key, lane in rows if person.owns_lane(lane))
    theirs["effect"].update(key for (key,) in among(db, "SELECT key FROM effect WHERE chat_id IN (*)", person.chats))
    return theirs


def _forget_waiting(db: sqlite3.Connection, ids: Collection[str], now: float) -> int:
    rows = among(db, "SELECT seq, id, message_key FROM delivery WHERE id IN (*)", ids)
    seqs = [row[0] for row in rows]
    # Their ids stay known, for a day as always: Linq may deliver them again.
    among(db, "UPDATE seen SET at = ? WHERE id IN (*)", [key for row in rows for key in row[1:] if key], now)
    among(db, "DELETE FROM body WHERE seq IN (*)", seqs)
    return _count(db, "DELETE FROM delivery WHERE seq IN (*)", seqs)


def _wipe(db: sqlite3.Connection) -> bool:
    """Write the file anew, so that no free page holds what was deleted, now or before; False when it was busy."""
    try:
        db.execute("VACUUM")
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:
        return False
    return not busy


def _copy(db: sqlite3.Connection, target: Path, progress: Progress | None) -> None:
    def told(_: int, left: int, total: int) -> None:
        if progress:
            progress(total - left, total)

    copy = sqlite3.connect(target, isolation_level=None)
    try:
        # The whole copy sees the moment of this look; else each write beside it would begin the copy anew.
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM meta").fetchone()
        db.backup(copy, pages=_BACKUP_PAGES, progress=told)
    finally:
        copy.close()


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _count(db: sqlite3.Connection, sql: str, values: Collection[Any]) -> int:
    """Run a statement for all `values`; returns how many rows it changed."""
    before = db.total_changes
    among(db, sql, values)
    return db.total_changes - before
