"""What the inbox means: a durable queue of deliveries, one lane per chat.

A backend is one object that is Inbox, Journal, StateStore and Timers at once, because one commit ends a turn. What an
operator does with what is kept stands in `upkeep.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from linqbot.events.delivery import Delivery
from linqbot.storage.journal import JournalEntry
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease on a delivery, and with it on its lane.

    Attributes:
        token: Names this lease; a `finish` under an older one raises LeaseLost.
        attempts: How many runs of its handler have failed.
        crashes: How many times a lease on it ended without a `finish` and it alone can be why: the process died while
            nothing else was leased, or its lease ran out. A process that dies with many counts for none of them, but
            `take` gives those it keeps dying with in smaller and smaller groups, at last one by one.
        delivery_count: How many times it was leased before, however that ended: failed, deferred, crashed, or given back by a
            clean stop.
        replay: 0, and one more each time the delivery was deliberately replayed: its entries have keys of their own.
    """

    delivery: Delivery
    token: int
    attempts: int = 0
    crashes: int = 0
    delivery_count: int = 0
    replay: int = 0

    @property
    def is_first_run(self) -> bool:
        """True when no earlier run can have left entries behind. A deferred one can, so `attempts` does not tell."""
        return self.delivery_count == 0 and self.attempts == 0 and self.crashes == 0


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: forget the delivery, remember its id."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The handler failed: run it again, not before `at`. The lane waits, other lanes do not."""

    at: float
    error: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Somebody else's fault, so no attempt is counted: run it again, not before `at`."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Give up: keep it as a dead letter with the reason; the lane goes on.

    Attributes:
        failed: The handler failed once more, so one more attempt is counted.
    """

    error: str
    handler: str | None = None
    failed: bool = False


Outcome: TypeAlias = Ack | Retry | Defer | DeadLetter

SEEN_KEPT_S = 24 * 3600.0
"""How long a delivery's id and message_key are remembered after it left the inbox, acked or dead-lettered."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything one turn writes when it ends, in one commit.

    Attributes:
        entries: Calls of this turn with their outcome, replacing the rows written by `begin`.
        timers: Timers to schedule. One whose id is on record already is kept as it is, so that a turn that runs again
            schedules once.
        cancelled: Ids of timers to forget, before `timers` are scheduled.
        off_the_record: Once acked, nothing of what was said in this turn is kept, whatever history says.
    """

    outcome: Outcome
    entries: Sequence[JournalEntry] = ()
    state: Sequence[StateWrite] = ()
    timers: Sequence[Timer] = ()
    cancelled: Sequence[str] = ()
    off_the_record: bool = False


@dataclass(frozen=True, slots=True)
class DeadDelivery:
    """What gave up, with why. Its entries are kept, so that a retry does not repeat them.

    Attributes:
        attempts: Failed runs of its handler, the last one included if it failed.
        crashes: As its last lease said.
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

    A lease that was never finished when the storage closes counts as a crash, as one that a dead process left does: a
    worker that stops ends its turns first. What `take` has not handed out yet counts as nothing.
    """

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery durably.

        Returns:
            True once it is on disk; False when its id, or its message_key, was stored before.
        Raises:
            StorageUnavailable: nothing was stored.
            StorageBusy: the backlog, or the lane's (LaneFull), is full; nothing was stored. A duplicate is False even
                then.

        Calls begun one after the other are accepted in that order. Cancelled: stored or not, but never half.
        """
        ...

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Lease the oldest delivery of each lane nobody is working on, at most `limit`.

        A lane whose oldest delivery waits for its retry is not ready, whatever waits behind.

        Args:
            lease_s: Seconds until the lease ends and another worker may take the lane.
        Returns:
            Leases to finish; none when every lane is empty, waiting or busy. At once, without waiting. If there are
            fewer than `limit`, what is put next may be leased with its own commit, for the next `take`. A delivery
            put by this process a moment ago is the very object, with `decoded`; one read from disk has None there.
            Cancelled: what was leased is given back, and counts as nothing.
        Raises:
            StorageUnavailable: the backend did not answer; nothing was leased.
        """
        ...

    async def changed(self) -> None:
        """Wait until something was put, finished or given back since the last call; at once if it already was.

        A `take` may find something now; or a timer was stored that is due before every other. Also when a command
        beside this process did it. What comes with time is not announced: see `next_due`. For one waiter.
        """
        ...

    async def next_due(self) -> float | None:
        """When a `take` may find something without `changed`, in Unix seconds; None when nothing waits for a time.

        The earliest retry or deferred turn; or the earliest end of a lease, so that a lane whose holder is lost, or
        could not write its `finish`, goes on by itself. May lie in the past until the next `take`.
        """
        ...

    async def finish(self, lease: Lease, finish: Finish) -> None:
        """End a turn in one commit: outcome, entries, state, timers.

        Raises:
            LeaseLost: the lease is not ours any more; nothing was written. A lease that has run out is still good
                while nobody else took the lane.
            StorageUnavailable: nothing was written, and the lease is still held: `finish` again, or let it run out.
        """
        ...

    async def put_in_order(self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None) -> int:
        """Store deliveries of a lane that were missed, and sort what waits in it by the time at which it was sent.

        Only what no turn has done anything for is sorted, and stays behind the rest. Backlog limits do not apply.

        Args:
            missed: Of this lane. Those whose id or message_key was stored before are left out.
            lease: Held on the lane's head; given back in the same commit, uncounted.
        Returns:
            How many were new.
        Raises:
            LeaseLost: the lease is over; nothing was written.
            StorageUnavailable: nothing was written, and the lease is still held.
        """
        ...

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        """Return those of the ids and message_keys that are known; True for what has left the inbox.

        Raises:
            StorageUnavailable: it cannot be said now.
        """
        ...

    async def has_seen(self, delivery_id: str) -> bool:
        """Whether a delivery of this id was stored, in the last day at least.

        Raises:
            StorageUnavailable: it cannot be said now.
        """
        ...

    async def first_activity(self) -> float | None:
        """When the first webhook ever was accepted, in Unix seconds; None when none ever was."""
        ...

    async def last_activity(self) -> float | None:
        """When the newest webhook was accepted, in Unix seconds, whatever became of it; None when none ever was.

        After a crash it may be up to a minute too early, never too late.
        """
        ...

    async def depth(self) -> int:
        """How many deliveries are stored and not yet finished."""
        ...
