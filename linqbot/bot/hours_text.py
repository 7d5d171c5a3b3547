"""Days with hours in a text: the rules of an author, such as `mon-fri 9-18`, and `friday 10-16 and 24 dec 9-12` of an owner.

A text is read as a whole, or refused as a whole: by a BotError if its times or its form are not understood, by a ValueError,
a sentence for the owner, if its days are not. An owner's text was translated to English before: see `hours.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import zip_longest
from typing import Final, NamedTuple

from linqbot.errors import BotError
from linqbot.language.numbers import SMALL
from linqbot.language.spoken import sentences
from linqbot.parse.dates import PART_OF_DAY, WEEKDAYS, time_of_day, translated_day
from linqbot.parse.recurrences import weekdays
from linqbot.parse.translation import MONTHS, lowered

CLOSED: Final = "closed"
SOLD_OUT: Final = "sold out"
OPEN: Final = "open"
_A_DAY: Final = timedelta(days=1)
LONGEST_DAYS: Final = 400
"""Days that are searched for an opening, and that the owner may close at once."""

_TIME: Final = r"(?:the )?(\d{1,2})(?:[:.](\d{2})|h(\d{2})?)? ?([ap]m)?(?: o'clock)?"
_SPAN: Final = re.compile(
    rf"(?<![\d.:/-])(?:\b(?:from|of|at) |(?<!the )(?=\d)){_TIME} ?(?:[-\u2013]|to|until|till|at) ?{_TIME}(?![\d:/-]|\.\d)"
    rf"|\bbetween (?:at )?{_TIME} and (?:at )?{_TIME}|\bclosed\b"
)
"""From when until when. Translated texts have `at` for *from* and *to*, too: *dalle 9 alle 12*. `the 24 at 9` is a date and a time."""
_A_MONTH: Final = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in MONTHS)
_BEFORE_MONTH: Final = re.compile(rf"(?:st|nd|rd|th)?\.? ?(?:of )?(?:{_A_MONTH})\b")
_BEHIND_MONTH: Final = re.compile(rf"(?<!\d )(?<!\d(?:st|nd|rd|th) )(?<!\d\. )(?<!of )\b(?:{_A_MONTH})\.? \Z")
_DOTTED_DATES: Final = re.compile(r"(\d{1,2})\.(?:0?[1-9]|1[0-2]) ?[-\u2013] ?\d{1,2}\.(?:0?[1-9]|1[0-2])")
_HOURS_IN_WORDS: Final = {word: str(value) for value, word in enumerate(SMALL[:13])}
_HOUR_IN_WORDS: Final = re.compile(rf"\b({'|'.join(_HOURS_IN_WORDS)})\b")
_SPOKEN: Final = re.compile(r"\b(?:half|quarter) (?:past|to) (?:1[0-2]|[1-9])\b")
_PART: Final = "morning|afternoon|evening"
_HOUR: Final = r"(?:1[0-2]|[1-9])(?::\d\d)?(?![\d:])"
_IN_PARTS: Final = re.compile(
    rf"(?:\b(?:this )?(?P<before>{_PART}|tonight) )?(?:(?:from|of|at) )?(?P<opens>{_HOUR})(?: (?:in the )?(?P<behind>{_PART}))?"
    rf"(?P<to> ?(?:[-\u2013]|to|until|till|at) ?)(?:(?P<before_end>{_PART}) )?(?P<closes>{_HOUR})(?: (?:in the )?(?P<end>{_PART}))?"
)
"""Times with their part of the day: `afternoon 2-5`, `9 in the morning to 5 in the afternoon`."""
_AND: Final = re.compile(r"\s*([,;&+]|\band\b)\s*")
_TO: Final = re.compile(r"\s+(?:to|until|till|through)\s+|\s*[-\u2013~]\s*")
_TO_IN_DIGITS: Final = re.compile(
    rf"\A((?:the )?\d.*) (?:at the (?=\d)|(?:at|the) (?=\d{{1,2}}(?:th)?(?:\.? (?:of )?(?:{_A_MONTH})\b|[./]\d)))"
)
"""Between two dates, in texts that were translated: `of 24 december the 2 january`, but not `24 december at 9`."""
COMMAND: Final = r"\b(open|closed|sold out|fully booked)\b"
_ISO_DATE: Final = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_BARE_DAY: Final = re.compile(r"(the )?(\d{1,2})(st|nd|rd|th)?\.?")
_OF_A_MONTH: Final = re.compile(
    rf"(?:the )?(?P<day>\d{{1,2}})(?P<month>\. ?\d{{1,2}}\b.*|(?:st|nd|rd|th)?\.? (?:of )?(?:{_A_MONTH})\b.*)"
)
_TIME_AT_END: Final = re.compile(
    rf"(?:[ ,]*(?:\b(?:from|of|at|until|till|to) )?\b{_TIME}(?: ?(?:[-\u2013]|to|until|till|at|and) ?{_TIME})?)\Z"
)
_EDGES: Final = re.compile(r"\A(?:[\s,;:.&+]|and\b|on\b|from\b)+|(?:[\s,;:.&+]|\band|\bon|\bfrom)+\Z")
_EXAMPLE: Final = "Write it like: mon-fri 9-18, sat 9-12 14-16, sun closed."


class Span(NamedTuple):
    """The minutes of a day, from midnight, at which it opens and closes. A night ends after minute 1440."""

    opens: int
    closes: int

    def __str__(self) -> str:
        closes = self.closes if self.closes <= 1440 else self.closes - 1440
        return f"{self.opens // 60}:{self.opens % 60:02}-{closes // 60}:{closes % 60:02}"


class _Days(NamedTuple):
    """The names of a day, or of the first and the last of several, in a list; and if a comma is behind them."""

    first: str
    last: str | None
    has_comma: bool


def rules(rule: str, *, guesses: bool = False) -> dict[int, str]:
    """Return the hours of each weekday that a rule names, as stored; Monday is 0. Raises BotError if it is no such rule.

    `guesses` takes `9-5` for `9-17`: for an owner, who is shown what was understood.
    """
    found, rest = _groups(with_clock_times(lowered(str(rule))), rule, guesses=guesses)
    if rest or not found:
        _weekdays(rule, rest)
        raise BotError(f"Hours({rule!r}) has no times of day for some of its days. {_EXAMPLE}")
    return {day: hours for named, hours in found for day in (_weekdays(rule, named) if named else range(7))}


def days_with_hours(text: str, today: date) -> dict[date, str | None]:
    """Return the days that a text names, each with its hours, as stored; None for days without hours.

    Raises:
        BotError: the text has times that are not understood, or too many days, or says two things about one day.
        ValueError: it has words that name no day; the error's text is a sentence for the owner.
    """
    if PART_OF_DAY.search(text):
        raise BotError("A part of a day needs its hours, such as 9-12.")
    groups, rest = _groups(text, text, guesses=True)
    if groups and rest:
        raise BotError("The text has no hours for some of its days.")
    found = dict[date, str | None]()
    said: Sequence[tuple[str, str | None]] = groups or [(rest, None)]
    for named, hours in said:
        days = _listed(named, today) if named else [today]
        if found.keys() & set(days):
            raise BotError("The text says two things about one day.")
        found |= dict.fromkeys(days, hours)
    return found


def _groups(text: str, rule: str, *, guesses: bool) -> tuple[list[tuple[str, str]], str]:
    """Return the names of days in a text, each group with its hours, as stored, and what is left of the text at its end.

    The first group has no names if none stand before the first hours. Raises BotError if hours are not understood.
    """
    groups: list[tuple[str, list[Span]]] = []
    end = 0
    matches = [match for match in _SPAN.finditer(text) if not _are_dates(match)]
    for match in matches:
        named, is_closed = _EDGES.sub("", text[end : match.start()]), match[0] == CLOSED
        end = match.end()
        if is_closed and not named and match is matches[-1]:  # "closed sunday"
            named, end = _EDGES.sub("", text[end:]), len(text)
        if is_closed and not named and groups:
            raise BotError(f"Hours({rule!r}) does not say which days are closed. {_EXAMPLE}")
        if not groups or (named and named != groups[-1][0]):
            groups.append((named, []))
        elif is_closed or not groups[-1][1]:
            raise BotError(f"Hours({rule!r}) says that it is both open and closed. {_EXAMPLE}")
        if not is_closed:
            groups[-1][1].append(_span(rule, match, guesses=guesses))
    found = [(named, " ".join(map(str, sorted(spans))) or CLOSED) for named, spans in groups]
    return found, _EDGES.sub("", text[end:])


def _are_dates(match: re.Match[str]) -> bool:
    """Return True if what looks like times of day are dates: `24-26 dec`, `dec 24-26`, `24.12-26.12`."""
    text = match.string
    if _BEFORE_MONTH.match(text, match.end()) or _BEHIND_MONTH.search(text[: match.start()]):
        return True
    dates = _DOTTED_DATES.fullmatch(match[0])
    return dates is not None and int(dates[1]) > 23


def with_clock_times(text: str) -> str:
    """Return a text in lower-case English with its times in digits: `half past nine` is `9:30`."""
    text = re.sub(r"\b([ap])\. ?m\b\.?", r"\1m", text)
    text = _HOUR_IN_WORDS.sub(lambda match: _HOURS_IN_WORDS[match[0]], text)
    text = _SPOKEN.sub(lambda match: f"{time_of_day(match[0], part_of_day='morning')[0]:%H:%M}", text)
    text = _IN_PARTS.sub(_in_halves, text)
    text = re.sub(r"\bmidnight(?= ?(?:[-\u2013]|to|until|till|at)\b)", "0:00", text)
    return re.sub(r"\bmidnight\b", "24:00", re.sub(r"\b(?:noon|midday)\b", "12:00", text))


def _in_halves(match: re.Match[str]) -> str:
    """Return times with am and pm for the parts of the day that are said with them."""
    first, last = match["before"] or match["behind"], match["before_end"] or match["end"]
    if first is None and last is None:
        return match[0]
    opens, closes = (int(match[each].partition(":")[0]) % 12 for each in ("opens", "closes"))
    if opens < closes:  # "2 to 5 in the afternoon", but 9 to 5
        first, last = first or last, last or first
    halves = ["" if each is None else "am" if each == "morning" else "pm" for each in (first, last)]
    day = "today " if match["before"] == "tonight" else ""
    return f"{day}{match['opens']}{halves[0]}{match['to']}{match['closes']}{halves[1]}"


def _weekdays(rule: str, text: str) -> set[int]:
    text = re.sub(r"\bevery\b|\bon\b|[:;.]", " ", text)
    try:
        return weekdays(text)
    except ValueError:
        raise BotError(f"Hours({rule!r}) has a word that is no day. {_EXAMPLE}") from None


def _span(rule: str, match: re.Match[str], *, guesses: bool) -> Span:
    given = match.groups()
    given = given[8:] if given[0] is None else given[:8]
    opens, closes = _minute(given[:4]), _minute(given[4:])
    if opens is None or closes is None or opens >= 1440:
        raise BotError(f"Hours({rule!r}): {match[0]!r} has a time that no clock shows. {_EXAMPLE}")
    if closes > opens:
        return Span(opens, closes)
    if opens < 720 and given[7] is None:  # nearly always 5 in the afternoon is meant
        likely = Span(opens, closes + 720 if opens < closes + 720 else 1440)
        if not guesses:
            raise BotError(f"Hours({rule!r}): {match[0]!r} ends before it begins. Did you mean {likely}?")
        return likely
    return Span(opens, closes + 1440)


def _minute(given: Sequence[str | None]) -> int | None:
    """Return the minute of the day of a time's hour, its minutes in two forms, and am or pm; None if there is no such time."""
    hour, minute = int(given[0] or 0), int(given[1] or given[2] or 0)
    if given[3] is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if given[3] == "pm" else 0)
    return hour * 60 + minute if minute < 60 and hour * 60 + minute <= 1440 else None


@lru_cache
def spans(stored: str) -> tuple[Span, ...]:
    """Return the hours of a day that are stored, such as `9:00-12:00 18:00-2:00`; none for `closed` and `sold out`."""
    return tuple(_stored_span(*map(int, re.split("[-:]", each))) for each in stored.split() if "-" in each)


def _stored_span(*numbers: int) -> Span:
    opens, closes = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    return Span(opens, closes if closes > opens else closes + 1440)


def _ranges(text: str) -> list[_Days]:
    """Return the days that a text lists. A number takes the month of the date behind it: `24 and 25 dec`, `24-26 dec`."""
    text = _ISO_DATE.sub(r"\3.\2.\1", re.sub(r", ?(?=\d{4}\b)", " ", text))
    pieces = _AND.split(text)
    found = [
        (_TO.split(_TO_IN_DIGITS.sub(r"\1 to ", _EDGES.sub("", piece).removeprefix("of "))), mark)
        for piece, mark in zip(pieces[::2], [*pieces[1::2], ""], strict=True)
        if _EDGES.sub("", piece)
    ]
    if any(len(ends) > 2 for ends, _ in found):
        raise ValueError(sentences().day)
    following: re.Match[str] | None = None
    for ends, _ in reversed(found):
        for n in reversed(range(len(ends))):
            bare = _BARE_DAY.fullmatch(ends[n])
            if bare is not None and following is not None and int(bare[2]) < int(following["day"]):
                ends[n] = bare[2] + following["month"]
            following = _OF_A_MONTH.fullmatch(ends[n])
    return [_Days(ends[0], ends[1] if len(ends) == 2 else None, mark == ",") for ends, mark in found]


def _listed(text: str, today: date) -> list[date]:
    """Return the days that a text names, such as `24 dec - 2 jan` or `friday and saturday`. Raises as `days_with_hours` does."""
    try:
        return _days_of(text, today)
    except ValueError:
        without_time = _TIME_AT_END.sub("", text)
        if re.search(COMMAND, text) or (without_time != text and _is_list(without_time, today)):
            raise BotError("The text names days, but what else it says is not understood.") from None
        raise


def _is_list(text: str, today: date) -> bool:
    try:
        return bool(_days_of(text, today))
    except ValueError:
        return False


def _days_of(text: str, today: date) -> list[date]:
    found, listed = list[date](), _ranges(text)
    for each, following in zip_longest(listed, listed[1:]):
        first = _day_named(each.first, today, found)
        last = first if each.last is None else _day_named(each.last, first, [first])
        is_weekday = each.has_comma and each.first in WEEKDAYS and each.last is None
        if is_weekday and following is not None and _confirms(first, following.first, today):
            continue
        if (last - first).days >= LONGEST_DAYS:
            raise BotError("These are too many days.")
        found += [first + n * _A_DAY for n in range((last - first).days + 1)]
    return found


def _confirms(weekday: date, text: str, today: date) -> bool:
    """Return True if a weekday stands in front of a date that is on this weekday: `friday, 27 nov` is one day."""
    return text not in WEEKDAYS and _day_named(text, today, []).weekday() == weekday.weekday()


def _day_named(text: str, today: date, before: Sequence[date]) -> date:
    """Return the first day of a name from today on; a number alone counts from the day that was named before it."""
    if (bare := _BARE_DAY.fullmatch(text)) is not None and (before or bare[1] or bare[3]):
        text, today = f"the {bare[2]}", before[-1] if before else today
    return translated_day(text, datetime.combine(today, time(12), UTC))
