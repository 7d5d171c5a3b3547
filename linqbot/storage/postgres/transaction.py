"""One transaction: its connection, its time, what it changes for the memory of processes, and the queue in front of it.

A commit costs as much for a hundred operations as for one. So operations that arrive while a transaction runs are
queued, and written together in the next one. Deliveries keep the order in which `put` was called, because one
transaction runs at a time. Next step: `writer.py` runs the SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import asyncpg

from linqbot.errors import StorageError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.storage import operations
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.dialect import Changes
from linqbot.storage.inbox import Lease
from linqbot.storage.operations import Op, Unwritable
from linqbot.storage.postgres.server.address import Address, Connection


@dataclass(frozen=True, slots=True)
class Taken:
    """A `take`, with times on the clock of the database.

    Attributes:
        due: When the earliest lease or wait ends that ends after `at`; None if there is none.
        news: The value of `Memory.news` before it.
        is_all: True if it has leased something, and nothing is left that it could have leased.
    """

    at: float = 0.0
    due: float | None = None
    news: int = -1
    is_all: bool = False


@dataclass(slots=True, eq=False)
class TransactionChanges(Changes):
    """The changes of one transaction, applied to the memory of this process after COMMIT and sent to the others with it.

    Attributes:
        work: True if another process may find a delivery to lease.
        lanes: Lanes into which deliveries were put.
        all_conversations: All conversations, if they were read.
        refreshed: The conversations of chats that were read, by chat.
        leased: Leases that this transaction made, with the end of each on the clock of the database and its limit of suspects.
        ended_leases: Tokens of leases that are over.
        stored: Deliveries that `put` stored, with their numbers.
        joined: Sequence numbers of deliveries that others joined, each with the joined delivery, the numbers
            of those, and True for a new replay.
        accepted: Number of deliveries that were stored.
        news: The value of `Memory.news` when the transaction began.
        taken: The last `take`.
        refused: Lanes of which this process has refused a delivery, as the others are notified, with the number of times.
        gap: The time since which deliveries of any lane may have been refused, for other processes.
        room: Deliveries that fit into the inbox, if they were counted.
        has_suspects: True if some deliveries are suspects, False if none is, None if that was not looked at.
    """

    work: bool = False
    lanes: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    all_conversations: list[ConversationSummary] | None = None
    refreshed: dict[str, list[ConversationSummary]] = field(default_factory=dict)
    leased: list[tuple[Lease, float, int]] = field(default_factory=list)
    ended_leases: set[int] = field(default_factory=set)
    stored: list[tuple[int, Delivery]] = field(default_factory=list)
    joined: list[tuple[int, Delivery, Sequence[int], bool]] = field(default_factory=list)
    accepted: int = 0
    news: int = 0
    taken: Taken | None = None
    gap: float | None = None
    room: int | None = None
    has_suspects: bool | None = None

    @property
    def chats(self) -> set[str]:
        """The chats whose conversations changed, for other processes."""
        return {each.chat_id for each in self.conversations} | {chat for chat, _ in self.ended}

    def forget_conversations(self, gone: Iterable[tuple[str, str]]) -> None:
        """Note that conversations were deleted, also if this transaction has stored or read them before."""
        found = list(gone)
        Changes.forget_conversations(self, found)
        for chat, conversation_id in found:
            if chat in self.refreshed:
                self.refreshed[chat] = [each for each in self.refreshed[chat] if each.id != conversation_id]


@dataclass(slots=True, eq=False)
class PostgresReader:
    """A connection, for the SQL that SQLite and PostgreSQL share; see `storage/dialect.py`.

    Attributes:
        ahead_s: Seconds by which the clock of the database is ahead of the storage's clock, which gives the times of
            operations.
    """

    connection: Connection
    ahead_s: float

    @property
    def is_leased(self) -> str:
        """See `Readable.is_leased`."""
        return "token IS NOT NULL"

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement, and return its rows."""
        return await self.connection.fetch(sql, *values)

    async def value(self, sql: str, *values: object) -> Any:
        """Run a statement, and return the first value of its first row; None if there is no row."""
        return await self.connection.fetchval(sql, *values)

    async def pages(self, sql: str, size: int) -> AsyncGenerator[list[asyncpg.Record], None]:
        """Run a statement, and yield its rows, `size` at a time."""
        async with self.connection.transaction():  # a cursor needs one; nested in a snapshot, if there is one
            cursor = await self.connection.cursor(sql)
            while rows := await cursor.fetch(size):
                yield rows

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Let the queries inside see the same state; see `Readable.snapshot`."""
        async with self.connection.transaction(isolation="repeatable_read", readonly=True):
            yield


@dataclass(slots=True, eq=False)
class Transaction(PostgresReader):
    """An open transaction.

    Attributes:
        process: The id of this process, the owner of its leases.
        now: The time of the database's clock, in Unix seconds.
        keep_s: Seconds of history; 0 keeps none.
        types: The types of columns, by their tables and names.
    """

    address: Address
    process: str
    now: float
    keep_s: float
    types: Mapping[tuple[str, str], str]
    changes: TransactionChanges = field(default_factory=TransactionChanges)

    @property
    def queue(self) -> str:
        """The name of the queue in pgmq."""
        return self.address.schema

    async def run(self, sql: str, *values: object) -> int:
        """Run a statement, and return the number of rows that it changed."""
        status: str = await self.connection.execute(sql, *values)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    @property
    def no_padding(self) -> str:
        """Nothing: deleted text needs no more care than any, because VACUUM lets other rows use its space."""
        return ""

    async def run_each(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement with the values of each row in turn, in one round trip."""
        await self.connection.executemany(sql, rows)

    async def insert(
        self, into: str, rows: Sequence[tuple[Any, ...]], on_conflict: str = "", *, off_the_record: bool | None = None
    ) -> int:
        """Insert rows in one statement, and return the number of rows that were written; see `Writable.insert`."""
        if not rows:
            return 0
        table, _, columns = into.removesuffix(")").partition(" (")
        types = [self.types[table, column] for column in columns.split(", ")]
        arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, 1))
        sql = f"INSERT INTO {into} SELECT * FROM unnest({arrays}) {on_conflict}"  # noqa: S608 - constant text
        return await self.run(sql, *(list(column) for column in zip(*rows, strict=True)))

    async def lock(self, names: Iterable[str]) -> None:
        """Wait for the other transactions that hold one of these locks, and hold them until the end of this one.

        Those of one call are taken in one order. Transactions that lock several times may deadlock; then one is repeated.
        """
        numbers = sorted({self.address.lock(name) for name in names})
        if numbers:
            await self.fetch("SELECT pg_advisory_xact_lock(n) FROM unnest($1::bigint[]) AS n", numbers)

    async def leased(self, lease: Lease) -> int | None:
        """Lock the delivery of a lease, and return its sequence number; None if the lease is over."""
        sql = "SELECT seq FROM delivery WHERE seq = (SELECT seq FROM head WHERE lane = $1) AND token = $2 FOR UPDATE"
        seq: int | None = await self.value(sql, lease.delivery.lane, lease.token)
        return seq

    async def set_visible_at(self, seqs: Sequence[int], times: Sequence[float]) -> None:
        """Let lanes be leased from these times on, in Unix seconds on the storage's clock."""
        await self.fetch(
            """SELECT pgmq.set_vt($1::text, u.seq, to_timestamp(u.at))
               FROM unnest($2::bigint[], $3::float8[]) AS u (seq, at)""",
            self.queue,
            list(seqs),
            [at + self.ahead_s for at in times],
        )

    async def set_visible(self, seqs: Sequence[int]) -> None:
        """Let lanes be leased at once: their heads wait no more."""
        if seqs:
            # Not the present time: it would look like the end of a wait that the last lease has missed.
            sql = "SELECT msg_id FROM pgmq.set_vt($1::text, $2::bigint[], to_timestamp(0))"
            await self.fetch(sql, self.queue, list(seqs))


Note: TypeAlias = Callable[[list[asyncpg.Record]], Awaitable[None]]


class Statement:
    """One statement in several steps, because each statement costs a round trip. Each step is done after the one before it.

    It is a WITH. The steps are tables of one row; only the last one may have more rows, or none.
    """

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self._parts = ["start AS MATERIALIZED (SELECT true)"]
        self._steps = ["start"]
        self._columns: list[str] = []
        self._values: list[object] = []
        self._notes: list[Note] = []

    def values(self, *values: object) -> str:
        """Add values, and return their parameters, separated by commas."""
        first = len(self._values) + 1
        self._values += values
        return ", ".join(f"${n}" for n in range(first, first + len(values)))

    def step(self, name: str, select: str, columns: str = "true", note: Note | None = None) -> None:
        """Add a step.

        Args:
            select: The columns of its table.
            columns: The columns of the result that come from it, before those of the steps before it.
            note: Called with the rows of the result.
        """
        self._parts.append(f"{name} AS MATERIALIZED (SELECT {select} FROM {self._steps[-1]})")  # noqa: S608 - constant texts
        self._steps.append(name)
        self._columns.insert(0, columns)
        if note is not None:
            self._notes.append(note)

    def write(self, name: str, sql: str) -> None:
        """Add an INSERT that reads the last step. It is done at the end, so it must not change a row of a step."""
        self._parts.append(f"{name} AS ({sql})")

    async def run(self) -> None:
        """Run the statement, if it has a step."""
        if len(self._steps) == 1:
            return
        tables = "start" + "".join(f" LEFT JOIN {name} ON true" for name in self._steps[1:])
        sql = f"WITH {', '.join(self._parts)} SELECT {', '.join(self._columns)} FROM {tables}"  # noqa: S608 - constant texts
        rows = await self.tx.fetch(sql, *self._values)
        for note in self._notes:
            await note(rows)


MAX_BATCH: Final = 128
"""Maximum number of operations in one transaction."""

_ITERATIONS: Final = 4
"""Iterations of the event loop between two transactions."""


@dataclass(slots=True, eq=False)
class WorkOp(Op):
    """Run `work` in the transaction. It must raise a StorageError before it writes, or not at all.

    Attributes:
        news: True if a `take` may find more afterwards.
    """

    work: Callable[[Transaction], Awaitable[Any]]
    news: bool = True


Write: TypeAlias = Callable[[list[Op]], Awaitable[None]]


class Operations:
    """The queue of operations.

    Args:
        write: Writes a batch in one transaction, and sets the result or the error of each operation. It raises
            Unwritable, or a StorageError for all of them.
        settled: Called once per batch, before its futures are resolved.
    """

    def __init__(self, write: Write, settled: Callable[[list[Op]], None]) -> None:
        self._write = write
        self._settled = settled
        self._waiting: deque[Op] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False

    @property
    def is_idle(self) -> bool:
        """True if no operation is queued."""
        return not self._waiting

    def open(self) -> None:
        """Accept operations."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones were written or have failed."""
        self._is_open = False
        while self._task is not None:
            await asyncio.wait([self._task])

    def submit(self, op: Op) -> asyncio.Future[Any]:
        """Queue an operation, and return a future that has its result once it is committed.

        Cancelling the future ends the wait, but never cancels the operation.

        Raises:
            StorageUnavailable: the storage is not open.
        """
        if not self._is_open:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        op.future = asyncio.get_running_loop().create_future()
        self.post(op)
        return op.future

    def post(self, op: Op) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if not self._is_open:
            return
        self._waiting.append(op)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="linqbot storage")

    async def _run(self) -> None:
        try:
            # The operations that are called in this iteration of the loop belong to the same batch.
            await asyncio.sleep(0)
            while self._waiting:
                await self._settle([self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))])
                # After the callers that were just answered have run: their next operations belong to the next batch. A worker
                # leases again three iterations after a turn has ended: the task of the turn ends, then its callbacks run, then
                # the worker.
                for _ in range(_ITERATIONS):
                    await asyncio.sleep(0)
        finally:
            self._task = None

    async def _settle(self, batch: list[Op]) -> None:
        try:
            await self._write(batch)
        except StorageError as error:
            _fail(batch, error, error.__cause__)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            if len(batch) > 1:
                # One operation must not fail the others.
                middle = len(batch) // 2
                await self._settle(batch[:middle])
                await self._settle(batch[middle:])
                return
            if isinstance(error, Unwritable):
                _fail(batch, StorageError(str(error)), error.__cause__)
            else:
                _fail(batch, StorageError(f"The storage failed in an unforeseen way: {type(error).__name__}."), error)
        self._settled(batch)
        for op in batch:
            if op.future is None or op.future.done():
                continue
            if op.error is None:
                op.future.set_result(op.result)
            else:
                op.future.set_exception(op.error)


def _fail(batch: list[Op], error: StorageError, cause: BaseException | None) -> None:
    for op in batch:
        # One error for each operation: an exception raised in two tasks would carry both tracebacks.
        op.error = type(error)(*error.args)
        op.error.__cause__ = cause


def is_news(op: Op) -> bool:
    """Return True as `operations.is_news`, and after work that may have news."""
    return op.news if isinstance(op, WorkOp) else operations.is_news(op)
