"""Timers: at its due time a timer becomes a delivery of its lane, so it keeps the order of its chat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

from linqbot.events.delivery import Delivery
from linqbot.storage.journal import JournalEntry

OUTAGE: Final = "outage"
"""The kind of a timer that stays stored as long as an outage of a chat lasts; see `features/notices.py`."""

RECURRING: Final = frozenset({"schedule", "repeat", OUTAGE})
"""The kinds of timers that stay stored when they fire. Those of an outage are due once, the others again later."""

PARKED_S: Final = 1e12
"""Added to the due time of a recurring timer that fired, until its turn ends. Every time a bot can give is smaller."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A delivery that is due later.

    Attributes:
        id: Unique. Scheduling the same id again keeps the timer that is stored.
        due: Unix seconds.
        lane: The lane that the timer joins when it is due, behind the deliveries that wait there.
        kind: The kind of timer, such as `send` or `schedule`. The timer becomes the delivery `i.<kind>.<id>` of type
            `linqbot.<kind>`. The id of a recurring timer's delivery ends with the due time in whole seconds, so each due
            time makes one delivery.
        payload: The body of that delivery, as JSON. It holds the handles of the people of the turn that scheduled the
            timer as values, so that `Upkeep.forget` finds it.
        grace_s: Seconds that the delivery may be late after downtime. When it is later, it counts as missed.
    """

    id: str
    due: float
    lane: str
    kind: str
    payload: bytes
    grace_s: float

    @property
    def is_off_the_record(self) -> bool:
        """True if no text of the timer may be kept once its delivery is handled."""
        return self.fired(0.0).is_off_the_record

    @property
    def is_recurring(self) -> bool:
        """True if the timer stays stored when it fires."""
        return self.kind in RECURRING

    @property
    def is_parked(self) -> bool:
        """True if the timer fired, and the turn of its delivery has not ended."""
        return self.due >= PARKED_S

    @property
    def tick(self) -> float:
        """The due time, also while the timer is parked, in Unix seconds."""
        return self.due - PARKED_S if self.is_parked else self.due

    def parked(self) -> Timer:
        """Return the timer as it is stored between the time at which it fired and the end of the turn."""
        return replace(self, due=self.due + PARKED_S)

    def fired(self, now: float) -> Delivery:
        """Return the delivery that the timer becomes when it fires at `now`."""
        name = f"{self.id}.{self.tick:.0f}" if self.is_recurring else self.id
        return Delivery(f"i.{self.kind}.{name}", self.lane, f"linqbot.{self.kind}", self.payload, now)


@dataclass(frozen=True, slots=True)
class Rearm:
    """The next due time of a recurring timer whose delivery was handled.

    It has no effect if the timer was cancelled, or was rearmed already.

    Attributes:
        tick: The due time that was handled, in Unix seconds.
        due: The next due time, in Unix seconds.
    """

    timer_id: str
    tick: float
    due: float


class Timers(Protocol):
    """The timers on record. They do not wait in the inbox, where they would block their lane."""

    async def schedule(self, timer: Timer) -> bool:
        """Store a timer durably. A turn uses `Commit.timers` instead, which is part of its one commit.

        Returns:
            False if its id is on record: the timer waits, or it fired in the last 24 hours.
        """
        ...

    async def cancel(self, timer_id: str, record: JournalEntry | None = None) -> bool:
        """Delete a timer. Return True if it was still waiting.

        Args:
            record: A journal entry to store in the same commit, as accepted, with the result as its answer.
        """
        ...

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """Return the timers that wait, the earliest first. Recurring timers that fired are left out until rearmed."""
        ...

    async def timer(self, timer_id: str) -> Timer | None:
        """Return a timer; None if none of this id is stored."""
        ...

    async def recurring(self, kind: str, *, lane: str | None = None) -> list[Timer]:
        """Return the recurring timers of a kind, those included that fired and whose turn has not ended.

        Args:
            lane: Only those of this lane; None for all.
        """
        ...

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Move due timers into their lanes, in one commit, and return their number.

        A recurring timer is parked: `Commit.rearmed` gives its next due time.
        """
        ...

    async def next_timer(self) -> float | None:
        """Return the Unix time at which the earliest timer is due; None if there is none.

        `Inbox.changed` returns when an earlier timer is stored.
        """
        ...
