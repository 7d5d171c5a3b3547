"""The SQL that reads the whole content of a storage, checks it, and writes a copy; see `storage/contents.py`.

A backend adds what opens and closes it, a cursor, and what is its own about lanes and known ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar

from linqbot.errors import StorageError
from linqbot.events.delivery import Delivery
from linqbot.storage.contents import COPYING, TABLES, CopyMark, Row, SchemaState, mark_of
from linqbot.storage.dialect import Writable
from linqbot.storage.timers import Timer

T = TypeVar("T")

Role: TypeAlias = Literal["check", "source", "target"]
"""The purpose for which a storage is opened. No other process can open a source or a target meanwhile."""

_SELECTS: Final = {
    # These keys have the same order in every language.
    "meta": "SELECT {} FROM meta WHERE key IN ('active_at', 'first_active_at', 'install') ORDER BY key",
    "delivery": "SELECT {} FROM delivery JOIN body USING (seq) ORDER BY seq",
    "state": "SELECT {} FROM state ORDER BY scope, name",
    "recipient": """SELECT name, recipient.n, handle, outcome, reason, at
        FROM recipient LEFT JOIN broadcast ON broadcast.n = broadcast ORDER BY broadcast, recipient.n""",
}
_CONTRADICTIONS: Final = {
    "waiting deliveries have no body": """SELECT count(*) FROM delivery
        WHERE NOT EXISTS (SELECT 1 FROM body WHERE body.seq = delivery.seq)""",
    "bodies belong to no delivery": """SELECT count(*) FROM body
        WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = body.seq)""",
    "recipients belong to no broadcast": """SELECT count(*) FROM recipient
        WHERE NOT EXISTS (SELECT 1 FROM broadcast WHERE broadcast.n = recipient.broadcast)""",
}
_BOOLEANS: Final = frozenset({"put_back", "off_the_record", "texts"})


class Contents(ABC):
    """The content of a storage as it is at one moment; a target is empty at first, and grows. Use as `async with`.

    Args:
        name: The place of the storage, for messages; without a password.
    Attributes:
        mark: The mark of the copy in a target; None if the target was empty when it was opened.
    """

    _tx: Writable
    _seen: ClassVar[str]
    _contradictions: Mapping[str, str]

    def __init__(self, name: str, role: Role) -> None:
        self.name = name
        self.mark: CopyMark | None = None
        self._role = role

    @abstractmethod
    async def schema(self) -> SchemaState:
        """Return the state of the schema of a storage that is not open, and may not exist.

        Raises:
            ConfigError, StorageError, StorageUnavailable: see `check_up` of the backend.
        """

    @abstractmethod
    async def migrate(self) -> SchemaState:
        """Bring the schema up to date, and return the state that it had. A missing storage is created.

        Raises:
            ConfigError: a process serves the file, the file belongs to another program, or the rights do not suffice.
            NewerSchema: a newer linqbot has written the schema.
            StorageUnavailable: nothing was changed.
        """

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open the storage. A target is created if it is missing.

        Raises:
            ConfigError, StorageError: another process uses the source or the target; or the target holds rows.
            StorageUnavailable: the storage cannot be read or written.
        """

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    async def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        return await self._run(self._counts())

    def pages(self, table: str, *, skip: int = 0) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of a table in order, `PAGE` at a time, without the first `skip`."""
        return self._pages(self._select(table), skip)

    async def problems(self) -> list[str]:
        """Return the contradictions between the rows of this storage, a sentence each; an intact storage has none."""
        return await self._run(self._problems())

    async def add(self, table: str, rows: Sequence[Row], mark: CopyMark) -> None:
        """Store rows in a target, behind those of earlier calls, in one commit with the new mark."""
        await self._run(self._add(table, [dict(zip(TABLES[table], row, strict=True)) for row in rows], mark))
        self.mark = mark

    async def complete(self) -> None:
        """Remove the mark: from now on the target can be served."""
        await self._run(self._tx.run("DELETE FROM meta WHERE key = $1", COPYING))
        self.mark = None

    @abstractmethod
    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run SQL over `_tx`, and return the result."""

    @abstractmethod
    def _transaction(self) -> AbstractAsyncContextManager[Any]:
        """Commit what is written over `_tx` inside, or nothing of it."""

    @abstractmethod
    def _pages(self, sql: str, skip: int) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of a query, `PAGE` at a time, without the first `skip`."""

    @abstractmethod
    async def _number(self, lanes: Sequence[str]) -> Sequence[int]:
        """Return the numbers of further deliveries, in order, for the tails of these lanes."""

    @abstractmethod
    async def _restore(self, leased: Sequence[int], waiting: Mapping[int, float]) -> None:
        """Mark deliveries as leased by a process that died, and let others wait until these times."""

    @abstractmethod
    async def _add_seen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store known ids."""

    async def _begin_target(self) -> None:
        """Read the mark.

        Raises:
            StorageError: the storage holds rows that are not those of an unfinished copy.
        """
        self.mark = await mark_of(self._tx)
        rows = sum(count for table, count in (await self._counts()).items() if table != "meta")
        if rows and self.mark is None:
            raise StorageError(
                f"{self.name} holds {rows} rows already. A copy overwrites nothing: name another storage, or empty this one."
            )

    def _select(self, table: str) -> str:
        columns = (f"{self._tx.is_leased} AS leased" if name == "leased" else name for name in TABLES[table])
        sql = self._seen if table == "seen" else _SELECTS.get(table, f"SELECT {{}} FROM {table} ORDER BY n")  # noqa: S608
        return sql.format(", ".join(columns))

    async def _counts(self) -> dict[str, int]:
        unordered = {table: self._select(table).rpartition(" ORDER BY ")[0] for table in TABLES}
        return {
            table: await self._tx.value(f"SELECT count(*) FROM ({sql}) AS found")  # noqa: S608 - constant text
            for table, sql in unordered.items()
        }

    async def _problems(self) -> list[str]:
        counts = {what: await self._tx.value(sql) for what, sql in {**_CONTRADICTIONS, **self._contradictions}.items()}
        found = [f"{count} {what}." for what, count in counts.items() if count]
        if (mark := await mark_of(self._tx)) is not None:
            found.append(f"The storage {mark.refusal}")
        return found

    async def _add(self, table: str, rows: list[dict[str, Any]], mark: CopyMark) -> None:
        async with self._transaction():
            if table == "delivery":
                await self._add_deliveries(rows)
            elif table == "seen":
                await self._add_seen(rows)
            else:
                if table == "recipient":
                    numbers = dict(await self._tx.fetch("SELECT name, n FROM broadcast"))
                    rows = [{**row, "broadcast": numbers[row["broadcast"]]} for row in rows]
                await self._insert(table, TABLES[table], rows)
            await self._insert("meta", TABLES["meta"], [{"key": COPYING, "value": mark.to_json()}])

    async def _add_deliveries(self, rows: Sequence[Mapping[str, Any]]) -> None:
        seqs = await self._number([row["lane"] for row in rows])
        numbered = [{**row, "seq": seq} for seq, row in zip(seqs, rows, strict=True)]
        columns = [name for name in TABLES["delivery"] if name not in {"leased", "body"}]
        await self._insert("delivery", ["seq", *columns], numbered)
        await self._insert("body", ["seq", "body"], numbered)
        await self._restore(
            [row["seq"] for row in numbered if row["leased"]],
            {row["seq"]: row["not_before"] for row in numbered if row["waits"]},
        )

    async def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        # A new storage has an install id of its own already.
        on_conflict = "ON CONFLICT (key) DO UPDATE SET value = excluded.value" if table == "meta" else ""
        for off_the_record, group in groupby(rows, partial(_is_off_the_record, table)):
            values = [tuple(bool(row[name]) if name in _BOOLEANS else row[name] for name in columns) for row in group]
            await self._tx.insert(f"{table} ({', '.join(columns)})", values, on_conflict, off_the_record=off_the_record)


def _is_off_the_record(table: str, row: Mapping[str, Any]) -> bool | None:
    """Return True if the row holds text off the record, and None if no row of the table does."""
    match table:
        case "body" | "dead":
            fields = ("id", "lane", "type", "body", "received_at")
            return Delivery(*(row[name] for name in fields)).is_off_the_record
        case "timer":
            return Timer(*(row[name] for name in TABLES["timer"])).is_off_the_record
        case "journal":
            return bool(row["off_the_record"] and row["texts"])
        case "conversation":
            return bool(row["off_the_record"])
        case "broadcast":
            return bool(row["off_the_record"] and row["content"])
        case _:
            return None
