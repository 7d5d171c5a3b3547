"""One transaction: its connection, its time, what it changes for the memory of this process, and the news about it for others.

The rows in the database are the truth. This process remembers the deliveries that it stored last, its leases, and the
conversations. `Memory.apply` is the one place where they follow a commit. `writer.py` runs the transactions.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

import asyncpg

from linqbot.clock import Clock
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.changes import Changes, KnownNames
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.dialect import Values
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.indexes import OpenConversations, StorageMemory
from linqbot_postgres.address import Address, Connection
from linqbot_postgres.link import ServerTime


@dataclass(frozen=True, slots=True)
class Taken:
    """A `take`, with times on the clock of the database."""

    at: float = 0.0
    due: float | None = None  # when the earliest lease or wait ends that ends after `at`; None if there is none
    wakes: int = -1  # the value of `Memory.wakes` when its transaction began
    is_all: bool = False  # True if it has leased something, and nothing is left that it could have leased


@dataclass(slots=True, eq=False)
class TransactionChanges(Changes):
    """The changes of one transaction, applied to the memory of this process after COMMIT and sent to the others with it."""

    wakes_others: bool = False  # True if a `take` may find more, also in another process
    lanes: set[str] = field(default_factory=set)  # lanes into which deliveries were put
    # Lanes of which this process has refused a delivery, as the others are notified, with the number of times.
    refused: dict[str, int] = field(default_factory=dict)
    all_conversations: list[ConversationSummary] | None = None  # all conversations, if they were read
    # The conversations of chats that were read, by chat.
    refreshed: dict[str, list[ConversationSummary]] = field(default_factory=dict)
    leased: list[int] = field(default_factory=list)  # tokens of leases that this transaction made
    ended_leases: set[int] = field(default_factory=set)  # tokens of leases that are over
    stored: list[tuple[int, Delivery]] = field(default_factory=list)  # deliveries that `put` stored, with their numbers
    joined: list[int] = field(default_factory=list)  # numbers of deliveries that were joined, or that others joined
    accepted: int = 0  # number of deliveries that were stored
    wakes_before: int = 0  # the value of `Memory.wakes` when the transaction began
    taken: Taken | None = None
    gap: float | None = None  # the time since which deliveries of any lane may have been refused, for other processes
    room: int | None = None  # deliveries that fit into the inbox, if they were counted
    # True if some deliveries are suspects, False if none is, None if that was not looked at.
    has_suspects: bool | None = None

    @property
    def chats(self) -> set[str]:
        """The chats whose conversations or holds changed, for other processes."""
        return {each.chat_id for each in self.conversations} | {chat for chat, _ in self.ended} | self.holds.keys()

    def forget_conversations(self, gone: Iterable[tuple[str, str]]) -> None:
        found = list(gone)
        Changes.forget_conversations(self, found)
        for chat, conversation_id in found:
            if chat in self.refreshed:
                self.refreshed[chat] = [each for each in self.refreshed[chat] if each.id != conversation_id]


class Memory(StorageMemory):
    def __init__(self, address: Address, clock: Clock, limits: InboxLimits, *, serving: bool, keep_s: float) -> None:
        super().__init__(limits)
        self.address = address
        self.clock = clock
        # True for a process that serves: only it purges, because a command does not know how long history is kept.
        self.serving = serving
        self.keep_s = keep_s  # seconds of history; 0 keeps none
        self.process = ""
        # How many deliveries fit into the inbox. They are counted only when the last count is used up, and other processes add
        # some too: so several processes together may exceed the limit.
        self.room_left = 0
        self.server_time = ServerTime(clock.now)
        # The id of this process and its connections, as notifications name it. After a reconnection it is another one,
        # because a transaction whose answer was lost may still be committed.
        self.sender = ""
        self.held: set[int] = set()  # tokens of the leases of this process
        self.wakes = 0  # number of times that the worker was woken: a `take` could find something new
        self.taken = Taken()
        self.leaving = False  # True if this process leases nothing more
        # Lanes of which this process has refused a delivery, with the number of times, until the others know it.
        self.refused: Counter[str] = Counter()
        self.has_suspects = False
        self.types: dict[tuple[str, str], str] = {}  # the types of columns, by their tables and names

    @property
    def ahead_s(self) -> float:
        return self.server_time.ahead_s

    @property
    def now(self) -> float:
        return self.clock.now() + self.server_time.ahead_s

    def wake_worker(self) -> None:
        """Let the worker look again: a `take` may find something new."""
        self.wakes += 1
        self.changed.set()

    def release(self, leases: Iterable[Lease]) -> None:
        """After a reconnection they are given back."""
        self.held.difference_update(lease.token for lease in leases)

    def apply(self, changes: TransactionChanges) -> None:
        for seq, delivery in changes.stored:
            self.recent.add(seq, delivery)
        self.watched.note(changes.lanes)
        self.recent.forget(changes.joined)
        self.held -= changes.ended_leases
        self.held.update(changes.leased)
        if changes.all_conversations is not None:
            self.conversations = OpenConversations(changes.all_conversations)
        for chat, found in changes.refreshed.items():
            self.conversations.replace(chat, found)
        self.follow(changes)
        self.room_left = max((self.room_left if changes.room is None else changes.room) - changes.accepted, 0)
        self.taken = changes.taken or self.taken
        for lane, times in changes.refused.items():
            # A delivery that was refused while the transaction ran is not among those that the others know.
            if self.refused[lane] == times:
                del self.refused[lane]
        self.has_suspects = self.has_suspects if changes.has_suspects is None else changes.has_suspects
        if changes.wakes_worker or changes.wakes_others:
            self.wake_worker()


@dataclass(slots=True, eq=False)
class PostgresReader:
    """A connection, for the SQL that SQLite and PostgreSQL share; see `storage/dialect.py`."""

    is_leased: ClassVar[str] = "token IS NOT NULL"
    of_ids: ClassVar[str] = "id = ANY($1)"
    seen_with_delivery: ClassVar[str] = "seen LEFT JOIN delivery ON delivery.id = seen.delivery_id WHERE seen.id = $1"
    connection: Connection
    # Seconds by which the clock of the database is ahead of the storage's clock, which gives the times of operations.
    ahead_s: float

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        return await self.connection.fetch(sql, *values)

    async def value(self, sql: str, *values: object) -> Any:
        return await self.connection.fetchval(sql, *values)

    async def pages(self, sql: str, size: int) -> AsyncGenerator[list[asyncpg.Record], None]:
        async with self.connection.transaction():  # a cursor needs one; nested in a snapshot, if there is one
            cursor = await self.connection.cursor(sql)
            while rows := await cursor.fetch(size):
                yield rows

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        async with self.connection.transaction(isolation="repeatable_read", readonly=True):
            yield


@dataclass(slots=True, eq=False)
class Transaction(PostgresReader):
    freed: ClassVar[str] = "token = NULL, owner = NULL"
    # Deleted text needs no more care than any, because VACUUM lets other rows use its space.
    padding: ClassVar[str] = ""
    no_padding: ClassVar[str] = ""
    memory: Memory
    now: float  # the time of the database's clock, in Unix seconds
    changes: TransactionChanges = field(default_factory=TransactionChanges)

    @property
    def keep_s(self) -> float:
        return self.memory.keep_s

    @property
    def keep_outcomes_s(self) -> float:
        return self.memory.keep_outcomes_s

    @property
    def names(self) -> KnownNames:
        return self.memory.names

    async def run(self, sql: str, *values: object) -> int:
        status: str = await self.connection.execute(sql, *values)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def run_each(self, sql: str, rows: Sequence[Values]) -> None:
        """Run a statement with the values of each row in one round trip."""
        await self.connection.executemany(sql, rows)

    async def insert(
        self, into: str, rows: Sequence[Values], on_conflict: str = "", *, off_the_record: Sequence[bool] | None = None
    ) -> int:
        """Insert the rows in one statement."""
        if not rows:
            return 0
        table, _, columns = into.removesuffix(")").partition(" (")
        types = [self.memory.types[table, column] for column in columns.split(", ")]
        arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, 1))
        sql = f"INSERT INTO {into} SELECT * FROM unnest({arrays}) {on_conflict}"
        return await self.run(sql, *(list(column) for column in zip(*rows, strict=True)))

    async def lock(self, names: Iterable[str]) -> None:
        """Wait for the other transactions that hold one of these locks, and hold them until the end of this one.

        Those of one call are taken in one order. Transactions that lock several times may deadlock; then one is repeated.
        """
        numbers = sorted({self.memory.address.lock(name) for name in names})
        if numbers:
            await self.fetch("SELECT pg_advisory_xact_lock(n) FROM unnest($1::bigint[]) AS n", numbers)

    async def add_to_queue(self, count: int) -> list[int]:
        """Add a row to the queue for each of `count` new deliveries, and return the numbers, in order."""
        sql = "INSERT INTO queue (free_at) SELECT clock_timestamp() FROM generate_series(1, $1) RETURNING seq"
        return sorted(seq for (seq,) in await self.fetch(sql, count))

    async def set_visible_at(self, seqs: Sequence[int], times: Sequence[float]) -> None:
        """Let lanes be leased from these times on, in Unix seconds on the storage's clock."""
        sql = """UPDATE queue SET free_at = to_timestamp(u.at) FROM unnest($1::bigint[], $2::float8[]) AS u (seq, at)
                 WHERE queue.seq = u.seq"""
        await self.run(sql, list(seqs), [at + self.ahead_s for at in times])

    async def set_visible(self, seqs: Sequence[int]) -> None:
        """Let lanes be leased at once: their heads wait no more."""
        if seqs:
            # Not the present time: it would look like the end of a wait that the last lease has missed.
            await self.run("UPDATE queue SET free_at = to_timestamp(0) WHERE seq = ANY($1)", list(seqs))


Note: TypeAlias = Callable[[list[asyncpg.Record]], Awaitable[None]]


class Statement:
    """One statement in several steps, because each statement costs a round trip. A WITH, done in order.

    The steps are tables of one row; only the last one may have more rows, or none. For the end of a turn and a `take`:

        WITH start AS MATERIALIZED (SELECT true),
            ended AS MATERIALIZED (SELECT end_turns($1, …) AS over FROM start),
            outcomes AS (INSERT INTO journal (…) SELECT … FROM ended, unnest($6, …) AS u (…) WHERE u.token <> ALL (ended.over) …),
            taken AS MATERIALIZED (SELECT lease($19, …) AS one FROM ended)
        SELECT (one).*, (…) AS due, over FROM start LEFT JOIN ended ON true LEFT JOIN taken ON true
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
        """Add a step. Its `columns` of the result stand before those of earlier steps; `note` gets the rows."""
        self._parts.append(f"{name} AS MATERIALIZED (SELECT {select} FROM {self._steps[-1]})")
        self._steps.append(name)
        self._columns.insert(0, columns)
        if note is not None:
            self._notes.append(note)

    def write(self, name: str, sql: str) -> None:
        """Add an INSERT that reads the last step. It is done at the end, so it must not change a row of a step."""
        self._parts.append(f"{name} AS ({sql})")

    async def run(self) -> None:
        if len(self._steps) == 1:
            return
        tables = "start" + "".join(f" LEFT JOIN {name} ON true" for name in self._steps[1:])
        sql = f"WITH {', '.join(self._parts)} SELECT {', '.join(self._columns)} FROM {tables}"
        rows = await self.tx.fetch(sql, *self._values)
        for note in self._notes:
            await note(rows)


_LONGEST_PAYLOAD: Final = 7000
"""Bytes; PostgreSQL allows a notification 8000."""


@dataclass(frozen=True, slots=True)
class News:
    by: str  # the sender; see `Memory.sender`
    work: bool  # True if a process may find a delivery to lease
    times: bool  # True if the earliest timer, or the next step of a broadcast, may be another one
    own: bool  # True if the journal has entries of deliveries that linqbot created
    chats: list[str] | None  # chats whose conversations or holds changed; None if they are too many to be named
    lanes: list[str] | None  # lanes into which deliveries were put; None if they are too many to be named
    # Lanes of which a delivery was refused; None if they are too many to be named.
    refused: list[str] | None = field(default_factory=list)
    # The Unix time since which deliveries of any lane may have been refused; None if there is no such time.
    gap: float | None = None

    def to_payload(self) -> str:
        """Return the news as JSON that fits into a notification."""
        news = asdict(self)
        payload = json.dumps(news)
        for name in ("lanes", "chats", "refused"):
            if len(payload) > _LONGEST_PAYLOAD:
                news[name] = None  # Then another process looks at all of them. Conversations are read again.
                payload = json.dumps(news)
        return payload

    @classmethod
    def from_payload(cls, payload: str) -> News | None:
        """Return the news of a notification; None if it is of another release, or no linqbot has sent it."""
        try:
            return cls(**json.loads(payload))
        except (ValueError, TypeError, RecursionError):
            return None
