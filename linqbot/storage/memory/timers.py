"""The timers of a storage in memory; see `timers.py` for the contract."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Finish
from linqbot.storage.timers import PARKED_S, Timer


class MemoryTimers:
    """Timers, by id.

    Args:
        seen: The ids of the deliveries that were ever stored. A timer whose delivery is among them has fired.
    """

    def __init__(self, seen: Collection[str]) -> None:
        self._timers: dict[str, Timer] = {}
        self._seen = seen

    def schedule(self, timer: Timer) -> bool:
        """Store a timer. Return False if it waits already or has fired."""
        if timer.id in self._timers or timer.fired(0.0).id in self._seen:
            return False
        self._timers[timer.id] = timer
        return True

    def cancel(self, timer_id: str) -> bool:
        """Delete a timer. Return True if it was there."""
        return self._timers.pop(timer_id, None) is not None

    def write(self, finish: Finish) -> None:
        """Store what the end of a turn changes."""
        for timer_id in finish.cancelled:
            self.cancel(timer_id)
        for timer in finish.timers:
            self.schedule(timer)
        for again in finish.rearmed:
            parked = self._timers.get(again.timer_id)
            if parked is not None and parked.due == again.tick + PARKED_S:
                self._timers[again.timer_id] = replace(parked, due=again.due)

    def waiting(self, lane: str | None, limit: int) -> list[Timer]:
        """Return the timers that wait, the earliest first."""
        waiting = (t for t in self._timers.values() if lane in (None, t.lane) and not t.is_parked)
        return sorted(waiting, key=lambda t: t.due)[:limit]

    def find(self, timer_id: str) -> Timer | None:
        """Return a timer; None if there is none of this id."""
        return self._timers.get(timer_id)

    def recurring(self, kind: str, lane: str | None) -> list[Timer]:
        """Return the recurring timers of a kind."""
        return [timer for timer in self._timers.values() if timer.kind == kind and lane in (None, timer.lane)]

    def take_due(self, now: float, limit: int) -> list[Delivery]:
        """Delete the timers that are due, or park those that recur. Return their deliveries."""
        due = [timer for timer in self.waiting(None, limit) if timer.due <= now]
        for timer in due:
            if timer.is_recurring:
                self._timers[timer.id] = timer.parked()
            else:
                del self._timers[timer.id]
        return [timer.fired(now) for timer in due]

    def earliest(self) -> float | None:
        """Return when the earliest timer is due; None if none waits."""
        return min((timer.due for timer in self._timers.values() if not timer.is_parked), default=None)

    def forget(self, ids: Iterable[str]) -> int:
        """Delete timers, and return their number."""
        return len([self._timers.pop(one) for one in ids])

    def all(self) -> Collection[Timer]:
        """Return all timers, those included that are parked."""
        return self._timers.values()
