"""Numbers, days and times in the language of the turn, as `linqbot.parse` reads them back."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from functools import lru_cache
from typing import Final

from linqbot.language.numbers import number_in_words
from linqbot.language.spoken import speaking, spoken

_TYPOGRAPHIC_SPACES: Final = re.compile("[\u00a0\u2009\u202f]")
_POINT: Final = re.compile(r"(?<=\d)\.(?=\d)")


def written(value: date | time | int, *, language: str | None = None) -> str:
    """Return a number, a day, a time, or a day with its time as people of a language and country write it.

    `en` and `en-GB` write `Friday 20 November 2026 at 19:30`. All others need the extra `languages` for days and times, also
    English of another country, such as `en-US`.

    Args:
        value: A whole number, of which those from 0 to 100 are words; a date, a time or a datetime, which are written to the
            minute and without their time zone.
        language: A code such as `fr` or `fr-CA`; None for the language of the turn.
    Raises:
        ValueError: linqbot does not speak the language.

    Example:
        `written(table)` is `samedi 21 novembre 2026 à 19:30` in French.
    """
    with speaking(language):
        if isinstance(value, datetime):
            return spoken().sentences.day_at_time.format(day=_day(value.date()), time=_time(value.time()))
        if isinstance(value, date):
            return _day(value)
        if isinstance(value, time):
            return _time(value)
        return number_in_words(value, spoken().words, spoken().country)


def short_weekday(number: int) -> str:
    """Return the short name of a weekday, such as `Mon` for 0, in the language of the turn."""
    if (words := spoken().words) is None:
        return f"{date(2001, 1, 1 + number):%a}"
    from babel.dates import get_day_names

    # In Japanese the short name is one character, which means other things, too.
    text: str = get_day_names(
        "abbreviated" if words.has_spaces else "wide", locale=_locale(spoken().code, spoken().country)
    )[number]
    return text


def amount(cents: int, currency: str) -> str:
    """Return an amount of money, such as `$12.50`, in the language of the turn."""
    if spoken().words is None:
        return f"${cents // 100}.{cents % 100:02}"
    from babel.numbers import format_currency

    return _typed(format_currency(cents / 100, currency.upper(), locale=_locale(spoken().code, spoken().country)))


def _day(value: date) -> str:
    if _is_plain_english():
        return f"{value:%A} {value.day} {value:%B} {value.year}"
    from babel.dates import format_date

    return _typed(format_date(value, "full", locale=_locale(spoken().code, spoken().country)))


def _time(value: time) -> str:
    if _is_plain_english():
        return f"{value:%H:%M}"
    from babel.dates import format_time

    # With a point it would be read as a date: 10.12 is 10 December.
    return _POINT.sub(
        ":", _typed(format_time(value.replace(tzinfo=None), "short", locale=_locale(spoken().code, spoken().country)))
    )


def _is_plain_english() -> bool:
    language = spoken()
    return language.words is None and language.country is None


@lru_cache
def _locale(code: str, country: str | None) -> str:
    """Return the name of a language and its country in CLDR; that of the language alone if CLDR does not know both."""
    from babel.localedata import exists

    name = f"{code}_{country}"
    return name if country is not None and exists(name) else code


def _typed(text: str) -> str:
    """Return a text with the spaces of a keyboard: programs and other people's parsers do not know those of CLDR."""
    return _TYPOGRAPHIC_SPACES.sub(" ", text)
