"""One transaction of the writer, and the index in memory that mirrors the file, so that leasing a delivery reads nothing from disk.

The rows in the file are the truth. The index knows which lanes can be leased, the deliveries that were stored last, and
a few facts about the file. It runs no SQL. Each transaction notes in `IndexChanges` what it changes, and the writer
(`writer.py`) calls `apply` after COMMIT or `discard` after ROLLBACK. Only leasing and releasing change lanes earlier:
operations of the same transaction must see them.

Prefetch saves a commit: while the last `take` had spare capacity, a new delivery is leased in the transaction that stores it.

New rows are inserted by few statements, each of many rows: the fixed cost of a statement is paid once per batch, not once per
row, as `executemany` does.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, compress
from typing import Any, ClassVar

from linqbot.linq.events.delivery import Delivery
from linqbot.storage.changes import Changes, KnownNames
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.dialect import Values, sqlite_form
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.indexes import LaneLease, Lanes, OpenConversations, Recent, StorageMemory
from linqbot.storage.sqlite import file


@dataclass(slots=True, eq=False)
class IndexChanges(Changes):
    # Heads leased by `take`. Their lanes are leased already; `discard` releases them again.
    leases: list[LaneLease] = field(default_factory=list)
    # The sequence numbers that are not leased in this transaction: those whose leases it ends, and those that it moves.
    ending: set[int] = field(default_factory=set)
    # The tokens of leases that it ends, which the index knows until the commit.
    ended_leases: set[int] = field(default_factory=set)
    # The heads of the lanes that wait for more deliveries from now on, by lane.
    gathering: dict[str, int] = field(default_factory=dict)
    # The tokens of leases on deliveries that others of their lane have joined.
    joined: list[int] = field(default_factory=list)
    # Sequence number and token of deliveries that were acknowledged or dead-lettered.
    removed: tuple[tuple[int, int], ...] = ()
    accepted: tuple[tuple[int, Delivery], ...] = ()  # new deliveries, in the order of their sequence numbers
    prefetched: AbstractSet[int] = frozenset()  # the sequence numbers among `accepted` that are stored as leased
    # What the index does last: for the rare ends of leases, and for lanes that were joined or sorted.
    after: list[Callable[[], None]] = field(default_factory=list)
    capacity: int | None = None  # the number of deliveries that the last `take` would have leased in addition
    off_the_record: bool = False  # True if this transaction stored the file's first text off the record


class Index(StorageMemory):
    """Lanes, prefetched leases, recent deliveries and facts about the file. Not thread-safe: for one writer."""

    def __init__(self, limits: InboxLimits | None = None) -> None:
        super().__init__(limits or InboxLimits())
        self.lanes = Lanes()
        self.next_seq = 1  # the sequence number of the next delivery
        self.is_off_the_record = False  # True if the file holds text off the record, or ever did
        # The leases for the next `take`, and the number that may still be prefetched.
        self._prefetched: list[Lease] = []
        self._capacity = 0

    def reload(
        self,
        rows: Iterable[tuple[int, str, float, int, bool]],
        *,
        last_seq: int,
        noted_at: float,
        conversations: Iterable[ConversationSummary] = (),
    ) -> None:
        """Replace lanes and conversations by those in the file; leases on heads that are still there stay in force."""
        self.lanes = self.lanes.adopt(rows)
        self.recent = Recent()
        self.next_seq = max(self.next_seq, last_seq + 1)
        self.noted_at = noted_at
        self.conversations = OpenConversations(conversations)
        self.forget_times()

    def clear(self) -> None:
        """Forget all lanes and leases: the file is closed."""
        self.lanes, self._prefetched, self._capacity = Lanes(), [], 0

    def apply(self, changes: IndexChanges) -> None:
        for seq, token in changes.removed:
            self.lanes.remove(token)
            self.recent.drop(seq)
        for seq, delivery in changes.accepted:
            if seq in changes.prefetched:
                self._capacity -= 1
                self._prefetched.append(Lease(delivery, self.lanes.add_leased(delivery.lane, seq)))
            else:
                self.lanes.add(delivery.lane, seq)
            self.recent.add(seq, delivery)
        self.watched.note(delivery.lane for _, delivery in changes.accepted)
        for follow in changes.after:
            follow()
        if changes.capacity is not None:
            self._set_capacity(changes.capacity)
        self.follow(changes)
        if changes.off_the_record:
            self.is_off_the_record = True

    def discard(self, changes: IndexChanges) -> None:
        """Release what was leased in a transaction that was rolled back."""
        for lease in changes.leases:
            self.lanes.release(lease.token, overdue=lease.overdue)

    def revoke(self, changes: IndexChanges) -> None:
        """Release what was leased in a transaction that is committed, but whose callers get an error."""
        for lease in changes.leases:
            self.lanes.release(lease.token)
        for token in changes.joined:
            # Its holder knows only the first of the deliveries that it has joined, and must not ack them all.
            if self.lanes.leased_by(token) is not None:
                self.lanes.release(token)

    def lease(
        self, limit: int, changes: IndexChanges, *, now: float, monotonic: float, until: float
    ) -> list[LaneLease]:
        leases = self.lanes.lease(limit, now=now, monotonic=monotonic, until=until, ending=changes.ending)
        changes.leases += leases
        return leases

    def release(self, leases: Iterable[Lease]) -> list[int]:
        """Free the lanes of these leases at once, and return the sequence numbers of those that were in force.

        A roll-back does not undo this: the leases have no holder any more, and only a crash makes a difference.
        """
        seqs = []
        for lease in leases:
            if (seq := self.lanes.leased_by(lease.token)) is not None:
                self.lanes.release(lease.token)
                seqs.append(seq)
        return seqs

    def number(self, deliveries: Sequence[Delivery]) -> tuple[tuple[int, Delivery], ...]:
        """Return new deliveries with sequence numbers. A roll-back leaves a gap: numbers only need an order."""
        numbered = tuple(enumerate(deliveries, self.next_seq))
        self.next_seq += len(numbered)
        return numbered

    def prefetchable(self, new: Sequence[tuple[int, Delivery]]) -> set[int]:
        """Return the sequence numbers of new deliveries that may be stored as leased: the first of each empty lane."""
        first: dict[str, int] = {}
        if self.lanes.is_draining:
            return set()
        for seq, delivery in new:
            if len(first) < self._capacity and not self.lanes.depth_of(delivery.lane):
                first.setdefault(delivery.lane, seq)
        return set(first.values())

    def take_prefetched(self, limit: int, *, now: float, monotonic: float, until: float) -> list[Lease] | None:
        """Hand out prefetched leases, perhaps none, without a transaction.

        None if another lane is free: its head may be older, so a `take` must choose among all.
        """
        if self.lanes.has_free(now, monotonic):
            return None
        # A command may have removed a delivery meanwhile.
        waiting = [lease for lease in self._prefetched if self.lanes.leased_by(lease.token) is not None]
        leases, self._prefetched = waiting[:limit], waiting[limit:]
        for lease in leases:
            self.lanes.prolong(lease.token, until)
        self._set_capacity(limit - len(leases))
        return leases

    def give_back_prefetched(self) -> list[Lease]:
        """Return all prefetched leases, to be released: then `take` can choose among all lanes. No turn has begun with them."""
        leases, self._prefetched = self._prefetched, []
        return leases

    def _set_capacity(self, left: int) -> None:
        """Note that the last take would have leased `left` more deliveries."""
        self._capacity = max(left - len(self._prefetched), 0)


# A few sizes, so that only a few statements are ever compiled, none of them longer than 100 KB.
_PIECES = (32, 8, 2)


def insert(db: sqlite3.Connection, into: str, rows: Sequence[Values], on_conflict: str = "") -> None:
    # Columns that are None in all rows are left out: the sqlite3 module takes longest for a None, and a new journal entry
    # has seven.
    start = 0
    for size in _PIECES if len(rows) > 1 else ():
        missing = (None,) * size
        while len(rows) - start >= size:
            columns = list(zip(*rows[start : start + size], strict=True))
            given = tuple(map(missing.__ne__, columns))
            values = zip(*compress(columns, given), strict=True)
            db.execute(_insert(into, given, size, on_conflict), tuple(chain.from_iterable(values)))
            start += size
    if start < len(rows):
        # The last row, and that of nearly every transaction of an idle process, whose columns need not be gathered.
        row = rows[start]
        given = tuple([value is not None for value in row])
        db.execute(_insert(into, given, 1, on_conflict), tuple(compress(row, given)))


@cache
def _insert(into: str, given: tuple[bool, ...], rows: int, on_conflict: str) -> str:
    table, _, every = into.removesuffix(")").partition(" (")
    columns = list(compress(every.split(", "), given))
    row = "(" + ",".join("?" * len(columns)) + ")"
    into = f"{table} ({', '.join(columns)})"
    return f"INSERT INTO {into} VALUES {','.join([row] * rows)} {on_conflict}"


@dataclass(slots=True, eq=False)
class SQLiteReader:
    is_leased: ClassVar[str] = "leased"
    of_ids: ClassVar[str] = "seq IN (SELECT seen.seq FROM seen WHERE seen.id = ANY($1))"
    seen_with_delivery: ClassVar[str] = "seen LEFT JOIN delivery USING (seq) WHERE seen.message_key = $1"
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
        return self.db.execute(*sqlite_form(sql).bound(values))


@dataclass(slots=True, eq=False)
class Transaction(SQLiteReader):
    """An open transaction.

    Attributes:
        index: The index as it was before the transaction, except for what leasing, releasing and numbering change at once.
        changes: The changes that the index applies once the transaction is on disk.
        now: The time of the storage's clock, in Unix seconds.
        monotonic: The same time for the ends of leases; see `Clock.monotonic`.
        keep_s: Seconds of history; 0 keeps none.
    """

    freed: ClassVar[str] = "leased = false"
    padding: ClassVar[str] = ", padding"
    no_padding: ClassVar[str] = ", padding = NULL"
    index: Index
    changes: IndexChanges
    now: float
    monotonic: float
    keep_s: float

    @property
    def keep_outcomes_s(self) -> float:
        return self.index.keep_outcomes_s

    @property
    def names(self) -> KnownNames:
        return self.index.names

    async def run(self, sql: str, *values: object) -> int:
        return self._execute(sql, values).rowcount

    async def run_each(self, sql: str, rows: Sequence[Values]) -> None:
        form = sqlite_form(sql)
        self.db.executemany(form.sql, map(form.values, rows))

    async def insert(
        self, into: str, rows: Sequence[Values], on_conflict: str = "", *, off_the_record: Sequence[bool] | None = None
    ) -> int:
        if off_the_record and any(off_the_record):
            self._begin_off_the_record()
            paddings = (file.PADDING if each else None for each in off_the_record)
            rows = [(*row, padding) for row, padding in zip(rows, paddings, strict=True)]
            into = into.replace(")", ", padding)")
        if off_the_record is not None:
            on_conflict = on_conflict.replace(" UPDATE SET", " UPDATE SET padding = excluded.padding,")
        before = self.db.total_changes
        insert(self.db, into, rows, on_conflict)
        return self.db.total_changes - before

    async def lock(self, names: Iterable[str]) -> None:
        """Do nothing: one transaction writes at a time."""

    def _begin_off_the_record(self) -> None:
        """Overwrite the pages that are freed from now on, if the file gets its first text off the record."""
        if self.index.is_off_the_record or self.changes.off_the_record:
            return
        file.overwrite_freed(self.db)
        file.note_off_the_record(self.db)
        self.changes.off_the_record = True
