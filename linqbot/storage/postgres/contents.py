"""The content of a PostgreSQL storage as a whole, for `linqbot storage`: reading it, checking it, writing a copy into it.

A copy holds the storage's lock alone, which every process that opens the storage shares; see `processes.enter`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Self

import asyncpg

from linqbot.errors import StorageError
from linqbot.storage.contents import (
    COPYING,
    PAGE,
    TABLES,
    CopyMark,
    Row,
    SchemaState,
    refuse_if_used,
)
from linqbot.storage.postgres import processes
from linqbot.storage.postgres.queries import check_up
from linqbot.storage.postgres.server.address import Address, Connection, translated
from linqbot.storage.postgres.server.migrate import mark_of, migrate, newest_schema

_SELECTS: Final = {
    "meta": """SELECT key, value FROM meta WHERE key IN ('active_at', 'first_active_at', 'install')
        ORDER BY key COLLATE "C" """,
    "delivery": "SELECT {} FROM delivery JOIN body USING (seq) ORDER BY seq",
    "seen": """SELECT seen.id, delivery.id, seen.at FROM seen LEFT JOIN delivery ON delivery.id = seen.delivery_id
        ORDER BY seen.id COLLATE "C" """,
    "state": "SELECT {} FROM state ORDER BY scope, name",
    "recipient": """SELECT b.name, r.n, r.handle, r.outcome, r.reason, r.at
        FROM recipient r LEFT JOIN broadcast b ON b.n = r.broadcast ORDER BY r.broadcast, r.n""",
}
_BOOLEANS: Final = frozenset({"put_back", "leased", "off_the_record", "texts"})
_OF_QUEUE: Final = "waiting deliveries are not in the queue of pgmq, so they are never handled"
_CONTRADICTIONS: Final = {
    "waiting deliveries have no body": "SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT FROM body WHERE seq = d.seq)",
    "bodies belong to no delivery": "SELECT count(*) FROM body b WHERE NOT EXISTS (SELECT FROM delivery WHERE seq = b.seq)",
    _OF_QUEUE: "SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT FROM pgmq.q_{queue} WHERE msg_id = d.seq)",
    "messages in the queue of pgmq belong to no delivery": """SELECT count(*) FROM pgmq.q_{queue} q
        WHERE NOT EXISTS (SELECT FROM delivery WHERE seq = q.msg_id)""",
    "waiting deliveries are in the queue of another lane": """SELECT count(*) FROM delivery d JOIN pgmq.q_{queue} q
        ON q.msg_id = d.seq WHERE q.headers ->> 'x-pgmq-group' IS DISTINCT FROM d.lane""",
    "lanes have no head, or a wrong one": """SELECT count(*) FROM head h
        FULL JOIN (SELECT lane, min(seq) AS seq FROM delivery GROUP BY lane) d USING (lane) WHERE h.seq IS DISTINCT FROM d.seq""",
    "recipients belong to no broadcast": """SELECT count(*) FROM recipient r
        WHERE NOT EXISTS (SELECT FROM broadcast WHERE n = r.broadcast)""",
}
_READ_S: Final = 3600.0
"""Seconds that one statement may take: it may sort a whole table."""


async def schema_of(url: str) -> SchemaState:
    """Return the state of the schema that a URL names; it may not exist.

    Raises:
        ConfigError, StorageError, StorageUnavailable: see `check_up`.
    """
    found = await check_up(url)
    return SchemaState(found.name, found.schema or 0, newest_schema(), found.serving)


async def migrate_schema(url: str) -> SchemaState:
    """Bring the schema up to date, and return the state that it had. A missing schema is created.

    Processes may serve the storage meanwhile, as during a rolling upgrade.

    Raises:
        ConfigError: the user of the URL may not do it, or the server is too old.
        StorageError: a newer linqbot has written the schema.
        StorageUnavailable: the server cannot be reached.
    """
    before = await schema_of(url)
    address = Address.parse(url)
    with translated(address.name):
        connection = await address.connect()
        try:
            await migrate(connection, address, create=True, movable_clock=False)
        finally:
            await connection.close()
    return before


class PostgresContents:
    """The content of a storage as it is when it is opened.

    Args:
        alone: True to keep every other process from opening the storage.
    """

    def __init__(self, url: str, *, alone: bool) -> None:
        self._address = Address.parse(url)
        self._alone = alone
        self._db: Connection

    @property
    def name(self) -> str:
        """Host, database and schema."""
        return self._address.name

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            StorageError: `alone`, and another process uses the storage.
            StorageUnavailable: the server cannot be reached.
        """
        with translated(self.name):
            self._db = await self._address.connect()
            try:
                await self._begin()
            except BaseException:
                self._db.terminate()
                raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._db.close(timeout=5.0)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._db.terminate()

    async def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        with translated(self.name):
            return await _counts(self._db)

    async def pages(self, table: str, *, skip: int = 0) -> AsyncIterator[list[Row]]:
        """Yield the rows of a table; see `Contents.pages`."""
        columns = ", ".join("token IS NOT NULL AS leased" if name == "leased" else name for name in TABLES[table])
        sql = _SELECTS.get(table, f"SELECT {{}} FROM {table} ORDER BY n").format(columns)  # noqa: S608
        # Nested in the snapshot, if there is one: a cursor needs a transaction.
        with translated(self.name):
            async with self._db.transaction():
                cursor = await self._db.cursor(f"{sql} OFFSET $1", skip, timeout=_READ_S)
                while rows := await cursor.fetch(PAGE, timeout=_READ_S):
                    yield [tuple(row) for row in rows]

    async def problems(self) -> list[str]:
        """Return the rows that contradict each other."""
        found: list[str] = []
        with translated(self.name):
            for what, sql in _CONTRADICTIONS.items():
                count = await self._db.fetchval(sql.format(queue=self._address.schema), timeout=_READ_S)
                if count:
                    found.append(f"{count} {what}.")
            if (mark := await mark_of(self._db)) is not None:
                found.append(f"The storage {mark.refusal}")
        return found

    async def _begin(self) -> None:
        if self._alone:
            await self._lock()
        # The transaction is idle while a copy writes and compares the rows, which may take longer than this limit.
        await self._db.execute("SET idle_in_transaction_session_timeout = 0")
        # One transaction that is never committed: the whole content is of one moment.
        await self._db.transaction(isolation="repeatable_read", readonly=True).start()

    async def _lock(self) -> None:
        other = await self._address.connect()
        try:
            await self._address.refuse_shared(self._db, other)
        finally:
            await other.close()
        if not await processes.enter_alone(self._db, self._address):
            raise StorageError(
                f"A process uses {self.name}: a server, or a linqbot command. Stop it first: what it stores during a copy would "
                "be missing from the copy. The database notices a process that was killed within a minute."
            )


class PostgresCopy(PostgresContents):
    """A storage into which a copy is written. Its schema is created if it is missing."""

    def __init__(self, url: str) -> None:
        super().__init__(url, alone=True)
        self.mark: CopyMark | None = None
        self._ahead_s = 0.0
        self._broadcasts: dict[Any, int] | None = None

    async def add(self, table: str, rows: Sequence[Row], mark: CopyMark) -> None:
        """Store rows; see `CopyTarget.add`."""
        with translated(self.name):
            async with self._db.transaction():
                await self._add(table, rows)
                await self._set_fact(COPYING, mark.to_json())
        self.mark = mark

    async def complete(self) -> None:
        """Remove the mark; see `CopyTarget.complete`."""
        with translated(self.name):
            # The planner knows nothing yet of the tables that were just filled.
            await self._db.execute(f"ANALYZE {', '.join(TABLES)}, body, pgmq.q_{self._address.schema}", timeout=_READ_S)
            await self._db.execute("DELETE FROM meta WHERE key = $1", COPYING)
        self.mark = None

    async def _begin(self) -> None:
        await migrate(self._db, self._address, create=True, movable_clock=False)
        await self._lock()
        self.mark = await mark_of(self._db)
        refuse_if_used(self.name, await _counts(self._db), self.mark)
        self._ahead_s = await processes.ahead(self._db)

    async def _add(self, table: str, rows: Sequence[Row]) -> None:
        match table:
            case "meta":
                for key, value in rows:
                    await self._set_fact(str(key), str(value))
            case "delivery":
                await self._add_deliveries(rows)
            case "seen":
                # An id that no delivery has stands for a delivery that has left the inbox.
                found = [(key, delivery_id or key, at) for key, delivery_id, at in rows]
                await self._insert(table, TABLES[table], found)
            case "recipient":
                if self._broadcasts is None:
                    self._broadcasts = dict(await self._db.fetch("SELECT name, n FROM broadcast"))  # type: ignore[arg-type]
                numbers = self._broadcasts
                await self._insert(table, TABLES[table], [(numbers[name], *others) for name, *others in rows])
            case _:
                await self._insert(table, TABLES[table], rows)

    async def _add_deliveries(self, rows: Sequence[Row]) -> None:
        columns = TABLES["delivery"]
        place = {name: at for at, name in enumerate(columns)}
        headers = [json.dumps({"x-pgmq-group": row[place["lane"]]}) for row in rows]
        sql = "SELECT n FROM pgmq.send_batch($1::text, $2::jsonb[], $3::jsonb[]) AS n"
        sent = await self._db.fetch(sql, self._address.schema, ["{}"] * len(rows), headers)
        # The numbers are given in the order of the array.
        seqs = sorted(row["n"] for row in sent)
        leased = {seq for seq, row in zip(seqs, rows, strict=True) if row[place["leased"]]}
        tokens: dict[int, int] = {}
        if leased:
            lock = self._address.lock(f"process\0{processes.COPIED}")
            await self._db.execute(
                "INSERT INTO process (id, lock) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", processes.COPIED, lock
            )
            numbered = await self._db.fetch(
                "SELECT seq, nextval('lease_token') AS token FROM unnest($1::bigint[]) AS seq", sorted(leased)
            )
            tokens = {row["seq"]: row["token"] for row in numbered}
        plain = [name for name in columns if name not in ("leased", "body")]
        await self._insert(
            "delivery",
            ("seq", *plain, "token", "owner"),
            [
                (
                    seq,
                    *(row[place[name]] for name in plain),
                    tokens.get(seq),
                    processes.COPIED if seq in leased else None,
                )
                for seq, row in zip(seqs, rows, strict=True)
            ],
        )
        await self._insert("body", ("seq", "body"), [(seq, row[-1]) for seq, row in zip(seqs, rows, strict=True)])
        await self._wait_until(
            [(seq, row[place["not_before"]]) for seq, row in zip(seqs, rows, strict=True) if row[place["waits"]]]
        )

    async def _wait_until(self, times: Sequence[tuple[int, Any]]) -> None:
        """Hide the lanes of deliveries until the times of this machine's clock at which they may be handled again."""
        await self._db.fetch(
            """SELECT pgmq.set_vt($1::text, u.seq, to_timestamp(u.at))
               FROM unnest($2::bigint[], $3::float8[]) AS u (seq, at)""",
            self._address.schema,
            [seq for seq, _ in times],
            [at + self._ahead_s for _, at in times],
        )

    async def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        booleans = [at for at, name in enumerate(columns) if name in _BOOLEANS]
        records = [_with_booleans(row, booleans) for row in rows] if booleans else rows
        await self._db.copy_records_to_table(
            table, schema_name=self._address.schema, columns=list(columns), records=records
        )

    async def _set_fact(self, key: str, value: str) -> None:
        sql = "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        await self._db.execute(sql, key, value)


async def _counts(connection: Connection) -> dict[str, int]:
    counts = {}
    for table in TABLES:
        rows = f"({_SELECTS['meta']})" if table == "meta" else table
        counts[table] = int(await connection.fetchval(f"SELECT count(*) FROM {rows} AS r", timeout=_READ_S))  # noqa: S608
    return counts


def _with_booleans(row: Row, places: Sequence[int]) -> Row:
    values = list(row)
    for at in places:
        values[at] = bool(values[at])
    return tuple(values)
