"""The days of 50 years on which the clocks of a time zone are changed, for tests of rhythms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
FIRST = datetime(1995, 1, 1, tzinfo=UTC)
WEEKS = [FIRST + timedelta(weeks=week) for week in range(50 * 53)]


@cache
def clock_changes(zone: str) -> list[datetime]:
    """Return the days from 1995 to 2044, at 0:00 UTC, at whose end a zone's clocks differ from those at their start.

    Only weeks at whose end the clocks differ are searched: no zone of the tests changes its clocks twice in a week.
    """
    where = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(where).utcoffset()

    changed = [week for week, following in pairwise(WEEKS) if offset(week) != offset(following)]
    days = (week + day * DAY for week in changed for day in range(7))
    return [day for day in days if day.year < 2045 and offset(day) != offset(day + DAY)]
