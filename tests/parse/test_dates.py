"""Dates with a time, by the clocks of a time zone. The present is Friday 20 November 2026, 13:00 in Paris."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linqbot import parse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(text: str, now: datetime = NOW, timezone: str = "Europe/Paris") -> str:
    return parse.date_time(text, timezone=timezone, now=now).isoformat(" ", "minutes")


def test_a_day_is_that_of_the_time_zone() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert parse.day("today", timezone="Europe/Paris", now=late).isoformat() == "2026-11-21"
    assert parse.day("the 20th", timezone="Europe/Paris", now=late).isoformat() == "2026-12-20"


def test_a_time_that_the_clocks_skip_means_the_moment_after_the_gap() -> None:
    assert read("28 mar 2027 2:30") == "2027-03-28 03:00+02:00"


def test_a_time_that_the_clocks_show_twice_means_the_first_that_is_to_come() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert read("25 oct 2:30", before) == "2026-10-25 02:30+02:00"
    between = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)  # 02:45 for the first time
    assert read("2:30", between) == "2026-10-26 02:30+01:00"


def test_an_unknown_time_zone_and_a_present_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="There is no time zone 'Mars/Base'"):
        read("noon", timezone="Mars/Base")
    with pytest.raises(ValueError, match="now= has no time zone"):
        read("noon", now=datetime(2026, 1, 1))  # noqa: DTZ001
