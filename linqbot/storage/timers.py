"""What timers mean: something that becomes a delivery of its lane at a time, and so keeps its chat's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from linqbot.events.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Timer:
    """Something that is due later.

    Attributes:
        id: Unique. Scheduling again under the same id keeps what is there.
        due: Unix seconds.
        lane: Where it goes when it is due, behind what waits there by then.
        kind: What it is: `send`. The delivery it becomes is `i.<kind>.<id>`, of type `linqbot.<kind>`.
        payload: JSON: the body of that delivery. It names the people of the turn that put it off as values, so that
            `Upkeep.forget` finds it.
        grace_s: How late it may still be done, after downtime; later than that it has been missed.
    """

    id: str
    due: float
    lane: str
    kind: str
    payload: bytes
    grace_s: float

    @property
    def is_off_the_record(self) -> bool:
        """True if nothing of it may be kept once it is done."""
        return self.fired(0.0).is_off_the_record

    def fired(self, now: float) -> Delivery:
        """The delivery it becomes."""
        return Delivery(f"i.{self.kind}.{self.id}", self.lane, f"linqbot.{self.kind}", self.payload, now)


class Timers(Protocol):
    """Timers on record. They never wait inside the inbox, where they would block their chat."""

    async def schedule(self, timer: Timer) -> bool:
        """Store a timer durably; within a turn, `Finish.timers` does it in the turn's one commit.

        Returns:
            False when its id is on record already, waiting or fired in the last day.
        """
        ...

    async def cancel(self, timer_id: str) -> bool:
        """Forget a timer. True only if it was still waiting."""
        ...

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """What waits, the earliest first."""
        ...

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Move what is due into its lanes, in one commit; returns how many."""
        ...

    async def next_timer(self) -> float | None:
        """When the earliest timer is due, in Unix seconds. `changed` is woken when an earlier one is stored."""
        ...
