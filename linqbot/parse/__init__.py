"""Parsers for what people write: numbers, yes or no, durations, days, dates with a time, and rhythms such as `weekdays 9:00`.

    from linqbot import parse

    parse.duration("1h30")

Each takes a text and returns a value, or raises a ValueError whose text is a sentence for the person who wrote it.
They understand English words and the number formats of most countries. They refuse what has two meanings, such as
`3/4`, instead of guessing. Each parser is imported at its first use.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import homes_of, lazy_exports

if TYPE_CHECKING:
    from linqbot.parse.dates import date_time, day, duration
    from linqbot.parse.numbers import number
    from linqbot.parse.recurrences import Recurrence, recurrence
    from linqbot.parse.yes_or_no import yes_no

__all__ = ["Recurrence", "date_time", "day", "duration", "number", "recurrence", "yes_no"]

_NAMES = {
    "linqbot.parse.dates": "date_time day duration",
    "linqbot.parse.numbers": "number",
    "linqbot.parse.recurrences": "Recurrence recurrence",
    "linqbot.parse.yes_or_no": "yes_no",
}

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, homes_of(_NAMES))
