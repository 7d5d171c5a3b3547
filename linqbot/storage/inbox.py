"""The inbox: a durable queue of deliveries with one lane per chat.

This module has what the inbox takes and gives: leases, and the commits that end turns. The methods are in `backend.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from linqbot.error_details import ErrorDetails
from linqbot.errors import LaneFull, LeaseLost, StorageBusy
from linqbot.linq.events.delivery import Delivery
from linqbot.options import DAY_S
from linqbot.storage.broadcasts import RecipientUpdate
from linqbot.storage.conversations import Conversation
from linqbot.storage.journal import JournalEntry
from linqbot.storage.outcomes import OutcomeRow
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
            leased, they become suspects instead: see `indexes.py`.
        delivery_count: Number of earlier leases, however they ended: failed, deferred, crashed, or given back by a
            clean stop.
        replay: 0, then one more for each deliberate replay of the delivery. Each replay has its own idempotency keys.
        put_back: True if an operator has put the delivery back into the inbox: `Storage.retry` or `replay_live`.
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


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Ack:
    """Done: delete the delivery, remember its id."""


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Retry:
    """The handler failed: run it again, not before `at` (Unix seconds). Its lane waits; other lanes go on.

    Attributes:
        error, details: See `DeadLetter`.
    """

    at: float
    error: str
    details: ErrorDetails | None = field(default=None, compare=False)


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Defer:
    """The handler is not at fault, so no attempt is counted: run it again, not before `at` (Unix seconds).

    Attributes:
        reason, details: As `error` and `details` of a `DeadLetter`.
    """

    at: float
    reason: str
    details: ErrorDetails | None = field(default=None, compare=False)


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class DeadLetter:
    """Give up: keep the delivery as a dead letter with the reason. Its lane goes on.

    Attributes:
        error: The reason, for operators. It quotes no text of a person, so that it may be shown, logged and counted.
        handler: The name of the handler that failed, if one did.
        failed: True if the handler failed in this turn too, so that one more attempt is counted.
        details: The exceptions behind the reason, and their text, which may quote a person; None if the reason says it all.
    """

    error: str
    handler: str | None = None
    failed: bool = False
    details: ErrorDetails | None = field(default=None, compare=False)

    @property
    def whole_error(self) -> str:
        """The reason with all that is kept of it. It may quote a person."""
        return (self.details and self.details.text) or self.error


Outcome: TypeAlias = Ack | Retry | Defer | DeadLetter

SOON_S = 60.0
"""Seconds within which nearly every delivery leaves the inbox. Then `seen.at` stays the time when it was stored, so the
ack need not change these rows."""

SEEN_KEPT_S = DAY_S
"""Seconds for which the id and message_key of a delivery are remembered after its ack or dead letter."""


@dataclass
class InboxLimits:
    """The maximum number of deliveries in the inbox, and in one lane."""

    limit: int = 1_000_000
    lane_limit: int = 1000

    def full(self) -> StorageBusy:
        return StorageBusy(f"The backlog is full: {self.limit} deliveries wait.")

    def lane_full(self, delivery: Delivery) -> LaneFull:
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
        record: What is kept for operators of how the run ended; None keeps nothing.
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
    record: OutcomeRow | None = None


class DeadDelivery(NamedTuple):
    """A dead letter, with the reason. Its journal entries are kept, so that a retry does not repeat their calls.

    Attributes:
        error, details: See `DeadLetter`.
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
    details: ErrorDetails | None = None

    @property
    def whole_error(self) -> str:
        """The reason with all that is kept of it. It may quote a person."""
        return (self.details and self.details.text) or self.error
