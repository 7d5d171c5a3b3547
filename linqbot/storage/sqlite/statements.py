"""One transaction of the writer, its statements of many rows, and the operations that only SQLite has.

The fixed cost of a statement is paid once per batch, not once per row. `executemany` is no alternative: it runs the
statement for each row, and cannot do `IN (…)`. A transaction also has its time and notes what it changes for the index.
The other operations are in `storage/operations.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress
from typing import Any, ClassVar

from linqbot.storage.dialect import sqlite_form
from linqbot.storage.operations import Op
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.index import Index, IndexChanges

# A few sizes, so that only a few statements are ever compiled, none of them longer than 100 KB.
_PIECES = (32, 8, 2, 1)
_LONGEST_LIST = 128


def insert(db: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], on_conflict: str = "") -> None:
    """Insert rows, in order; see `Writable.insert`.

    Args:
        into: `table (columns)`. A column in which a row has None must have no other default than NULL.
        on_conflict: The SQL that follows the values.
    """
    if not rows:
        return
    start = 0
    for size in _PIECES:
        while len(rows) - start >= size:
            _insert_piece(db, into, rows[start : start + size], on_conflict)
            start += size


def _insert_piece(db: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], on_conflict: str) -> None:
    # Columns that are None in all rows are left out: the sqlite3 module takes longest for a None, and a new journal entry
    # has seven.
    missing = (None,) * len(rows)
    columns = list(zip(*rows, strict=True))
    given = tuple([column != missing for column in columns])
    values = zip(*compress(columns, given), strict=True)
    db.execute(_insert(into, given, len(rows), on_conflict), tuple(chain.from_iterable(values)))


def among(db: sqlite3.Connection, sql: str, values: Collection[str | int], *before: Any) -> list[tuple[Any, ...]]:
    """Run `sql`, whose last condition is `IN (*)`, for all `values`, and return the rows.

    Args:
        before: Values for the `?` in front of `IN (*)`.
    """
    found: list[tuple[Any, ...]] = []
    if not values:
        return found
    todo = list(values)
    for start in range(0, len(todo), _LONGEST_LIST):
        piece = todo[start : start + _LONGEST_LIST]
        # Filled up to a power of two with its last value, which changes nothing: again so that statements are few.
        size = 1 << (len(piece) - 1).bit_length()
        piece += piece[-1:] * (size - len(piece))
        found += db.execute(_among(sql, size), (*before, *piece)).fetchall()
    return found


@cache
def _insert(into: str, given: tuple[bool, ...], rows: int, on_conflict: str) -> str:
    table, _, every = into.removesuffix(")").partition(" (")
    columns = list(compress(every.split(", "), given))
    row = "(" + ",".join("?" * len(columns)) + ")"
    into = f"{table} ({', '.join(columns)})"
    return f"INSERT INTO {into} VALUES {','.join([row] * rows)} {on_conflict}"  # noqa: S608 - constant text only


@cache
def _among(sql: str, size: int) -> str:
    return sql.replace("(*)", "(" + ",".join("?" * size) + ")")


@dataclass(slots=True, eq=False)
class SQLiteReader:
    """A connection, for the SQL that SQLite and PostgreSQL share; see `storage/dialect.py`."""

    is_leased: ClassVar[str] = "leased"
    ahead_s: ClassVar[float] = 0.0  # the database has no clock of its own
    db: sqlite3.Connection

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self._execute(sql, values).fetchall()

    async def value(self, sql: str, *values: object) -> Any:
        row = self._execute(sql, values).fetchone()
        return None if row is None else row[0]

    async def pages(self, sql: str, size: int) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        with contextlib.closing(self._execute(sql, ())) as cursor:
            while rows := cursor.fetchmany(size):
                yield rows

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self.db.execute("ROLLBACK")

    def _execute(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        form = sqlite_form(sql)
        return self.db.execute(form.sql, form.values(values))


@dataclass(slots=True, eq=False)
class Transaction(SQLiteReader):
    """An open transaction.

    Attributes:
        index: The index as it was before the transaction, except for what leasing, releasing and numbering change at once.
        changes: The changes that the index applies once the transaction is on disk.
        now: The time of the storage's clock, in Unix seconds.
        monotonic: The same time for the ends of leases; see `Clock.monotonic`.
        keep_s: Seconds of history; 0 keeps none.
        first_seq: The sequence number of the first delivery that this transaction stores.
    """

    freed: ClassVar[str] = "leased = false"
    padding: ClassVar[str] = ", padding"
    no_padding: ClassVar[str] = ", padding = NULL"
    check_key: ClassVar[str] = "check"
    index: Index
    changes: IndexChanges
    now: float
    monotonic: float
    keep_s: float
    first_seq: int

    async def run(self, sql: str, *values: object) -> int:
        return self._execute(sql, values).rowcount

    async def run_each(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        form = sqlite_form(sql)
        self.db.executemany(form.sql, map(form.values, rows))

    async def insert(
        self, into: str, rows: Sequence[tuple[Any, ...]], on_conflict: str = "", *, off_the_record: bool | None = None
    ) -> int:
        if off_the_record:
            self.begin_off_the_record()
            into, rows = into.replace(")", ", padding)"), [(*row, file.PADDING) for row in rows]
        if off_the_record is not None:
            on_conflict = on_conflict.replace(" UPDATE SET", " UPDATE SET padding = excluded.padding,")
        before = self.db.total_changes
        insert(self.db, into, rows, on_conflict)
        return self.db.total_changes - before

    async def lock(self, names: Iterable[str]) -> None:
        """Do nothing: one transaction writes at a time."""

    def begin_off_the_record(self) -> None:
        """Overwrite the pages that are freed from now on, if the file gets its first text off the record."""
        if self.index.is_off_the_record or self.changes.off_the_record:
            return
        file.overwrite_freed(self.db)
        file.note(self.db, "off_the_record")
        self.changes.off_the_record = True


def outside(db: sqlite3.Connection, now: float) -> Transaction:
    """Return the transaction of a method for operators. Nothing applies its changes: the index is read again."""
    return Transaction(db, Index(), IndexChanges(), now, 0.0, 0.0, 0)


@dataclass(slots=True, eq=False)
class TruncateOp(Op[bool]):
    """Empty the WAL after the commit. The result is False if another connection still reads from it."""
