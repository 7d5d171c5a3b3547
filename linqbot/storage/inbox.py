"""What the inbox means: a durable queue of deliveries, one lane per chat.

A backend is one object that is Inbox, Outbox and StateStore at once, because one commit ends a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from linqbot.events.delivery import Delivery
from linqbot.storage.outbox import Effect
from linqbot.storage.state import StateWrite


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim on a delivery, and with it on its lane.

    Attributes:
        token: Names this claim; a `finish` under an older one raises LeaseLost.
        attempts: How many runs of its handler have failed.
        crashes: How many times the process died while it was claimed.
    """

    delivery: Delivery
    token: int
    attempts: int = 0
    crashes: int = 0

    @property
    def is_first_run(self) -> bool:
        """True when no earlier run can have left effects behind."""
        return self.attempts == 0 and self.crashes == 0


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: forget the delivery, remember its id."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The handler failed: run it again, not before `at`. The lane waits, other lanes do not."""

    at: float
    error: str


@dataclass(frozen=True, slots=True)
class Park:
    """Somebody else's fault, so no attempt is counted: run it again, not before `at`."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up: keep it as a dead letter with the reason; the lane goes on."""

    error: str
    handler: str | None = None


Outcome: TypeAlias = Ack | Retry | Park | Bury


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything one turn writes when it ends, in one commit.

    Attributes:
        effects: Calls of this turn with their outcome, replacing the rows written by `begin`.
    """

    outcome: Outcome
    effects: Sequence[Effect] = ()
    state: Sequence[StateWrite] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What gave up, with why. Its effects are kept, so that a retry does not repeat them."""

    delivery: Delivery
    error: str
    handler: str | None
    attempts: int
    crashes: int
    buried_at: float


class Inbox(Protocol):
    """Deliveries and their lanes."""

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery durably.

        Returns:
            True once it is on disk; False when its id, or its message_key, was stored before.
        Raises:
            StorageUnavailable: nothing was stored.
            StorageBusy: the backlog, or the lane's, is full; nothing was stored.
        """
        ...

    async def take(self, limit: int, *, lease_s: float) -> list[Lease]:
        """Claim the oldest delivery of each lane nobody is working on, at most `limit`.

        A lane whose oldest delivery waits for its retry is not ready, whatever waits behind.

        Args:
            lease_s: Seconds until the claim ends and another worker may take the lane.
        Returns:
            Leases to finish; none when every lane is empty, waiting or busy. At once, without waiting.
        Raises:
            StorageUnavailable: the backend did not answer; nothing was claimed.
        """
        ...

    async def changed(self) -> None:
        """Wait until something was put or finished since the last call; returns at once if it already was.

        A `take` may find something now. Retries that come due are not announced: see `next_due`.
        """
        ...

    async def next_due(self) -> float | None:
        """When the earliest waiting retry may be taken, in Unix seconds; None when nothing waits for a time."""
        ...

    async def finish(self, lease: Lease, finish: Finish) -> None:
        """End a turn in one commit: outcome, effects, state.

        Raises:
            LeaseLost: the claim is not ours any more; nothing was written.
            StorageUnavailable: nothing was written.
        """
        ...

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """What gave up, newest first."""
        ...

    async def depth(self) -> int:
        """How many deliveries are stored and not yet finished."""
        ...
