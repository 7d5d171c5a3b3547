"""Timers: at its due time a timer becomes a delivery of its lane, so it keeps the order of its chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from linqbot.events.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Timer:
    """A delivery that is due later.

    Attributes:
        id: Unique. Scheduling the same id again keeps the timer that is stored.
        due: Unix seconds.
        lane: The lane that the timer joins when it is due, behind the deliveries that wait there.
        kind: The kind of timer: `send`. The timer becomes the delivery `i.<kind>.<id>` of type `linqbot.<kind>`.
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

    def fired(self, now: float) -> Delivery:
        """Return the delivery that the timer becomes when it fires at `now`."""
        return Delivery(f"i.{self.kind}.{self.id}", self.lane, f"linqbot.{self.kind}", self.payload, now)


class Timers(Protocol):
    """The timers on record. They do not wait in the inbox, where they would block their lane."""

    async def schedule(self, timer: Timer) -> bool:
        """Store a timer durably. A turn uses `Finish.timers` instead, which is part of its one commit.

        Returns:
            False if its id is on record: the timer waits, or it fired in the last 24 hours.
        """
        ...

    async def cancel(self, timer_id: str) -> bool:
        """Delete a timer. Return True if it was still waiting."""
        ...

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """Return the timers that wait, the earliest first."""
        ...

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Move due timers into their lanes, in one commit, and return their number."""
        ...

    async def next_timer(self) -> float | None:
        """Return the Unix time at which the earliest timer is due; None if there is none.

        `Inbox.changed` returns when an earlier timer is stored.
        """
        ...
