"""Numbers, yes or no, and durations, as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words  # type: ignore[import-untyped]

from linqbot import parse


def test_a_number_is_read_from_digits_and_words(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, int]] = [
        ("2", 2),
        ("two", 2),
        ("Two, please!", 2),
        ("a dozen", 12),
        ("two dozen", 24),
        ("a couple", 2),
        ("twenty-one", 21),
        ("two hundred and five", 205),
        ("one hundred thousand", 100_000),
        ("1,000", 1000),
        ("-5", -5),
        ("minus 3", -3),
        ("Minus three, please", -3),
        ("it is negative 1,000 in total", -1000),
        ("minus twenty-one", -21),
        ("minus a dozen", -12),
        ("2, minus the cheese", 2),
        ("we are 5 this time", 5),
        ("table for four", 4),
        ("٣", 3),
    ]
    for text, value in rows:
        with subtests.test(text=text):
            assert parse.number(text) == value


def test_a_text_without_one_whole_number_is_refused_with_a_sentence(subtests: pytest.Subtests) -> None:
    rows = [
        *("", "many", "2 or 3", "one two", "twenty twenty", "two 3", "5 minus 3", "twenty minus one"),
        *("minus two minus three", "two minus", "minus", "2.5", "10am", "555-1234", "the blue one", "9" * 16, "3/4"),
    ]
    for text in rows:
        with (
            subtests.test(text=text),
            pytest.raises(ValueError, match="Please give one whole number, such as 2 or twelve"),
        ):
            parse.number(text)


@given(st.integers(0, 999_999))
def test_every_number_in_words_is_read_back(value: int) -> None:
    assert parse.number(num2words(value).replace(",", "")) == value


def test_yes_and_no_are_understood(subtests: pytest.Subtests) -> None:
    rows = dict.fromkeys(
        ("yes", "Yes!", "yeah", "sure", "OK.", "yes please", "👍", "👍🏽👍🏽", "yes yes", "✔️", "oui"), True
    )
    rows |= dict.fromkeys(("no", "Nope", "no, thanks", "👎🏿", "No no no", "Don’t", "nein"), False)
    for text, meant in rows.items():
        with subtests.test(text=text):
            assert parse.yes_no(text) is meant
    for text in ("", "maybe", "yes but later", "yes no", "not sure", "👍👎"):
        with subtests.test(text=text), pytest.raises(ValueError, match="Please answer yes or no"):
            parse.yes_no(text)


def test_a_duration_is_read(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, float]] = [
        ("in 20 min", 20),
        ("1h30", 90),
        ("1h 30m", 90),
        ("1.5 hours", 90),
        ("1,5 h", 90),
        ("0.125 h", 7.5),
        ("1000 seconds", 1000 / 60),
        ("an hour and a half", 90),
        ("half an hour", 30),
        ("a quarter of an hour", 15),
        ("two hours", 120),
        ("a couple of hours", 120),
        ("twenty-one minutes", 21),
        ("2 days", 2880),
        ("1 week, 2 days and 3 hours", 10_080 + 2880 + 180),
        ("90 seconds", 1.5),
    ]
    for text, minutes in rows:
        with subtests.test(text=text):
            assert parse.duration(text) == timedelta(minutes=minutes)


def test_what_is_no_duration_is_refused_with_a_sentence(subtests: pytest.Subtests) -> None:
    rows = dict.fromkeys(
        ("", "90", "soon", "1 month", "1h90", "20 min ago", "5 apples", "and", "1 h foo 3 min"),
        "Please give a length of time, such as 20 min, 1h30 or 2 days",
    )
    rows |= dict.fromkeys(("0 min", "999999999 weeks"), "such as 20 min")
    rows |= {
        "1,000 seconds": "1,000 could be 1000 or 1. Please write it like this.",
        "in 1.500 hours": "1.500 could be 1500 or 1.5. Please write it like this.",
        "2 h 10,000 s": "10,000 could be 10000 or 10. Please write it like this.",
    }
    for text, sentence in rows.items():
        with subtests.test(text=text), pytest.raises(ValueError, match=re.escape(sentence)):
            parse.duration(text)


WORDS = (  # noqa: SIM905 - a list of 43 strings is harder to read
    "at on in every the a an half next this tomorrow today tonight noon midnight day days week hour min fri mon-thu dec "
    "24 7 19:30 7pm 24.12. 3/4 24/12 2026-12-24 30.2. 2 two dozen hundred and of , - * */5 1-5 31 0"
).split()


@given(st.text() | st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join))
def test_every_text_has_a_value_or_a_sentence_for_the_person(text: str) -> None:
    for read in (parse.number, parse.yes_no, parse.duration, parse.recurrence, date_time_in_paris):
        try:
            read(text)
        except ValueError as error:
            sentence = str(error)
        else:
            continue
        assert sentence[0].isalnum() or sentence[0] == "'"
        assert sentence.endswith((".", "?"))


def date_time_in_paris(text: str) -> object:
    return parse.date_time(text, timezone="Europe/Paris")
