"""Wall time in a time zone, on the days too on which the clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone(name: str) -> tzinfo:
    """Return the time zone of a name.

    Raises:
        ValueError: there is no such time zone, or this machine has no data about it.
    """
    if name == "UTC":
        return UTC  # also on a machine without time zone data
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"There is no time zone {name!r}. Give an IANA name such as Europe/Paris. If this is one, install the "
            "machine's time zones (Debian: apt-get install tzdata) or: pip install tzdata."
        ) from error


def instant(wall: datetime, where: tzinfo) -> datetime:
    """Return the moment at which the clocks of a zone show a wall time.

    A wall time that the clocks show twice means the first. One that they skip means the moment after the gap.

    Args:
        wall: A time without a zone.
    """
    first = wall.replace(tzinfo=where, fold=0)
    if first.astimezone(UTC).astimezone(where).replace(tzinfo=None) == wall:
        return first
    # The wall time is in a gap. With the offset from after the gap it is a moment before it, and the other way round.
    before, after = wall.replace(tzinfo=where, fold=1).astimezone(UTC), first.astimezone(UTC)
    offset = before.astimezone(where).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if middle.astimezone(where).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.astimezone(where)
