"""SQL that is written once for SQLite and PostgreSQL. The modules of the tables run it over a `Readable` or a `Writable`.

It is written as for PostgreSQL: parameters are `$1`, a list is `= ANY($1)`, a type is `$1::text`. `sqlite_form` changes
that where SQLite differs. The methods are coroutines because PostgreSQL needs them. Over SQLite they never wait, so
`drive` runs them in any thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from linqbot.storage.changes import Changes, KnownNames

T = TypeVar("T")

Values: TypeAlias = tuple[Any, ...]
"""The values of the columns of one row."""


class Readable(Protocol):
    is_leased: ClassVar[str]
    """The condition for a row of the table `delivery` that is leased."""
    of_ids: ClassVar[str]
    """The condition for the rows of the table `delivery` whose ids are in the list $1."""
    seen_with_delivery: ClassVar[str]
    """The rows of `seen` with a key, which is $1, each with its row of `delivery` if it is in the inbox; what follows FROM."""

    @property
    def ahead_s(self) -> float:
        """Seconds by which the clock of the database is ahead of the storage's clock."""
        ...

    async def fetch(self, sql: str, *values: object) -> Sequence[Any]:
        """Run a statement, and return its rows, each like a tuple."""
        ...

    async def value(self, sql: str, *values: object) -> Any:
        """Run a statement, and return the first value of its first row; None if there is no row."""
        ...

    def pages(self, sql: str, size: int) -> AsyncGenerator[Sequence[Any], None]:
        """Run a statement, and yield its rows, `size` at a time."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[None]:
        """Let the queries inside see the same state. No transaction may be open."""
        ...


class Writable(Readable, Protocol):
    """An open transaction that writes."""

    freed: ClassVar[str]
    """The SQL after `UPDATE delivery SET` by which a row is leased no more."""
    padding: ClassVar[str]
    """The SQL that adds the column behind which a text off the record is stored; empty if a backend has no such column."""
    no_padding: ClassVar[str]
    """The SQL after `SET column = value` that also empties this column."""

    @property
    def now(self) -> float:
        """The time of the database's clock, in Unix seconds."""
        ...

    @property
    def keep_s(self) -> float:
        """Seconds of history; 0 keeps none."""
        ...

    @property
    def keep_outcomes_s(self) -> float:
        """Seconds for which outcomes are kept; see `Storage.keep_outcomes_days`."""
        ...

    @property
    def names(self) -> KnownNames: ...

    @property
    def changes(self) -> Changes: ...

    async def run(self, sql: str, *values: object) -> int:
        """Run a statement, and return the number of rows that it changed."""
        ...

    async def run_each(self, sql: str, rows: Sequence[Values]) -> None:
        """Run a statement with the values of each row in turn."""
        ...

    async def insert(
        self, into: str, rows: Sequence[Values], on_conflict: str = "", *, off_the_record: Sequence[bool] | None = None
    ) -> int:
        """Insert rows, in order, and return the number of rows that were written.

        Args:
            into: `table (columns)`. A column in which a row has None must have no other default than NULL.
            on_conflict: The SQL that follows the values.
            off_the_record: For each row, True if no text of it may be left where it was stored once it is deleted; None
                for a table without such texts.
        """
        ...

    async def lock(self, names: Iterable[str]) -> None:
        """Keep other transactions that lock one of these names waiting until the end of this one."""
        ...


class SQLiteForm(NamedTuple):
    sql: str  # its text, with `?` for each value
    of_ones: str  # the same for lists of one value each
    order: tuple[int, ...]  # the index of the value of each `?`
    lists: frozenset[int]  # The indexes of the values that are lists. SQLite gets them as JSON.

    def bound(self, given: Sequence[Any]) -> tuple[str, list[Any]]:
        """Return the statement for these values, and its values.

        A list of one value, as nearly every one of a process that is not busy, needs no JSON: to read that takes SQLite longer
        than the rest of a statement.
        """
        if not self.lists:
            return self.sql, [given[n] for n in self.order]
        ones = {n: next(iter(given[n])) for n in self.lists if len(given[n]) == 1}
        # Half a surrogate pair, as in an argument that is no UTF-8, is found nowhere. Only JSON can hold it.
        if len(ones) < len(self.lists) or any(isinstance(one, str) and not one.isascii() for one in ones.values()):
            return self.sql, self.values(given)
        return self.of_ones, [ones[n] if n in ones else given[n] for n in self.order]

    def values(self, given: Sequence[Any]) -> list[Any]:
        return [json.dumps(list(given[n])) if n in self.lists else given[n] for n in self.order]


_LISTED: Final = "IN (SELECT value FROM json_each(?))"
_DIFFERENT = re.compile(r"= ANY\(\$(\d+)\)|\$(\d+)| FOR UPDATE(?: SKIP LOCKED)?|::\w+")


@cache
def sqlite_form(sql: str) -> SQLiteForm:
    """Return a constant statement in SQLite's form."""
    order: list[int] = []
    lists: set[int] = set()

    def form(found: re.Match[str]) -> str:
        a_list, a_value = found.groups()
        if a_list is None and a_value is None:
            return ""
        order.append(int(a_list or a_value) - 1)
        if a_list is None:
            return "?"  # not `?1`: Python deprecates a sequence of values for numbered parameters
        lists.add(order[-1])
        return _LISTED

    whole = _DIFFERENT.sub(form, sql)
    return SQLiteForm(whole, whole.replace(_LISTED, "= ?"), tuple(order), frozenset(lists))


def schemas_in(package: str) -> dict[int, str]:
    """Return the numbered SQL files of the folder `schema` of a package, by their numbers. Each adds to those before it."""
    folder = files(package) / "schema"
    numbered = (each for each in folder.iterdir() if each.name[:4].isdecimal() and each.name.endswith(".sql"))
    return {int(each.name[:4]): each.read_text("utf-8") for each in numbered}


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over SQLite to its end, and return its result. Raises AssertionError if it waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("a coroutine over SQLite has waited")


def where(*conditions: tuple[str, object], first: int = 1) -> tuple[str, list[Any]]:
    """Return `WHERE …` and its values, for the conditions such as `lane = $` whose value is not None.

    A condition that may be left out is not written `$1 IS NULL OR lane = $1`, because then no index would be used.
    """
    given = [(sql, value) for sql, value in conditions if value is not None]
    texts = [sql.replace("$", f"${number}") for number, (sql, _) in enumerate(given, first)]
    return ("WHERE " + " AND ".join(texts) if texts else ""), [value for _, value in given]
