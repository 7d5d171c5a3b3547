"""Numbers, days and times in the language of the turn, as `linqbot.parse` reads them back."""

from __future__ import annotations

from datetime import date, datetime, time

from linqbot.language.spoken import speaking, spoken


def written(value: date | time | int, *, language: str | None = None) -> str:
    """Return a number, a day, a time, or a day with its time as people write it.

    It needs the extra `languages`: pip install 'linqbot[languages]'.

    Args:
        value: A whole number, of which those from 0 to 100 are words; a date, a time or a datetime, which are written to the
            minute and without their time zone.
        language: A code such as `fr`; None for the language of the turn.
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
        return _time(value) if isinstance(value, time) else _number(value)


def day_in_words(value: date) -> str:
    """Return a day, or a day with its time, in the language of the turn; in English without the extra `languages`."""
    if spoken().words is not None:
        return written(value)
    at = f" {value:%H:%M}" if isinstance(value, datetime) else ""
    return f"{value:%A} {value.day} {value:%B %Y}{at}"


def short_weekday(number: int) -> str:
    """Return the short name of a weekday, such as `Mon` for 0, in the language of the turn."""
    if (words := spoken().words) is None:
        return f"{date(2001, 1, 1 + number):%a}"
    from babel.dates import get_day_names

    # In Japanese the short name is one character, which means other things, too.
    text: str = get_day_names("abbreviated" if words.has_spaces else "wide", locale=spoken().code)[number]
    return text


def amount(cents: int, currency: str) -> str:
    """Return an amount of money, such as `$12.50`, in the language of the turn."""
    if spoken().words is None:
        return f"${cents // 100}.{cents % 100:02}"
    from babel.numbers import format_currency

    text: str = format_currency(cents / 100, currency.upper(), locale=spoken().code)
    return text


def _day(value: date) -> str:
    from babel.dates import format_date

    text: str = format_date(value, "full", locale=spoken().code)
    return text


def _time(value: time) -> str:
    from babel.dates import format_time

    text: str = format_time(value.replace(tzinfo=None), "short", locale=spoken().code)
    return text


def _number(value: int) -> str:
    from num2words import num2words  # type: ignore[import-untyped]

    if not 0 <= value <= 100:
        return str(value)
    words = spoken().words
    text: str = num2words(value, lang=words.numbers[0] if words else "en")
    return text
