"""Days: when the day of a person begins and ends, and when a day has room for one more message.

Nothing here needs a storage or a call. A day is one of the calendar where the person is, so it may have 23 or 25 hours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple


class Day(NamedTuple):
    """The day around a time in a time zone, from `begin` on and before `end`, in Unix seconds."""

    begin: float
    end: float

    @classmethod
    def around(cls, at: float, where: tzinfo) -> Day:
        today = datetime.fromtimestamp(at, where).date()
        return cls(_begin(today, where), _begin(today + timedelta(days=1), where))

    def count(self, times: Sequence[float]) -> int:
        return sum(self.begin <= each < self.end for each in times)


@lru_cache(4096)
def _begin(day: date, where: tzinfo) -> float:
    # Where the clock is set forward at midnight, this is the moment of the change; where it is set back, the first midnight.
    return datetime.combine(day, time(), where).timestamp()


def first_with_room(
    now: float,
    begin: float,
    zones: Sequence[tzinfo],
    *,
    taken: Sequence[float],
    per_day: int,
    allowed: Callable[[float], float],
) -> float | None:
    """Return the first time from `begin` on at which a message is allowed and its day has room in each of the zones.

    A day that is full moves the message to the next day, but not behind tomorrow, as seen from `now`: then the result is None.
    So messages of which there are more than the days have room for do not pile up.

    Args:
        taken: The times of the other messages to the person: those that were sent, and those that wait.
        allowed: Returns the first time from a time on at which messages are allowed.
    """
    at = allowed(begin)
    while full := [day for zone in zones if (day := Day.around(at, zone)).count(taken) >= per_day]:
        at = allowed(max(day.end for day in full))
        if any(at >= Day.around(Day.around(now, zone).end, zone).end for zone in zones):
            return None
    return at
