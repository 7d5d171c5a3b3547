"""Dates with a time, as people write them. The present is Friday 20 November 2026, 13:00 in Paris."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linqbot import parse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(text: str, now: datetime = NOW, timezone: str = "Europe/Paris") -> str:
    return parse.date_time(text, timezone=timezone, now=now).isoformat(" ", "minutes")


def test_a_day_and_a_time_are_read(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str]] = [
        ("friday 19:30", "2026-11-20 19:30+01:00"),
        ("Friday 9:00", "2026-11-27 09:00+01:00"),
        ("next friday 19:30", "2026-11-27 19:30+01:00"),
        ("on Tues at 9am", "2026-11-24 09:00+01:00"),
        ("tomorrow at 7pm", "2026-11-21 19:00+01:00"),
        ("tomorrow at 7 in the morning", "2026-11-21 07:00+01:00"),
        ("the day after tomorrow, 8 a.m.", "2026-11-22 08:00+01:00"),
        ("tonight at 8", "2026-11-20 20:00+01:00"),
        ("19h30", "2026-11-20 19:30+01:00"),
        ("9:00", "2026-11-21 09:00+01:00"),
        ("noon", "2026-11-21 12:00+01:00"),
        ("24.12. 18:00", "2026-12-24 18:00+01:00"),
        ("24.12.2027 at 18.15", "2027-12-24 18:15+01:00"),
        ("24/12 18:00", "2026-12-24 18:00+01:00"),
        ("12/24 6pm", "2026-12-24 18:00+01:00"),
        ("Thursday, 24 Dec at 18:00", "2026-12-24 18:00+01:00"),
        ("December 24th 2027, 6 pm", "2027-12-24 18:00+01:00"),
        ("may 5 10:00", "2027-05-05 10:00+02:00"),
        ("29 feb 10:00", "2028-02-29 10:00+01:00"),
        ("2026-12-24 18:00", "2026-12-24 18:00+01:00"),
        ("2026-12-24T18:00", "2026-12-24 18:00+01:00"),
        ("in 20 min", "2026-11-20 13:20+01:00"),
        ("an hour from now", "2026-11-20 14:00+01:00"),
        ("in 24 hours", "2026-11-21 13:00+01:00"),
        ("in two weeks at 8pm", "2026-12-04 20:00+01:00"),
        ("in 2 days at 8 in the evening", "2026-11-22 20:00+01:00"),
        ("a week from today at noon", "2026-11-27 12:00+01:00"),
        ("fri 10.30", "2026-11-27 10:30+01:00"),
        ("10.30", "2026-11-21 10:30+01:00"),
        ("24.12. 18.30", "2026-12-24 18:30+01:00"),
        ("friday morning at ten", "2026-11-27 10:00+01:00"),
        ("friday evening at half past seven", "2026-11-20 19:30+01:00"),
        ("tonight, quarter to 8", "2026-11-20 19:45+01:00"),
        ("quarter past nine in the morning", "2026-11-21 09:15+01:00"),
        ("quarter to one in the afternoon", "2026-11-21 12:45+01:00"),
        ("friday 19", "2026-11-20 19:00+01:00"),
        ("the 4th at 18:00", "2026-12-04 18:00+01:00"),
        ("20th, 14:00", "2026-11-20 14:00+01:00"),
        ("the 20th 9:00", "2026-12-20 09:00+01:00"),
    ]
    for text, at in rows:
        with subtests.test(text=text):
            assert read(text) == at


def test_what_is_no_moment_or_has_two_meanings_is_refused_with_a_sentence(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str]] = [
        ("3/4 18:00", "3/4 could be two dates. Please write the month as a word, such as 3 Apr."),
        ("tomorrow at 7", "7 in the morning or in the evening?"),
        ("tomorrow", "At which time?"),
        ("today 9:00", "That time has passed."),
        ("24.12.2020 18:00", "That time has passed."),
        ("30.2. 10:00", "There is no such date as 30.2."),
        ("25:00", "25:00 is not a time of day."),
        ("13pm", "At which time?"),
        ("at 9", "9 in the morning or in the evening?"),
        ("9", "9 in the morning or in the evening?"),
        ("friday 10", "10 in the morning or in the evening?"),
        ("friday at ten", "10 in the morning or in the evening?"),
        ("friday at half past seven", "7:30 in the morning or in the evening?"),
        ("in two weeks at 8", "8 in the morning or in the evening?"),
        ("in two weeks", "At which time?"),
        ("in 1 day", "At which time?"),
        ("friday morning", "At which time?"),
        ("in 20 min at 8pm", "Please give a day and a time"),
        ("in a while", "Please give a day and a time"),
        ("the 42nd at 9am", "There is no such date as the 42nd."),
        ("hello at 19:30", "Please give a day and a time"),
        ("whenever", "Please give a day and a time"),
        ("", "Please give a day and a time"),
    ]
    for text, sentence in rows:
        with subtests.test(text=text), pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
            read(text)


DAYS = {
    "friday": "2026-11-20",
    "fri": "2026-11-20",
    "next friday": "2026-11-27",
    "Friday morning, please": "2026-11-20",
    "today": "2026-11-20",
    "tomorrow": "2026-11-21",
    "on the 4th": "2026-12-04",
    "the 20th": "2026-11-20",
    "31st": "2026-12-31",
    "24.12.": "2026-12-24",
    "24 Dec 2027": "2027-12-24",
    "29 feb": "2028-02-29",
    "in two weeks": "2026-12-04",
    "3 days from now": "2026-11-23",
    **dict.fromkeys(
        ("next week", "this weekend", "friday 19:30", "in 20 min", "whenever", "in a while"),
        "Please give a day, such as Friday, tomorrow or 24 Dec.",
    ),
    "3/4": "3/4 could be two dates. Please write the month as a word, such as 3 Apr.",
    "19 Nov 2026": "That day has passed. Please give a later one.",
    "30.2.": "There is no such date as 30.2. Please check it.",
}


def test_a_day_without_a_time_is_read_or_asked_for_again() -> None:
    found = {}
    for text in DAYS:
        try:
            found[text] = parse.day(text, timezone="Europe/Paris", now=NOW).isoformat()
        except ValueError as error:
            found[text] = str(error)
    assert found == DAYS


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
