"""The content of an SQLite file as a whole, for `linqbot storage`: reading it, checking it, and writing a copy into it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from linqbot.events.delivery import Delivery
from linqbot.storage.contents import (
    COPYING,
    PAGE,
    TABLES,
    CopyMark,
    Row,
    SchemaState,
    Value,
    refuse_if_used,
)
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.checkup import check_up
from linqbot.storage.sqlite.file import (
    connect,
    mark_of,
    migrate,
    newest_schema,
    prepare,
    primary_code,
    transaction,
    unusable,
)
from linqbot.storage.sqlite.serving_lock import ServingLock
from linqbot.storage.timers import Timer

T = TypeVar("T")

_SELECTS = {
    "meta": "SELECT key, value FROM meta WHERE key IN ('active_at', 'first_active_at', 'install') ORDER BY key",
    "delivery": "SELECT {} FROM delivery JOIN body USING (seq) ORDER BY seq",
    "seen": """SELECT known.key, delivery.id, known.at
        FROM (SELECT id AS key, seq, at FROM seen UNION ALL SELECT message_key, seq, at FROM seen) AS known
            LEFT JOIN delivery USING (seq)
        WHERE known.key IS NOT NULL ORDER BY known.key""",
    "state": "SELECT {} FROM state ORDER BY scope, name",
    "recipient": """SELECT (SELECT name FROM broadcast WHERE n = recipient.broadcast), n, handle, outcome, reason, at
        FROM recipient ORDER BY recipient.broadcast, n""",
}
_COUNTS = {
    "meta": f"SELECT count(*) FROM ({_SELECTS['meta']})",  # noqa: S608 - constant text
    "seen": "SELECT count(id) + count(message_key) FROM seen",
}
_MESSAGE_KEY = "m."
"""The prefix of message keys, which no id of a delivery has."""
_OF_BODY = "SELECT count(*) FROM {} WHERE NOT EXISTS (SELECT 1 FROM {} AS other WHERE other.seq = {}.seq)"
_CONTRADICTIONS = {
    "waiting deliveries have no body": _OF_BODY.format("delivery", "body", "delivery"),
    "bodies belong to no delivery": _OF_BODY.format("body", "delivery", "body"),
    "waiting deliveries have a number twice": "SELECT count(*) - count(DISTINCT id) FROM delivery",
    "recipients belong to no broadcast": "SELECT count(*) FROM recipient WHERE broadcast NOT IN (SELECT n FROM broadcast)",
}


def schema_of(path: Path) -> SchemaState:
    """Return the state of the schema of a file, which may not exist.

    Raises:
        ConfigError, StorageError, StorageUnavailable: see `check_up`.
    """
    found = check_up(path)
    return SchemaState(str(path), found.schema or 0, newest_schema(), int(found.serving is not None))


def migrate_file(path: Path) -> SchemaState:
    """Bring the schema of a file up to date, and return the state that it had. A missing file is created.

    Raises:
        ConfigError: a process serves the file, or it belongs to another program.
        NewerSchema: a newer linqbot has written the file.
        StorageUnavailable: the file cannot be opened or written.
    """
    before = schema_of(path)
    prepare(path)
    lock = ServingLock(path)
    lock.acquire()
    try:
        db = connect(path)
        try:
            migrate(db, path)
        finally:
            db.close()
    finally:
        lock.release()
    return before


class SQLiteContents:
    """The content of a file as it is when it is opened.

    Args:
        alone: True to keep every other process from serving the file or writing to it.
    """

    def __init__(self, path: Path, *, alone: bool) -> None:
        self._path = path
        self._alone = alone
        self._lock = ServingLock(path)
        self._db: sqlite3.Connection

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigError: `alone`, and another process serves the file.
            StorageUnavailable: the file cannot be read; or `alone`, and another process writes for a long time.
        """
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self._close)

    async def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        return await self._run(_counts)

    async def pages(self, table: str, *, skip: int = 0) -> AsyncIterator[list[Row]]:
        """Yield the rows of a table; see `Contents.pages`."""
        sql = _select(table) + " LIMIT -1 OFFSET ?"
        cursor = await self._run(lambda db: db.execute(sql, (skip,)))
        try:
            while rows := await self._run(lambda _: cursor.fetchmany(PAGE)):
                yield [tuple(map(_comparable, row)) for row in rows]
        finally:
            cursor.close()

    async def problems(self) -> list[str]:
        """Return what is damaged in the file, and which rows contradict each other."""
        return await self._run(_problems)

    def _open(self) -> None:
        if self._alone:
            self._lock.acquire()
        try:
            self._db = connect(self._path)
            try:
                self._begin()
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            self._lock.release()
            raise unusable(self._path, error, f"The storage file {self._path} cannot be used now: {error}.") from error
        except BaseException:
            self._lock.release()
            raise

    def _begin(self) -> None:
        # The first read takes the snapshot. IMMEDIATE also makes commands such as `linqbot forget` wait, and then fail.
        self._db.execute("BEGIN IMMEDIATE" if self._alone else "BEGIN")
        self._db.execute("SELECT 1 FROM sqlite_master").fetchone()

    def _close(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._db.close()
        self._lock.release()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.to_thread(work, self._db)
        except sqlite3.Error as error:
            raise unusable(self._path, error, f"The storage file {self._path} cannot be used: {error}.") from error


class SQLiteCopy(SQLiteContents):
    """A file into which a copy is written. It is created if it is missing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, alone=True)
        self.mark: CopyMark | None = None
        # The numbers of the deliveries, by id, read when they are all stored. The file has no index of these ids.
        self._seqs: dict[Value, int] = {}

    async def add(self, table: str, rows: Sequence[Row], mark: CopyMark) -> None:
        """Store rows; see `CopyTarget.add`."""
        if table == "seen":
            if not self._seqs:
                self._seqs = await self._run(lambda db: dict(db.execute("SELECT id, seq FROM delivery").fetchall()))
            rows = [(key, delivery_id, self._seqs.get(delivery_id), at) for key, delivery_id, at in rows]
        await self._run(lambda db: _add(db, table, rows, mark))
        self.mark = mark

    async def complete(self) -> None:
        """Remove the mark; see `CopyTarget.complete`."""
        await self._run(lambda db: db.execute("DELETE FROM meta WHERE key = ?", (COPYING,)))
        self.mark = None

    def _open(self) -> None:
        prepare(self._path)
        super()._open()

    def _begin(self) -> None:
        migrate(self._db, self._path)
        self.mark = mark_of(self._db)
        refuse_if_used(self.name, _counts(self._db), self.mark)


def _select(table: str) -> str:
    """Return the SQL that reads a table in order."""
    columns = ", ".join(TABLES[table])
    return _SELECTS.get(table, f"SELECT {{}} FROM {table} ORDER BY n").format(columns)  # noqa: S608


def _counts(db: sqlite3.Connection) -> dict[str, int]:
    return {
        table: db.execute(_COUNTS.get(table, f"SELECT count(*) FROM {table}")).fetchone()[0]  # noqa: S608 - constant text
        for table in TABLES
    }


def _problems(db: sqlite3.Connection) -> list[str]:
    if damage := _damage(db):
        return [f"The file is damaged: {' '.join(line.split())}." for line in damage]
    found = []
    for what, sql in _CONTRADICTIONS.items():
        (count,) = db.execute(sql).fetchone()
        if count:
            found.append(f"{count} {what}.")
    if (mark := mark_of(db)) is not None:
        found.append(f"The storage {mark.refusal}")
    return found


def _damage(db: sqlite3.Connection) -> list[str]:
    try:
        return [str(line) for (line,) in db.execute("PRAGMA integrity_check(5)") if line != "ok"]
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        return [str(error)]


def _add(db: sqlite3.Connection, table: str, rows: Sequence[Row], mark: CopyMark) -> None:
    with transaction(db):
        private = False
        match table:
            case "delivery":
                private = _add_deliveries(db, rows)
            case "recipient":
                numbers = dict(db.execute("SELECT name, n FROM broadcast").fetchall())
                _insert(db, table, TABLES[table], [(numbers[name], *others) for name, *others in rows])
            case "seen":
                _add_seen(db, rows)
            case _:
                private = _add_plain(db, table, rows)
        if private:
            file.note_off_the_record(db)
        _insert(db, "meta", ("key", "value"), [(COPYING, mark.to_json())])


def _add_plain(db: sqlite3.Connection, table: str, rows: Iterable[Row]) -> bool:
    """Store rows of a table that has the columns of `TABLES`. Return True if one of them is off the record."""
    columns = TABLES[table]
    is_private = _PRIVATE.get(table)
    if is_private is None:
        _insert(db, table, columns, rows)
        return False
    marks = [(row, is_private(dict(zip(columns, row, strict=True)))) for row in rows]
    _insert(db, table, (*columns, "padding"), [(*row, file.padding(private)) for row, private in marks])
    return any(private for _, private in marks)


def _add_deliveries(db: sqlite3.Connection, rows: Sequence[Row]) -> bool:
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM delivery").fetchone()
    # The body is the last column.
    numbered = list(enumerate(rows, last + 1))
    columns = TABLES["delivery"]
    _insert(db, "delivery", ("seq", *columns[:-1]), [(seq, *row[:-1]) for seq, row in numbered])
    private = {seq: _is_private_delivery(dict(zip(columns, row, strict=True))) for seq, row in numbered}
    bodies = [(seq, file.padding(private[seq]), row[-1]) for seq, row in numbered]
    _insert(db, "body", ("seq", "padding", "body"), bodies)
    return any(private.values())


def _add_seen(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Store known keys: (key, id of the delivery, its number, time); the second and the third are None if it is gone."""
    (last,) = db.execute(
        "SELECT max(coalesce(max(delivery.seq), 0), (SELECT coalesce(max(seq), 0) FROM seen)) FROM delivery"
    ).fetchone()
    for key, delivery_id, seq, at in rows:
        is_message = key != delivery_id if seq is not None else str(key).startswith(_MESSAGE_KEY)
        column = "message_key" if is_message else "id"
        last += seq is None
        db.execute(
            f"""INSERT INTO seen (seq, {column}, at) VALUES (?, ?, ?)
                ON CONFLICT (seq) DO UPDATE SET {column} = excluded.{column}, at = max(at, excluded.at)""",  # noqa: S608 - constant text
            (last if seq is None else seq, key, at),
        )


def _insert(db: sqlite3.Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    places = ", ".join("?" * len(columns))
    # OR REPLACE: a new file has an install id of its own already.
    how = "INSERT OR REPLACE" if table == "meta" else "INSERT"
    db.executemany(f"{how} INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)


def _is_private_delivery(row: dict[str, object]) -> bool:
    fields = ("id", "lane", "type", "body", "received_at")
    return Delivery(*(row[name] for name in fields)).is_off_the_record  # type: ignore[arg-type]


def _is_private_timer(row: dict[str, object]) -> bool:
    return Timer(*(row[name] for name in TABLES["timer"])).is_off_the_record  # type: ignore[arg-type]


_PRIVATE: dict[str, Callable[[dict[str, object]], bool]] = {
    "dead": _is_private_delivery,
    "timer": _is_private_timer,
    "journal": lambda row: bool(row["off_the_record"] and row["texts"]),
    "conversation": lambda row: bool(row["off_the_record"]),
    "broadcast": lambda row: bool(row["off_the_record"] and row["content"]),
}
"""The tables with the column `padding`, and whether a row needs it."""


def _comparable(value: Value) -> Value:
    """Return a value as PostgreSQL can hold it: without U+0000, which only texts of errors may have."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
