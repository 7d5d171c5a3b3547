"""An SQLite file as a whole, for operators: inspect it, back it up, and read or write its content.

`check_up` changes nothing, also while a server uses the file: opening a storage brings its schema up to date, and so the doctor
of a newer linqbot would lock out an older server. `storage/contents.py` has what PostgreSQL shares of the content. The
transactions on a separate connection are short, and wait longer for the file than those of the server, which notices that
another connection has written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.storage import conversation_table
from linqbot.storage.contents import Contents, Role, SchemaState
from linqbot.storage.dialect import drive
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.file import (
    connect,
    migrate,
    newest_schema,
    prepare,
    primary_code,
    schema_of,
    transaction,
    translated,
)
from linqbot.storage.sqlite.lanes import SQLiteLaneTransaction, outside
from linqbot.storage.sqlite.serving_lock import ServingLock
from linqbot.storage.sqlite.transaction import SQLiteReader
from linqbot.storage.upkeep import Progress

T = TypeVar("T")

BUSY_TIMEOUT_MS = 30_000
"""Milliseconds to wait for the transactions of a busy server, which leave gaps of a millisecond."""
_BACKUP_PAGES = 1000


def on_own_connection(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run `work` on a new connection, and return its result. Raises StorageUnavailable as `translated` does."""
    with translated(path, f"{path.name} cannot be read or written", " Try again."), closing(connect(path)) as db:
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        file.overwrite_freed(db)
        return work(db)


def backup(source: Path, target: Path, progress: Progress | None) -> None:
    """Copy the file as it is at one moment; see `Storage.backup`. Then the copy outlives a power loss.

    Raises ConfigError if `target` exists or its folder does not, or StorageUnavailable.
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

    # SQLite does not say which of the two files an error means.
    failed = translated(source, f"{source.name} could not be copied into {target.parent.resolve()}")
    with failed, closing(sqlite3.connect(target, isolation_level=None)) as copy:
        # A read transaction: the whole copy shows this moment. Without it, each write of another connection would
        # restart the copy.
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM meta").fetchone()
        db.backup(copy, pages=_BACKUP_PAGES, progress=report)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # Windows cannot open a folder
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


WIPED_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes of a file that is written again in about a tenth of a second, for which a server that runs can wait."""


def wipe(db: sqlite3.Connection, *, whole: bool) -> bool:
    """Remove the bytes of deleted rows from the file. Return False if some may be left in its free space.

    Only with `whole` a large file is written again, for which there must be room; `needed` says how much. Without, the WAL
    is emptied.

    Raises:
        StorageUnavailable: with `whole`, if there is no room.
    """
    patience_s = BUSY_TIMEOUT_MS / 1000
    is_due = db.execute("SELECT 1 FROM meta WHERE key = 'unwiped'").fetchone() is not None
    if whole:
        if (lack := needed(db).lack) is not None:
            raise StorageUnavailable(lack)
        return file.wipe(db, patience_s)
    if is_due and file.used_bytes(db) <= WIPED_AT_ONCE and needed(db).lack is None:
        return file.wipe(db, patience_s)
    return file.truncate_in_turn(db, patience_s) and not is_due


def needed(db: sqlite3.Connection) -> Room:
    """Return the room that `wipe` needs to write the file again."""
    (_, _, path) = db.execute("PRAGMA database_list").fetchone()
    return Room(file.used_bytes(db), Path(path).parent if path else None, temporary_folder())


def temporary_folder() -> Path:
    """Return the folder in which SQLite makes its temporary files."""
    if os.name == "nt":
        return Path(tempfile.gettempdir())
    given = [os.environ.get(name) for name in ("SQLITE_TMPDIR", "TMPDIR")]
    for each in (*given, "/var/tmp", "/usr/tmp", "/tmp"):  # noqa: S108 - SQLite's order
        if each and Path(each).is_dir() and os.access(each, os.W_OK | os.X_OK):
            return Path(each)
    return Path.cwd()


@dataclass(frozen=True, slots=True)
class Room:
    """The room that a file needs to be written again: a copy of it in the temporary folder, and one in the WAL next to it."""

    size: int  # bytes of each copy
    folder: Path | None  # that of the file; None for one in memory
    temporary: Path

    @property
    def about(self) -> str:
        copy = megabytes(self.size)
        return f"{copy} in {self.temporary}, the folder for temporary files, and {copy} in {self.folder}"

    @property
    def lack(self) -> str | None:
        """A sentence that says what is missing; None if there is enough."""
        if self.folder is None:
            return None
        there = {each: shutil.disk_usage(each).free for each in (self.temporary, self.folder)}
        is_one = self.temporary.stat().st_dev == self.folder.stat().st_dev
        wanted = self.size * (2 if is_one else 1)
        short = [f"{each} has {megabytes(free)} free" for each, free in there.items() if free < wanted]
        if not short:
            return None
        return (
            f"To write the file again needs {self.about}, but {' and '.join(short)}. Make room there, or set SQLITE_TMPDIR to "
            "a folder with room on another disk."
        )


def megabytes(size: int) -> str:
    return f"{max(size / 1e6, 0.1):,.1f} MB"


@dataclass(frozen=True, slots=True)
class SQLiteCheckup:
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


def check_up(path: Path) -> SQLiteCheckup:
    """Inspect the file, and write a temporary file next to it to check that the folder is writable.

    Raises ConfigError if there is no such folder, or it is no file of SQLite's, or StorageUnavailable.
    """
    file.require_folder(path)
    file.refuse_folder(path)
    folder = path.parent
    _write_in(folder)
    free_bytes = shutil.disk_usage(folder).free
    lock = ServingLock(path)
    serving = lock.holder()
    if not path.exists():
        return SQLiteCheckup(None, None, 0, 0, free_bytes, serving)
    lock.check_file()
    try:
        # A transaction cannot tell: BEGIN IMMEDIATE needs no right to write a file in WAL mode.
        file.check_rights(path)
    except OSError as error:
        raise StorageUnavailable(f"The storage file {path} cannot be written: {error.strerror}.") from error
    with translated(path, f"The storage file {path} cannot be used"):
        uri, timeout_s = f"{path.as_uri()}?mode=rw", file.BUSY_TIMEOUT_MS / 1000
        with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)) as db:
            return _inside(db, path, free_bytes, serving)


def _inside(db: sqlite3.Connection, path: Path, free_bytes: int, serving: int | None) -> SQLiteCheckup:
    try:
        schema = schema_of(db, path)
    except sqlite3.DatabaseError as error:
        if file.primary_code(error) == sqlite3.SQLITE_NOTADB:
            raise file.not_sqlite(path) from error
        raise
    # Take the lock of a write and give it back at once: this fails if another program keeps it.
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")
    (journal,) = db.execute("PRAGMA journal_mode").fetchone()
    if not schema:
        return SQLiteCheckup(schema, journal, 0, 0, free_bytes, serving)
    (waiting,) = db.execute("SELECT count(*) FROM delivery").fetchone()
    (dead,) = db.execute("SELECT count(*) FROM dead").fetchone()
    (heard_at,) = db.execute("SELECT CAST(max(value) AS REAL) FROM meta WHERE key = 'active_at'").fetchone()
    questions = drive(conversation_table.waiting_by_handler(SQLiteReader(db)))
    return SQLiteCheckup(schema, journal, waiting, dead, free_bytes, serving, heard_at, questions)


def _write_in(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".linqbot-doctor-") as written:
            written.write(b"linqbot check\n")
            written.flush()
            os.fsync(written.fileno())
    except OSError as error:
        raise StorageUnavailable(f"Nothing can be written into {folder}: {error.strerror}.") from error


_MESSAGE_KEY = "m."
"""The prefix of message keys, which no id of a delivery has."""


_STEPS: Final = 100_000
"""Steps of SQLite's virtual machine, which take some milliseconds, between two looks at whether the reading is cancelled."""


class SQLiteContents(Contents):
    """The content of a file. It is read and written on the event loop, because only commands do so."""

    _tx: SQLiteLaneTransaction
    _seen = """SELECT known.key, delivery.id, known.at
        FROM (SELECT id AS key, seq, at FROM seen UNION ALL SELECT message_key, seq, at FROM seen) AS known
            LEFT JOIN delivery USING (seq)
        WHERE known.key IS NOT NULL ORDER BY known.key"""
    _leased = ("leased",)

    def __init__(self, path: Path, role: Role = "check") -> None:
        super().__init__(str(path), role)
        self._path = path
        # PostgreSQL has an index that prevents it.
        self._contradictions = {
            "waiting deliveries have a number twice": "SELECT count(*) - count(DISTINCT id) FROM delivery"
        }
        # The numbers of the deliveries, by id, read when they are all stored. The file has no index of these ids.
        self._seqs: dict[str, int] = {}

    async def __aexit__(self, *exc: object) -> None:
        self._opened.close()

    async def schema(self) -> SchemaState:
        found = check_up(self._path)
        return SchemaState(self.name, found.schema or 0, newest_schema(), int(found.serving is not None))

    async def problems(self) -> list[str]:
        """Return what is damaged in the file, or which rows contradict each other."""
        with self._translated():
            try:
                lines = [str(line) for (line,) in await self._tx.fetch("PRAGMA integrity_check(5)") if line != "ok"]
            except sqlite3.DatabaseError as error:
                if primary_code(error) != sqlite3.SQLITE_CORRUPT:
                    raise
                lines = [str(error)]
        return [f"The file is damaged: {' '.join(line.split())}." for line in lines] or await super().problems()

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._path, f"The storage file {self._path} cannot be used")

    async def _open(self) -> None:
        is_written = self._role in {"migrate", "target"}
        if is_written:
            prepare(self._path)
        with contextlib.ExitStack() as opened:
            lock = ServingLock(self._path)
            if self._role == "check":
                lock.check_file()
            else:
                lock.acquire()
                opened.callback(lock.release)
            db = opened.enter_context(contextlib.closing(connect(self._path)))
            self._tx = outside(db, 0.0)
            if self._role == "check" and (task := asyncio.current_task()) is not None:
                # Ctrl-C cancels the task. A statement such as integrity_check, which may take minutes, ends then.
                db.set_progress_handler(lambda: task.cancelling() > 0, _STEPS)
            if is_written:
                migrate(db, self._path)
            else:
                # The first read takes the snapshot. IMMEDIATE also makes commands such as `linqbot person forget` wait, and then fail.
                db.execute("BEGIN" if self._role == "check" else "BEGIN IMMEDIATE")
                db.execute("SELECT 1 FROM sqlite_master").fetchone()
            if self._role == "target":
                await self._refuse_rows()
            self._opened = opened.pop_all()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with transaction(self._tx.db):
            yield

    async def _number(self, rows: Sequence[dict[str, Any]]) -> None:
        last = await self._tx.value("SELECT coalesce(max(seq), 0) FROM delivery")
        for seq, row in enumerate(rows, last + 1):
            row["seq"] = seq

    async def _add_seen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not self._seqs:
            self._seqs = dict(await self._tx.fetch("SELECT id, seq FROM delivery"))
        used = "SELECT max(coalesce(max(seq), 0), (SELECT coalesce(max(seq), 0) FROM seen)) FROM delivery"
        # A delivery that is gone has no number any more: each of its keys gets one.
        for free, row in enumerate(rows, await self._tx.value(used) + 1):
            key, seq = row["id"], self._seqs.get(row["delivery_id"])
            is_message = key.startswith(_MESSAGE_KEY) if seq is None else key != row["delivery_id"]
            column = "message_key" if is_message else "id"
            sql = f"""INSERT INTO seen (seq, {column}, at) VALUES ($1, $2, $3)
                      ON CONFLICT (seq) DO UPDATE SET {column} = excluded.{column}, at = max(at, excluded.at)"""
            await self._tx.run(sql, free if seq is None else seq, key, row["at"])
