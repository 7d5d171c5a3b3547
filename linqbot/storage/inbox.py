"""The inbox: a durable queue of deliveries with one lane per chat.

A backend is one object that is the inbox and everything else that a turn writes (`backend.py`), because one commit ends a
turn. The methods for operators are in `upkeep.py`. The next step: a worker leases deliveries with `Inbox.take`
(`engine/worker.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from linqbot.errors import LaneFull, LeaseLost, StorageBusy
from linqbot.events.delivery import Delivery
from linqbot.storage.broadcasts import RecipientUpdate
from linqbot.storage.conversations import Conversation
from linqbot.storage.journal import JournalEntry
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Rearm, Timer


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Lease:
    """A time-limited right to handle a delivery, and with it the lane.

    Attributes:
        token: Identifies this lease. A `finish` with the token of an older lease raises LeaseLost.
        attempts: Number of failed runs of the handler.
        crashes: Number of leases that ended without a `finish` where only this delivery can be the cause: the process
            died while nothing else was leased, or the lease ran out. If the process dies with several deliveries
            leased, it counts for none of them. Instead they become suspects: if the process dies with them again,
            `take` leases them in shrinking groups, finally one at a time.
        delivery_count: Number of earlier leases, however they ended: failed, deferred, crashed, or given back by a
            clean stop.
        replay: 0, then one more for each deliberate replay of the delivery. Each replay has its own idempotency keys.
        put_back: True if an operator has put the delivery back into the inbox: `Upkeep.retry` or `replay_live`.
    """

    delivery: Delivery
    token: int
    attempts: int = 0
    crashes: int = 0
    delivery_count: int = 0
    replay: int = 0
    put_back: bool = False

    @property
    def is_first_run(self) -> bool:
        """True if no earlier run can have left journal entries. A deferred run can, so `attempts` is not enough."""
        return self.delivery_count == 0 and self.attempts == 0 and self.crashes == 0


def lease_over(lease: Lease) -> LeaseLost:
    """Return the error of an operation on a lease that is over."""
    return LeaseLost(f"The lease on {lease.delivery.id} is over. Nothing was written.")


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: delete the delivery, remember its id."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The handler failed: run it again, not before `at` (Unix seconds). Its lane waits; other lanes go on."""

    at: float
    error: str


@dataclass(frozen=True, slots=True)
class Defer:
    """The handler is not at fault, so no attempt is counted: run it again, not before `at` (Unix seconds)."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Give up: keep the delivery as a dead letter with the reason. Its lane goes on.

    Attributes:
        error: The reason, for operators.
        handler: The name of the handler that failed, if one did.
        failed: True if the handler failed in this turn too, so that one more attempt is counted.
        kind: The class of the error, if the handler failed. Unlike `error`, it quotes no text.
    """

    error: str
    handler: str | None = None
    failed: bool = False
    kind: str | None = field(default=None, compare=False)


Outcome: TypeAlias = Ack | Retry | Defer | DeadLetter

SOON_S = 60.0
"""Seconds within which nearly every delivery leaves the inbox. Then `seen.at` stays the time when it was stored, so the
ack need not change these rows."""

SEEN_KEPT_S = 24 * 3600.0
"""Seconds for which the id and message_key of a delivery are remembered after its ack or dead letter."""


@dataclass
class InboxLimits:
    """The limits of the inbox.

    Attributes:
        limit: Maximum number of deliveries in the inbox.
        lane_limit: Maximum number of deliveries in one lane.
    """

    limit: int
    lane_limit: int

    def full(self) -> StorageBusy:
        """Return the error for a delivery that does not fit."""
        return StorageBusy(f"The backlog is full: {self.limit} deliveries wait.")

    def lane_full(self, delivery: Delivery) -> LaneFull:
        """Return the error for a delivery whose lane is full."""
        return LaneFull(f"The lane of {delivery.id} is full: {self.lane_limit} deliveries wait.")


def keys_of(delivery: Delivery) -> tuple[str, ...]:
    """Return the keys by which a second copy of a delivery is recognised: its id, and its message_key if it has one."""
    return (delivery.id,) if delivery.message_key is None else (delivery.id, delivery.message_key)


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Commit:
    """Everything that a turn writes when it ends, in one commit. What belongs to the end of a turn adds to its lists.

    Attributes:
        entries: Journal entries of this turn with their outcomes. They replace those that `begin` stored.
        timers: Timers to schedule. A timer whose id is stored already stays as it is, so a turn that runs again
            schedules it once.
        cancelled: Ids of timers to delete, before `timers` are scheduled.
        rearmed: The next due times of recurring timers.
        off_the_record: True if no text of this turn may be kept after the ack, even if history is on.
        conversations: Conversations to store. Each replaces the stored conversation with the same id. It also replaces
            the one of the same person in the same chat, unless one of the two has failed. The journal entries of a
            conversation are kept as long as it is on record.
        ended: Ids of conversations to delete, before `conversations` are stored.
        has_all_entries: True if the turn has no entries on record besides `entries`. It saves the backend a search.
        recipients: Outcomes of people that a broadcast goes to.
    """

    outcome: Outcome
    entries: list[JournalEntry] = field(default_factory=list)
    state: Sequence[StateWrite] = ()
    timers: list[Timer] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    rearmed: Sequence[Rearm] = ()
    off_the_record: bool = False
    conversations: list[Conversation] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    has_all_entries: bool = False
    recipients: Sequence[RecipientUpdate] = ()


@dataclass(frozen=True, slots=True)
class DeadDelivery:
    """A dead letter, with the reason. Its journal entries are kept, so that a retry does not repeat their calls.

    Attributes:
        attempts: Failed runs of the handler, including the last run if it failed.
        crashes: As on the last lease.
        dead_lettered_at: Unix seconds.
        replay: See `Lease`.
    """

    delivery: Delivery
    error: str
    handler: str | None
    attempts: int
    crashes: int
    dead_lettered_at: float
    replay: int = 0


class Inbox(Protocol):
    """Deliveries and their lanes.

    A lease that is not finished when the storage closes counts as a crash, like the lease of a process that died,
    because a worker finishes its turns before it stops. A prefetched lease that `take` has not returned counts as
    nothing.
    """

    settled: Collection[str]
    """The types of receipts that nothing in this process wants as events. `put` stores what such a receipt reports in the
    journal, and the delivery has no turn. Set it before the storage is opened."""

    def put(self, delivery: Delivery) -> Awaitable[bool]:
        """Store a delivery durably.

        Returns:
            True once it is on disk; False if its id or its message_key was stored before.
        Raises:
            StorageUnavailable: nothing was stored.
            StorageBusy: the inbox is full, or the lane (LaneFull); nothing was stored. For a duplicate the call
                returns False even then.

        Deliveries are accepted in the order in which the calls began. A cancelled call stores the delivery or not,
        but never half of it.
        """
        ...

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Lease the oldest delivery of each lane that is not leased, at most `limit`.

        A lane whose oldest delivery waits for its retry is not ready, even if other deliveries wait behind it. The
        call never waits for deliveries. A cancelled call gives its leases back, and they count as nothing.

        Args:
            lease_s: Seconds until the lease ends and another worker may take the lane.
        Returns:
            The leases to finish; empty when every lane is empty, waiting or leased. With fewer than `limit`, the next
            deliveries may be prefetched: leased in the transaction that stores them, for the next `take`. A delivery
            that this process stored recently is the same object, with `decoded`; if it was read from disk, `decoded`
            is None.
        Raises:
            StorageUnavailable: the backend did not answer; nothing was leased.
        """
        ...

    def note_refused(self, lane: str) -> None:
        """Note that this process has refused a delivery of a lane, so that the other processes learn it.

        They learn it with the next write of this process. If the storage cannot be reached now, that is later.
        """
        ...

    async def announce_gap(self, since: float) -> None:
        """Let the other processes know that deliveries of any lane may have been refused since a time (Unix seconds).

        Raises:
            StorageUnavailable: the others do not know it.
        """
        ...

    def follow_gaps(self, found: Callable[[str | None, float | None], None]) -> None:
        """Call `found` when another process has refused deliveries, or none may have received them.

        It is called with the lane, None for any lane, and with the Unix time since when, None for now.
        """
        ...

    def end_leasing(self) -> None:
        """Note that this process calls `take` no more, because it stops.

        From now on, the end of each turn of this process wakes the other processes, so that they go on with the lane.
        """
        ...

    async def changed(self) -> None:
        """Wait until a `take` may find something new, or until a timer is stored that is due before all others.

        That is when a delivery was stored, finished or given back since the last call, also by a command in another
        process; if one already was, return at once. The end of a wait or of a lease does not wake it: see `next_due`.
        Only one task may wait at a time.
        """
        ...

    async def next_due(self) -> float | None:
        """Return the Unix time at which a `take` may find something without `changed`; None if there is no such time.

        It is the earliest retry or deferred turn, or the earliest end of a lease: so a lane goes on by itself when its
        worker is lost or could not write its `finish`. The time may be in the past until the next `take`.
        """
        ...

    async def finish(self, lease: Lease, commit: Commit) -> None:
        """End a turn in one commit: outcome, journal entries, state and timers.

        Raises:
            LeaseLost: the lease is over; nothing was written. A lease that has run out stays valid until the lane is
                leased again.
            StateConflict: another value than an expected one is stored; nothing was written, and the lease is still
                held: `finish` again without the state.
            StorageUnavailable: nothing was written, and the lease is still held: `finish` again, or let it run out.
        """
        ...

    async def following(self, lane: str, limit: int) -> list[Delivery]:
        """Return the deliveries that wait behind the head of a lane, in order, at most `limit`.

        Raises:
            StorageUnavailable: the storage did not answer.
        """
        ...

    async def hold(self, lease: Lease, until: float, *, known: int) -> None:
        """Give back a lease that was not used: it counts as nothing, and the lane waits for more deliveries.

        The wait ends at `until`, or earlier with the next `put` into the lane. The next lease of the head is a first run
        again.

        Args:
            until: Unix seconds.
            known: The number of deliveries behind the head, as `following` returned them. With more, the lane does not
                wait.
        Raises:
            LeaseLost: the lease is over; nothing was written.
            StorageUnavailable: nothing was written, and the lease is still held.
        """
        ...

    def watch(self, lane: str) -> AbstractContextManager[asyncio.Event]:
        """Watch a lane: the event is set whenever a delivery is put into it, by whatever process."""
        ...

    async def join(self, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool = False) -> None:
        """Put one delivery in the place of several of a lane, in one commit. The lease stays in force, on that delivery.

        Args:
            joined: The leased delivery with another body, which holds the others too.
            ids: The others, which wait in the lane. They leave the inbox without a trace but their ids, as after an ack.
            again: True adds 1 to `replay`, for a turn that begins again with other content and its own keys.
        Raises:
            LeaseLost: the lease is over; nothing was written.
            StorageUnavailable: nothing was written, and the lease is still held.
        """
        ...

    async def note_progress(self, lease: Lease, progress: int) -> int:
        """Note how far the turn of a delivery has come that has crashed, and return its crashes before it came that far.

        Args:
            progress: A number that changes whenever the journal of the turn does.
        Returns:
            How many of `Lease.crashes` the turn had when it had just come that far. The runs of the others added nothing.
        Raises:
            LeaseLost: the lease is over; nothing was written.
            StorageUnavailable: nothing was written, and the lease is still held.
        """
        ...

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        """Store missed deliveries of a lane, and sort the lane by the time at which its deliveries were sent.

        Deliveries that wait for a retry, or whose turns have journal entries, are not moved: the others are sorted
        among themselves. Backlog limits do not apply.

        Args:
            missed: Deliveries of this lane. Those whose id or message_key was stored before are left out.
            lease: A lease on the head of the lane. It must be in force. It is given back in the same commit, and does not
                count.
            keep: True keeps the lease.
        Returns:
            The number of new deliveries.
        Raises:
            LeaseLost: the lease is over; nothing was written.
            StorageUnavailable: nothing was written, and the lease is still held.
        """
        ...

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        """Return the ids and message_keys that are known. The value is True if the delivery has left the inbox.

        Raises:
            StorageUnavailable: the storage did not answer.
        """
        ...

    async def has_seen(self, delivery_id: str) -> bool:
        """Return True if a delivery with this id is stored, or left the inbox in the last 24 hours.

        Raises:
            StorageUnavailable: the storage did not answer.
        """
        ...

    async def first_activity(self) -> float | None:
        """Return the Unix time at which the first webhook ever was accepted; None if none was."""
        ...

    async def last_activity(self) -> float | None:
        """Return the Unix time at which the newest webhook was accepted, whatever its outcome; None if none was.

        After a crash the time may be up to a minute too early, never too late.
        """
        ...

    async def depth(self) -> int:
        """Return the number of deliveries that are stored and not finished."""
        ...
