"""The state in memory that mirrors the SQLite file, so that leasing a delivery reads nothing from disk.

The rows in the file are the truth. The index knows which lanes can be leased, the deliveries that were stored last, and
a few facts about the file. It runs no SQL. Each transaction (`statements.py`) notes in `IndexChanges` what it changes, and
the writer (`writer.py`) calls `apply` after COMMIT or `discard` after ROLLBACK. Only leasing and releasing change lanes
earlier: operations of the same transaction must see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from linqbot.events.delivery import Delivery
from linqbot.storage.conversations import ConversationSummary
from linqbot.storage.dialect import Changes
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.indexes import LaneLease, Lanes, OpenConversations, Prefetch, Recent, Row, StorageMemory


class Gathering(NamedTuple):
    """A lease that was given back unused, because its lane waits for more deliveries: see `Storage.hold`.

    Attributes:
        lane: The lane that waits.
        until: The end of the wait, in Unix seconds.
        known: The number of deliveries behind the head that the holder of the lease had seen.
    """

    lane: str
    seq: int
    token: int
    until: float
    known: int


class JoinedRow(NamedTuple):
    """A leased delivery that others of its lane have joined: see `Storage.join`.

    Attributes:
        delivery: The joined delivery.
        others: The sequence numbers of the others, which have left the inbox.
        again: True if the replay number was raised.
    """

    seq: int
    token: int
    delivery: Delivery
    others: Sequence[int]
    again: bool


class Postponed(NamedTuple):
    """A delivery whose turn ended with Retry or Defer.

    Attributes:
        until: The time before which it is not leased again, in Unix seconds.
        failed: The failed attempts to add: 1 for Retry, 0 for Defer.
    """

    seq: int
    token: int
    until: float
    failed: int


@dataclass(slots=True, eq=False)
class Reordered:
    """A lane that was sorted.

    Attributes:
        lane: Its name.
        given_back: Sequence number and token of the lease that was given back for it, if any.
        numbers: New sequence numbers by the old ones.
    """

    lane: str
    given_back: tuple[int, int] | None
    numbers: dict[int, int]


@dataclass(slots=True, eq=False)
class IndexChanges(Changes):
    """The changes of one transaction that the index has not applied yet.

    Attributes:
        leases: Heads leased by `take`. Their lanes are leased already; `discard` releases them again.
        leased_rows: The rows of these heads, in the same order.
        removed: Sequence number and token of deliveries that were acknowledged or dead-lettered.
        accepted: New deliveries, in the order of their sequence numbers.
        prefetched: The sequence numbers among `accepted` that are stored as leased.
        capacity: The number of deliveries that the last `take` would have leased in addition.
        orders: Lanes that were sorted.
        off_the_record: True if this transaction stored the file's first text off the record.
    """

    leases: list[LaneLease] = field(default_factory=list)
    leased_rows: list[Row] = field(default_factory=list)
    gathering: list[Gathering] = field(default_factory=list)
    joined: list[JoinedRow] = field(default_factory=list)
    postponed: list[Postponed] = field(default_factory=list)
    removed: tuple[tuple[int, int], ...] = ()
    accepted: tuple[tuple[int, Delivery], ...] = ()
    prefetched: AbstractSet[int] = frozenset()
    capacity: int | None = None
    orders: tuple[Reordered, ...] = ()
    next_timer: float | None = None
    next_broadcast: float | None = None
    off_the_record: bool = False

    @property
    def ending(self) -> set[int]:
        """The sequence numbers whose leases the transaction ends. Those that ran out before are not leased again in it."""
        gathered = {each.seq for each in self.gathering} | {each.seq for each in self.joined}
        finished = {each.seq for each in self.postponed} | {seq for seq, _ in self.removed}
        return gathered | finished | {order.given_back[0] for order in self.orders if order.given_back is not None}


class Index(StorageMemory):
    """Lanes, prefetched leases, recent deliveries and facts about the file. Not thread-safe: for one writer.

    Attributes:
        limits: The limits of the inbox.
        next_seq: The sequence number of the next delivery.
        next_timer: See `Storage.next_timer`.
        next_broadcast: See `Storage.next_broadcast`.
        first_active_at: See `Storage.first_activity`.
        is_off_the_record: True if the file holds text off the record, or ever did.
    """

    def __init__(self, limits: InboxLimits | None = None) -> None:
        super().__init__()
        self.limits = limits or InboxLimits()
        self.lanes = Lanes()
        self.next_seq = 1
        self.next_timer: float | None = None
        self.next_broadcast: float | None = None
        self.first_active_at: float | None = None
        self.is_off_the_record = False
        self._prefetch = Prefetch()

    def reload(
        self,
        rows: Iterable[tuple[int, str, float, int, bool]],
        *,
        last_seq: int,
        received_at: float | None,
        noted_at: float,
        conversations: Iterable[ConversationSummary] = (),
    ) -> None:
        """Replace lanes and conversations by those in the file; leases on heads that are still there stay in force.

        Args:
            rows: See `Lanes.adopt`.
            last_seq: The greatest sequence number in use; 0 if there is none.
            received_at: When the newest webhook in the inbox was accepted.
            noted_at: The value of `active_at` in the table `meta`; 0 if there is none.
            conversations: All conversations.
        """
        self.lanes = self.lanes.adopt(rows)
        self.recent = Recent()
        self.next_seq = max(self.next_seq, last_seq + 1)
        self.noted_at = noted_at
        self.note_activity(noted_at, received_at)
        self.conversations = OpenConversations(conversations)

    def clear(self) -> None:
        """Forget all lanes and leases: the file is closed."""
        self.lanes, self._prefetch = Lanes(), Prefetch()

    def apply(self, changes: IndexChanges) -> None:
        """Follow a transaction that is committed."""
        for postponed in changes.postponed:
            self.lanes.wait(postponed.token, postponed.until)
            if row := self.recent.get(postponed.seq):
                row.attempts += postponed.failed
        if changes.gathering or changes.joined:
            self._gather(changes)
        for seq, token in changes.removed:
            self.lanes.remove(token)
            self.recent.drop(seq)
        for seq, delivery in changes.accepted:
            self._accept(seq, delivery, is_leased=seq in changes.prefetched)
        for order in changes.orders:
            self._reorder(order)
        if changes.capacity is not None:
            self._prefetch.set_capacity(changes.capacity)
        if changes.leases:
            for lease, row in zip(changes.leases, changes.leased_rows, strict=True):
                row.delivery_count += 1
                row.crashes += lease.overdue
        self._note_facts(changes)

    def _note_facts(self, changes: IndexChanges) -> None:
        self.follow(changes)
        if changes.noted_at is not None:
            self.first_active_at = self.first_active_at or changes.noted_at
        if changes.timers:
            self.next_timer = changes.next_timer
        if changes.broadcasts:
            self.next_broadcast = changes.next_broadcast
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
        for joined in changes.joined:
            # Its holder knows only the first of the deliveries that it has joined, and must not ack them all.
            if self.lanes.leased_by(joined.token) is not None:
                self.lanes.release(joined.token)

    def lease(
        self, limit: int, changes: IndexChanges, *, now: float, monotonic: float, until: float
    ) -> list[LaneLease]:
        """Lease the oldest heads of free lanes; `discard` releases them. See `Lanes.lease`."""
        leases = self.lanes.lease(limit, now=now, monotonic=monotonic, until=until, ending=changes.ending)
        changes.leases += leases
        return leases

    def release(self, leases: Iterable[Lease]) -> list[int]:
        """Free the lanes of these leases at once, and return the sequence numbers of those that were in force.

        A roll-back does not undo this: the leases have no holder any more, and only a crash makes a difference.
        """
        seqs = []
        for lease in leases:
            seq = self.lanes.leased_by(lease.token)
            if seq is not None:
                self.lanes.release(lease.token)
                seqs.append(seq)
                if row := self.recent.get(seq):
                    row.delivery_count -= 1
        return seqs

    def number(self, deliveries: Sequence[Delivery]) -> tuple[tuple[int, Delivery], ...]:
        """Return new deliveries with sequence numbers. A roll-back leaves a gap: numbers only need an order."""
        numbered = tuple(enumerate(deliveries, self.next_seq))
        self.next_seq += len(numbered)
        return numbered

    def prefetchable(self, new: Sequence[tuple[int, Delivery]]) -> set[int]:
        """Return the sequence numbers of new deliveries that can be stored as leased; see `Prefetch.of`."""
        return self._prefetch.of(new, self.lanes)

    def take_prefetched(self, limit: int, *, now: float, monotonic: float, until: float) -> list[Lease] | None:
        """Hand out prefetched leases, perhaps none, which needs no transaction.

        Returns:
            None if another lane is free: its head may be older, so a `take` must choose among all.
        """
        return None if self.lanes.has_free(now, monotonic) else self._prefetch.take(limit, self.lanes, until=until)

    def give_back_prefetched(self) -> list[Lease]:
        """Return all prefetched leases, to be released: then `take` can choose among all lanes."""
        return self._prefetch.give_back()

    def _gather(self, changes: IndexChanges) -> None:
        for gathering in changes.gathering:
            self.lanes.hold(gathering.token, gathering.until, known=gathering.known)
            if row := self.recent.get(gathering.seq):
                row.delivery_count -= 1
        for joined in changes.joined:
            self.lanes.join(joined.token, joined.others)
            self.recent.replace(joined.seq, joined.delivery, again=joined.again)
            for other in joined.others:
                self.recent.drop(other)

    def _accept(self, seq: int, delivery: Delivery, *, is_leased: bool) -> None:
        if is_leased:
            self._prefetch.add(seq, delivery, self.lanes)
        else:
            self.lanes.add(delivery.lane, seq)
        self.recent.add(seq, Row(delivery, delivery_count=int(is_leased)))
        self.watched.note((delivery.lane,))

    def _reorder(self, order: Reordered) -> None:
        if order.given_back is not None:
            seq, token = order.given_back
            self.lanes.release(token)
            if row := self.recent.get(seq):
                row.delivery_count -= 1
        self.lanes.renumber(order.lane, order.numbers)
        self.recent.renumber(order.numbers)
