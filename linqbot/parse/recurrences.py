"""Rhythms: `weekdays 09:00`, `mon 19:30`, `15 min`, `hour`, and cron expressions such as `0 9 1 * *`.

Times of day are wall time in a time zone. A time that the clocks skip counts as the moment after the gap, and one that
they show twice counts once. Intervals are real time, so a change of the clocks does not move them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import groupby
from typing import ClassVar, Final, TypeAlias

from linqbot.clock import WrongCall, zone
from linqbot.language.spoken import sentences, speaking
from linqbot.parse.dates import PART_OF_DAY, WEEKDAYS, duration, instant, time_of_day
from linqbot.parse.translation import clocks, english, lowered

_DAY_S: Final = 86_400
_CRON = re.compile(r"[\d*/,\-]+ [\d*/,\-]+ [\dLW*/,\-]+ [\w*/,\-]+ [\w#*/,\-]+", re.ASCII | re.IGNORECASE)
_DAYS_OF: Final[dict[str, Iterable[int]]] = {
    **{name: [day] for name, day in WEEKDAYS.items()},
    **dict.fromkeys(("weekday", "weekdays", "workday", "workdays"), range(5)),
    **dict.fromkeys(("weekend", "weekends"), (5, 6)),
    **dict.fromkeys(("day", "days", "daily", "everyday"), range(7)),
    **dict.fromkeys(("at", "and", "the", "of", "time"), ()),
}
_RANGE = re.compile(rf"\b({'|'.join(WEEKDAYS)})\s*(?:-|to|\u2013)\s*({'|'.join(WEEKDAYS)})\b")


class NotCron(WrongCall):
    """A text of five fields is no cron expression, or one without a time. Only authors write them; a person may do so too."""

    sentence: ClassVar = "rhythm"


_Rule: TypeAlias = Callable[[datetime], datetime]
"""Returns the first moment after another one. Both are in UTC: Python compares times of one zone by their wall time."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Moments that recur.

    Attributes:
        spec: The text that it was parsed from, in English.
        timezone: The IANA name of its time zone.
    """

    spec: str
    timezone: str
    _rule: _Rule = field(repr=False, compare=False)

    def next_after(self, at: datetime) -> datetime:
        """Return the first moment after `at`.

        Args:
            at: A time with a time zone.
        Raises:
            ValueError: `at` has no time zone; or no moment follows, as for a cron expression of 30 February.
        """
        if at.tzinfo is None:
            raise WrongCall("This time has no time zone. Give one: datetime.now(UTC).")
        return self._rule(at.astimezone(UTC)).astimezone(zone(self.timezone))

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the moments after `at`, in order and without an end."""
        while True:
            at = self.next_after(at)
            yield at


def recurrence(text: str, *, timezone: str = "UTC", language: str | None = None) -> Recurrence:
    """Return the rhythm that a text gives.

    Args:
        text: Days with times of day (`day 9:00`, `weekdays 8:30 and 17:00`, `mon-thu 7pm`), an interval (`hour`,
            `15 min`, `every 2 hours`), or a cron expression of five fields. Intervals count from midnight at the start
            of a Monday, so `15 min` runs at :00, :15, :30 and :45. All times of day are on each of the days.
        timezone: The IANA name of the time zone that times of day are in.
        language: The code of the text's language, such as `fr`; None for that of the turn, or else English.
    Raises:
        ValueError: the text gives no rhythm, or different times for different days; or there is no such time zone.

    Example:
        `recurrence("every weekday at 9:00", timezone="Europe/Paris")`
    """
    with speaking(language):
        return _recurrence(english(text), timezone)


def _recurrence(text: str, timezone: str) -> Recurrence:
    where = zone(timezone)
    plain = lowered(text).strip(" .!,")
    if _CRON.fullmatch(plain):
        return Recurrence(text, timezone, _cron(plain, where))
    plain = re.sub(r"\b([ap])\. ?m\b\.?", r"\1m", plain)  # before "a" is taken for the article of "once a day"
    plain = re.sub(r"\b(?:every|each|once|an?|on)\b", " ", plain)
    plain = re.sub(r"\bhourly\b", "hour", re.sub(r"\s+", " ", plain).strip())
    if (interval := _interval(plain, where)) is not None:
        return Recurrence(text, timezone, interval)
    return Recurrence(clocks(text), timezone, _days_and_times(clocks(plain), where))


def last_until(rhythm: Recurrence, first: datetime, end: datetime, *, most: int) -> tuple[datetime, int]:
    """Return the last moment of a rhythm up to `end`, and the number of its moments from `first` until before that one.

    Counting stops at `most`. The last moment is found all the same.
    """
    # In UTC, because Python compares times of one zone by their wall time.
    last, count, end = first, 0, end.astimezone(UTC)
    for moment in rhythm.after(first):
        if moment > end:
            return last, count
        if count == most:
            break
        last, count = moment, count + 1
    return _last(rhythm, last, end), most


def _last(rhythm: Recurrence, known: datetime, end: datetime) -> datetime:
    """Return the last moment up to `end`, without visiting all of those since `known`."""
    back = timedelta(seconds=1)
    while end - back > known and rhythm.next_after(end - back) > end:
        back *= 2
    last = known
    for moment in rhythm.after(max(known, end - back)):
        if moment > end:
            break
        last = moment
    return last


def _cron(spec: str, where: tzinfo) -> _Rule:
    """Return the moments of a cron expression, as Debian's cron runs them. Raises ValueError if it is none."""
    from cronsim import CronSim, CronSimError

    def after(at: datetime) -> datetime:
        for moment in CronSim(spec, at.astimezone(where)):
            # Times in a gap all become the moment after it; and cronsim forgets which of two equal hours `at` is in.
            if (found := moment.astimezone(UTC)) > at:
                return found
        raise NotCron(f"The cron expression {spec!r} has no time in the next 50 years.")

    try:
        after(datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise NotCron(f"{spec!r} is not a cron expression: {error}.") from error
    return after


def _interval(text: str, where: tzinfo) -> _Rule | None:
    """Return moments in equal distances of real time; None if the text is no length of time."""
    try:
        length = duration(f"1 {text}" if re.match(r"(?!half|quarter)[a-z]", text) and " " not in text else text)
    except ValueError:
        return None
    seconds = length.total_seconds()
    if seconds % 1 or seconds < 1:
        raise ValueError(sentences().rhythm)
    if seconds % _DAY_S == 0:
        raise ValueError(sentences().rhythm_time)
    start = instant(datetime(2001, 1, 1), where).astimezone(UTC)  # noqa: DTZ001 - wall time; it is a Monday
    return lambda at: start + ((at - start) // length + 1) * length


def _days_and_times(text: str, where: tzinfo) -> _Rule:
    parts = PART_OF_DAY.findall(text)
    # Of several parts of the day, or of several times, it is not clear which belongs to which.
    part, rest = (parts[0], PART_OF_DAY.sub(" ", text)) if len(parts) == 1 else ("", text)
    found = list(_in_order(rest, part))
    if part and sum(isinstance(each, time) for each in found) > 1:
        raise ValueError(sentences().rhythm)
    days = [each for each in found if not isinstance(each, time)]
    is_small_hour = any(each.hour < 5 for each in found if isinstance(each, time))
    if is_small_hour and part.endswith(("night", "evening")) and any(len(each) < 7 for each in days):
        raise ValueError(sentences().rhythm)  # midnight of Friday night is on Saturday by the calendar
    times = [
        frozenset(each for each in group if isinstance(each, time))
        for are_times, group in groupby(found, key=lambda each: isinstance(each, time))
        if are_times
    ]
    if not times:
        raise ValueError(sentences().rhythm_time if days else sentences().rhythm)
    # Several groups are clear only in pairs of days and times that all have the same days or the same times.
    if days and not (len(days) == len(times) and 1 in (len(set(days)), len(set(times)))):
        raise ValueError(sentences().unclear_rhythm)
    on = ",".join(str(day + 1) for day in sorted(frozenset[int]().union(*days))) or "*"  # to cron, Sunday is 0 and 7
    rules = [_cron(f"{at.minute} {at.hour} * * {on}", where) for at in frozenset[time]().union(*times)]
    return lambda at: min(rule(at) for rule in rules)


def _in_order(text: str, part_of_day: str) -> Iterator[time | frozenset[int]]:
    clock, before, after = time_of_day(text, part_of_day=part_of_day)
    if clock is not None:
        yield from _in_order(before, part_of_day)
        yield clock
        yield from _in_order(after, part_of_day)
    elif days := weekdays(text):
        yield frozenset(days)


def weekdays(rest: str) -> set[int]:
    """Return the weekdays that a text in lower case names, one by one or as a range; Monday is 0. Raises ValueError."""
    found: set[int] = set()
    for match in _RANGE.finditer(rest):
        first, last = WEEKDAYS[match[1]], WEEKDAYS[match[2]]
        found |= {day % 7 for day in range(first, last + 1 + (7 if last < first else 0))}
    for word in re.findall(r"[^\s,;&]+", _RANGE.sub(" ", rest)):
        if word not in _DAYS_OF:
            raise ValueError(sentences().rhythm)
        found.update(_DAYS_OF[word])
    return found
