"""Rhythms give each due time once, in every time zone, on the days too on which the clocks are changed."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from clock_changes import clock_changes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linqbot.parse import Recurrence, recurrence
from linqbot.parse.recurrences import last_until

ZONES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",  # changed its clocks at midnight until 2019
    "Australia/Lord_Howe",  # changes its clocks by half an hour
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Pacific/Apia",  # left out 30 December 2011
    "Africa/Casablanca",  # changes its clocks around Ramadan
    "Antarctica/Troll",  # changes its clocks by two hours
)
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.fixture
def no_zones() -> Iterator[None]:
    """A machine without time zone data, if the package tzdata is not installed either."""
    known = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([])
    ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(known)


@pytest.mark.usefixtures("no_zones")
def test_a_rhythm_in_utc_needs_no_time_zone_data() -> None:
    rows: list[tuple[str, str]] = [
        ("hour", "2026-11-20 13:00+00:00"),
        ("day 9:00", "2026-11-21 09:00+00:00"),
        ("0 9 1 * *", "2026-12-01 09:00+00:00"),
    ]
    assert {spec: recurrence(spec).next_after(FRIDAY).isoformat(" ", "minutes") for spec, _ in rows} == dict(rows)


def expected(times: list[time], weekdays: set[int], zone: str, start: datetime, days: int) -> list[datetime]:
    """Return the moments at which clocks of a zone first reach the times, by reading the clock once a minute.

    An hour is skipped in which they do not reach a time, whether or not they are changed in it.
    """
    where, hour = ZoneInfo(zone), timedelta(hours=1)

    def wall(at: datetime) -> datetime:
        return at.astimezone(where).replace(tzinfo=None)

    first_day = start.astimezone(where).date() - timedelta(days=2)
    slots = sorted(
        datetime.combine(day, each)
        for day in (first_day + timedelta(days=ahead) for ahead in range(days + 4))
        if day.weekday() in weekdays
        for each in times
    )
    minute = datetime.combine(first_day, time(), UTC) - timedelta(days=1)
    found: list[datetime] = []
    for slot in slots:
        while wall(minute) + hour < slot and wall(minute + hour) < slot:
            minute += hour
        while wall(minute) < slot:
            minute += timedelta(minutes=1)
        if not found or minute > found[-1]:
            found.append(minute)
    return [at for at in found if start < at <= start + timedelta(days=days)]


@st.composite
def starts(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a time in 50 years: mostly near a change of its clocks."""
    zone = draw(st.sampled_from(ZONES))
    if (changes := clock_changes(zone)) and draw(st.sampled_from([True, True, True, False])):
        half_a_day_before = draw(st.sampled_from(changes)) - timedelta(hours=11, minutes=7)
        return zone, half_a_day_before + timedelta(minutes=draw(st.integers(0, 2000)))
    return zone, datetime(1995, 1, 1, tzinfo=UTC) + timedelta(minutes=draw(st.integers(0, 50 * 525_600)))


CLOCKS = st.lists(
    st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 30, 59])), min_size=1, max_size=3, unique=True
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(starts(), CLOCKS, st.sets(st.integers(0, 6), min_size=1))
@example(("Europe/Paris", datetime(2027, 3, 27, 12, tzinfo=UTC)), [time(2), time(2, 30), time(3)], set(range(7)))
@example(("America/Sao_Paulo", datetime(2018, 11, 3, 12, tzinfo=UTC)), [time(0)], set(range(7)))
@example(("Pacific/Apia", datetime(2011, 12, 28, 12, tzinfo=UTC)), [time(9)], set(range(7)))
def test_each_wall_time_is_due_once(place: tuple[str, datetime], times: list[time], weekdays: set[int]) -> None:
    zone, start = place
    spec = " ".join([DAY_NAMES[day] for day in sorted(weekdays)] + [f"{each:%H:%M}" for each in times])
    due = recurrence(spec, timezone=zone).after(start)
    wanted = expected(times, weekdays, zone, start, days=3)
    assert [at.astimezone(UTC) for at in islice(due, len(wanted))] == wanted
    assert next(due) > start + timedelta(days=3)


@settings(max_examples=100, deadline=None)
@given(starts(), st.integers(1, 100_000).filter(lambda seconds: seconds % 86_400))
def test_an_interval_is_real_time(place: tuple[str, datetime], seconds: int) -> None:
    zone, start = place
    moments = list(islice(recurrence(f"{seconds} s", timezone=zone).after(start), 5))
    gaps = {later.astimezone(UTC) - at.astimezone(UTC) for at, later in pairwise(moments)}
    assert gaps == {timedelta(seconds=seconds)}
    assert timedelta() < moments[0] - start <= timedelta(seconds=seconds)


@settings(max_examples=60, deadline=None)
@given(
    starts(),
    st.sampled_from(["15 min", "weekdays 9:00", "30 2 * * *", "hour", "mon 0:00"]),
    st.integers(0, 60 * 24 * 40),
)
def test_the_last_time_before_another_is_found_without_visiting_all(
    place: tuple[str, datetime], spec: str, minutes: int
) -> None:
    zone, start = place
    rhythm: Recurrence = recurrence(spec, timezone=zone)
    first = rhythm.next_after(start)
    end = first + timedelta(minutes=minutes)
    visited = [first]
    for at in rhythm.after(first):
        if at.astimezone(UTC) > end.astimezone(UTC):
            break
        visited.append(at)
    assert last_until(rhythm, first, end, most=10_000) == (visited[-1], len(visited) - 1)
    assert last_until(rhythm, first, end, most=3) == (visited[-1], min(3, len(visited) - 1))
