"""Days, times and lengths of time as people write them: `friday 19:30`, `24.12. 18:00`, `in 20 min`, `half an hour`.

Wall time in a time zone is converted here too, also on the days on which the clocks are changed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

from linqbot.clock import WrongCall, zone
from linqbot.language.numbers import SMALL
from linqbot.language.spoken import sentences, speaking, spoken
from linqbot.parse.numbers import in_words
from linqbot.parse.translation import DAYS, MONTHS, clocks, english, lengths, lowered

WEEKDAYS: Final = {name: index for index, day in enumerate(DAYS) for name in (day, f"{day}s", day[:3])} | {
    "tues": 1,
    "wednes": 2,
    "thur": 3,
    "thurs": 3,
}
"""The number of each weekday, by its names and short forms; Monday is 0."""
_MONTH_OF: Final = {name: index + 1 for index, month in enumerate(MONTHS) for name in (month, month[:3])} | {"sept": 9}

PART_OF_DAY: Final = re.compile(r"\b(?:in the )?(?:morning|afternoon|evening)\b|\b(?:at )?night\b")
_EVENING = re.compile(r"\b(?:evening|afternoon|night|tonight)\b")
_MORNING = re.compile(r"\bmorning\b")
_NIGHT = re.compile(r"\b(?:evening|night|tonight)\b")
_HOURS = SMALL[1:13]
_HOUR = rf"\d{{1,2}}|{'|'.join(_HOURS)}"
_CLOCK: Final = re.compile(
    r"\b(?:at\s+)?(?:"
    r"(?P<noon>noon|midday)|(?P<midnight>midnight)"
    r"|(?P<h12>\d{1,2})(?:[:.](?P<m12>\d{2}))?\s*(?P<half>a\.?m\b\.?|p\.?m\b\.?)"
    r"|(?P<h24>\d{1,2}):(?P<m24>\d{2})(?!\d)(?:\s*(?:h|uhr|o'clock)\b)?"
    r"|(?P<hh>\d{1,2})\s?h(?:\s?(?P<mh>\d{2}))?\b"
    r")"
)
_SPOKEN = re.compile(rf"\b(?:at\s+)?(?P<part>half|quarter) (?P<side>past|to) (?P<hour>{_HOUR})\b(?![:./])")
_BARE_HOUR = re.compile(rf"\bat\s+(?P<hour>{_HOUR})(?:\s+o'clock)?\b(?![:./])|\b(?P<clock>{_HOUR})\s+o'clock\b")
# `10.30` is a time, because there is no month 30. `10.12` is a date, except after `at`.
_DOTTED_CLOCK = re.compile(
    r"(?:\bat\s+(?P<hour>\d{1,2})\.(?P<minute>\d{2})|(?<![\d.])(?P<clock>\d{1,2})\.(?P<past>1[3-9]|[2-5]\d))\b(?!\.)"
)
_ISO = re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ Tt]\d{2}:\d{2}(?::|Z|z|[+-])")
_DOTTED = re.compile(r"\b(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})(?:\.\s?(?P<year>\d{4})?|\b)")
_SLASHED = re.compile(r"\b(?P<one>\d{1,2})/(?P<two>\d{1,2})(?:/(?P<year>\d{4}))?\b")
_MONTH_NAMES = "|".join(sorted(_MONTH_OF, key=len, reverse=True))
_NAMED = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?(?P<month>{_MONTH_NAMES})\b"
    rf"|(?P<month2>{_MONTH_NAMES})\.?\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:))\.?,?(?:\s+(?P<year>\d{{4}})\b(?!:))?"
)
_WEEKDAY = re.compile(
    rf"\b(?:(?P<next>next)\s+|this\s+|coming\s+)?(?P<name>{'|'.join(sorted(WEEKDAYS, key=len, reverse=True))})\b"
)
_RELATIVE = re.compile(
    r"\b(?P<word>the day after tomorrow|day after tomorrow|tomorrow|today|tonight|yesterday|this (?:morning|afternoon|evening))\b"
)
_OF_MONTH = re.compile(r"\b(?:the\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?|(?P<day2>\d{1,2})(?:st|nd|rd|th))\b(?![:./])")
_LENGTH = re.compile(r"in (?!the\b).+|.+ from (?:now|today)")
IN_DAYS: Final = re.compile(r"(?<![a-z])(?:d|days?|w|wks?|weeks?)\b")
_FILLERS = re.compile(rf"\b(?:on|at|the|of|by|around|about|please|o'clock)\b|{PART_OF_DAY.pattern}")
_A_DAY: Final = timedelta(days=1)


def date_time(text: str, *, timezone: str, now: datetime | None = None, language: str | None = None) -> datetime:
    """Return the moment that a text names, which is after `now`.

    A weekday means the next one, and may be today; with `next` it is never today. `the 4th` means the next such day of a
    month, a date without a year the next such date, and a time without a day the next such time. At a time that the clocks skip or show twice,
    `linqbot.parse` uses the moment after the gap, or the first of the two.

    Args:
        text: A day and a time, a time alone, or a length of time after `in`. A number of days or weeks needs a time, too.
        timezone: The IANA name of the person's time zone.
        now: The present, with a time zone: `ctx.now` in a handler. None is the time of the wall clock.
        language: The code of the text's language, such as `fr`; None for that of the turn, or else English.
    Returns:
        The moment, in that time zone.
    Raises:
        ValueError: the text names no moment, names one that has passed, or has two meanings, such as `3/4` or `at 7`.
            Or there is no such time zone, or `now` has none.

    Example:
        `await ctx.ask("When?", kind=partial(parse.date_time, timezone="Europe/Paris"))`
    """
    with speaking(language):
        return _date_time(*_read(text, timezone, now))


def any_date_time(text: str, *, timezone: str, now: datetime, is_past: bool = False) -> datetime:
    """Return the moment that a text names, as `date_time` does, and also one that has passed if the year is said.

    A moment with seconds or an offset, as ISO 8601 writes it, is read too. Raises ValueError with a sentence for the person.

    Args:
        is_past: True for a moment that must have passed, so that its day needs no year.
    """
    if _ISO_TIME.match(text.strip()):
        try:
            at = datetime.fromisoformat(text.strip())
            return instant(at, zone(timezone)) if at.tzinfo is None else at.astimezone(zone(timezone))
        except (ValueError, OverflowError):
            pass  # the words say what is wrong
    return _date_time(*_read(text, timezone, now), takes_passed=True, is_past=is_past)


def _date_time(plain: str, now: datetime, *, takes_passed: bool = False, is_past: bool = False) -> datetime:
    days: list[date] | None = None
    is_dated = False
    length, _, at = plain.partition(" at ")
    if _LENGTH.fullmatch(length):
        ahead = _length(length, otherwise=sentences().day_and_time)
        if ahead % _A_DAY or not IN_DAYS.search(length):
            if at:
                raise ValueError(sentences().day_and_time)
            return (now.astimezone(UTC) + ahead).astimezone(now.tzinfo)
        days, plain = [(now + ahead).date()], f"at {at}" if at else ""
    plain = clocks(plain)
    clock, before, after = time_of_day(plain, part_of_day=plain)
    rest = f"{before} {after}"
    if days is None and (named := _days(rest, now.date())) is not None:
        days, rest, is_dated = named
    clock, rest = _bare_hour(clock, rest, plain)
    if rest or (clock is None and days is None):
        raise ValueError(sentences().past_time if is_past else sentences().day_and_time)
    if clock is None:
        raise ValueError(sentences().which_time)
    if takes_passed and days is not None and len(days) == 1 and (is_dated or is_past):
        return _at(days[0], clock, now)
    return _first_after(days or [now.date(), (now + _A_DAY).date()], clock, now)


def _bare_hour(clock: time | None, rest: str, part_of_day: str) -> tuple[time | None, str]:
    """Return the time of day, which may be a bare hour in the rest of a text, and the words that are left."""
    rest = _without_fillers(rest)
    if clock is None and re.fullmatch(_HOUR, rest):
        clock, rest, _ = time_of_day(f"at {rest}", part_of_day=part_of_day)
    return clock, rest


def clock_time(text: str) -> time:
    """Return the time of day that a text names, such as `19:30`, `7pm`, `noon` or `half past seven in the evening`.

    Raises ValueError with a sentence for the person, also for what could be in the morning or in the evening, such as 7.
    """
    plain = clocks(_plain(text))
    clock, before, after = time_of_day(plain, part_of_day=plain)
    clock, rest = _bare_hour(clock, f"{before} {after}", plain)
    if clock is None or rest:
        raise ValueError(sentences().clock_time)
    return clock


def day(text: str, *, timezone: str, now: datetime | None = None, language: str | None = None) -> date:
    """Return the day that a text names, which is today or later.

    Days are read as by `date_time`.

    Args:
        text: A day without a time, or a number of days or weeks after `in`.
        timezone, now, language: As for `date_time`.
    Raises:
        ValueError: the text names no single day, such as `next week`, names one that has passed, or has two meanings, such
            as `3/4`. Or there is no such time zone, or `now` has none.

    Example:
        `await ctx.ask("Which day?", kind=partial(parse.day, timezone="Europe/Paris"))`
    """
    with speaking(language):
        return translated_day(*_read(text, timezone, now))


def any_day(text: str, *, timezone: str, now: datetime, is_past: bool = False) -> date:
    """Return the day that a text names, as `day` does, and also one that has passed if the year is said, or `yesterday`.

    Raises ValueError with a sentence for the person, as `day` does.

    Args:
        is_past: True for a day that must have passed, such as a birthday.
    """
    plain, now = _read(text, timezone, now)
    named = None if _LENGTH.fullmatch(plain) else _days(plain, now.date())
    if named is not None and named.is_dated and not _without_fillers(named.rest):
        return named.days[0]
    if is_past and (named is None or _without_fillers(named.rest)):
        raise ValueError(sentences().past_day)
    return translated_day(plain, now)


def translated_day(plain: str, now: datetime) -> date:
    """Return the day that a text in lower-case English names, as of `now` in the person's zone. Raises as `day` does."""
    if _LENGTH.fullmatch(plain):
        ahead = _length(plain, otherwise=sentences().day)
        if ahead % _A_DAY or not IN_DAYS.search(plain):
            raise ValueError(sentences().day)
        return (now + ahead).date()
    named = _days(plain, now.date())
    if named is None or _without_fillers(named.rest):
        raise ValueError(sentences().day)
    for each in named.days:
        if each >= now.date():
            return each
    raise ValueError(sentences().day_passed)


def _read(text: str, timezone: str, now: datetime | None) -> tuple[str, datetime]:
    """Return a text in lower case with single spaces, and the present in a time zone."""
    where = zone(timezone)
    now = datetime.now(UTC) if now is None else now
    if now.tzinfo is None:
        raise WrongCall("now= has no time zone. Give one: datetime.now(UTC).")
    return _plain(text), now.astimezone(where)


def _plain(text: str) -> str:
    return re.sub(r"(?<=\d)t(?=\d)", " ", lowered(english(text)).strip(" !?,"))


def _length(text: str, *, otherwise: str) -> timedelta:
    try:
        return _duration(text.replace(" from today", " from now"))
    except ValueError:
        raise ValueError(otherwise) from None


def _without_fillers(text: str) -> str:
    return _FILLERS.sub("", text).strip(" .,;-")


def time_of_day(text: str, *, part_of_day: str = "") -> tuple[time | None, str, str]:
    """Return a time of day in a text in lower case, and the texts before and after it.

    None if the text has none: the text before it is the whole text then. Of several times this is not always the first,
    because times with minutes are found before bare hours. Raises ValueError if the time does not exist, or could be in
    the morning or in the evening, such as a bare hour without a `part_of_day`, a text that may say `evening`.
    """
    for pattern in (_SPOKEN, _CLOCK, _DOTTED_CLOCK, _BARE_HOUR):
        if match := pattern.search(text):
            clock = _clock(match, part_of_day)
            return clock, text[: match.start()], text[match.end() :]
    return None, text, ""


def _clock(match: re.Match[str], part_of_day: str) -> time:
    given, evening = match.groupdict(), _EVENING.search(part_of_day)
    if given.get("noon"):
        return time(12)
    if given.get("midnight"):
        return time(0)
    named = given.get("h12") or given.get("h24") or given.get("hh") or given.get("hour") or given.get("clock") or "0"
    hour = _HOURS.index(named) + 1 if named in _HOURS else int(named)
    minute = int(
        given.get("m12") or given.get("m24") or given.get("mh") or given.get("minute") or given.get("past") or 0
    )
    if part := given.get("part"):
        is_before = given["side"] == "to"
        hour, minute = (hour - is_before) or 12, 30 if part == "half" else 45 if is_before else 15
    if half := given.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError(sentences().which_time)
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    elif (hour <= 12 and match.re in (_BARE_HOUR, _SPOKEN) and not (evening or _MORNING.search(part_of_day))) or (
        # A night ends in the morning, and its twelve is not that of noon.
        hour in (12, 1, 2, 3, 4) and _NIGHT.search(part_of_day)
    ):
        raise ValueError(sentences().morning_or_evening.format(hour=f"{hour}:{minute}" if minute else hour))
    elif evening and 1 <= hour <= 11:
        hour += 12
    if hour > 23 or minute > 59:
        raise ValueError(sentences().no_such_time.format(hour=hour, minute=minute))
    return time(hour, minute)


class _Named(NamedTuple):
    """The days that a text may mean, the earliest first, and the text without them.

    `is_dated`: True if the text gives the year, or says `yesterday`. Such a day may have passed.
    """

    days: list[date]
    rest: str
    is_dated: bool = False


def _days(text: str, today: date) -> _Named | None:
    """Return the days that a text may mean; None if it names none."""
    for pattern in (_RELATIVE, _ISO, _NAMED, _SLASHED, _DOTTED, _WEEKDAY, _OF_MONTH):
        match = pattern.search(text)
        if match is None:
            continue
        rest = text[: match.start()] + " " + text[match.end() :]
        if pattern is _RELATIVE:
            word = match["word"]
            ahead = 2 if "after" in word and "tomorrow" in word else 1 if word == "tomorrow" else 0
            if word == "yesterday":
                return _Named([today - _A_DAY], rest, is_dated=True)
            return _Named([today + timedelta(days=ahead)], rest)
        if pattern is _WEEKDAY:
            weekday = WEEKDAYS[match["name"]]
            if match["next"]:
                return _Named([today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)], rest)
            first = today + timedelta(days=(weekday - today.weekday()) % 7)
            return _Named([first, first + timedelta(days=7)], rest)
        # A weekday in front of a date only confirms it: "Friday, 24 Dec".
        rest = _WEEKDAY.sub(" ", rest)
        has_year = False
        if pattern is _OF_MONTH:
            month, number = None, int(match["day"] or match["day2"])
            months = [divmod(today.month - 1 + n, 12) for n in range(4)]
            found = [_date(today.year + years, index + 1, number) for years, index in months]
        else:
            month, number = _month_and_day(match, pattern)
            has_year = match["year"] is not None
            years = [int(match["year"])] if match["year"] else range(today.year, today.year + 9)  # with a leap year
            found = [_date(year, month, number) for year in years]
        if existing := [each for each in found if each is not None]:
            return _Named(existing, rest, has_year)
        raise ValueError(sentences().no_such_date.format(date=_shown(match, number, month)))
    return None


def _shown(match: re.Match[str], number: int, month: int | None) -> str:
    """Return a date that does not exist as it was written, or in digits if it was translated."""
    words = spoken().words
    if words is None:
        return match.group().strip(" .,")
    if month is None:
        return str(number)
    return f"{number}/{month}" if words.is_day_first else f"{month}/{number}"


def _month_and_day(match: re.Match[str], pattern: re.Pattern[str]) -> tuple[int, int]:
    if pattern is _NAMED:
        return _MONTH_OF[match["month"] or match["month2"]], int(match["day"] or match["day2"])
    if pattern is not _SLASHED:
        return int(match["month"]), int(match["day"])
    one, two = int(match["one"]), int(match["two"])
    if (words := spoken().words) is not None and one <= 12 and two <= 12:
        return (two, one) if words.is_day_first else (one, two)
    if one <= 12 and two <= 12 and one != two:
        year = f" {match['year']}" if match["year"] else ""
        raise ValueError(sentences().two_dates.format(given=match.group(), day=one, month=f"{_short(two)}{year}"))
    return (one, two) if two > 12 else (two, one)


def _short(month: int) -> str:
    return MONTHS[month - 1][:3].capitalize()


def _first_after(days: list[date], clock: time, now: datetime) -> datetime:
    for each in days:
        at = _at(each, clock, now)
        if at.astimezone(UTC) > now.astimezone(UTC):  # times of one zone are compared by their wall time
            return at
    raise ValueError(sentences().time_passed)


def _at(day: date, clock: time, now: datetime) -> datetime:
    """Return the moment of a time of day on a day, in the time zone of the present."""
    try:
        at = instant(datetime.combine(day, clock), zone(str(now.tzinfo)))
        at.astimezone(UTC)
    except OverflowError:
        raise ValueError(sentences().day_and_time) from None
    return at


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 604_800),
}
LONGEST_S: Final = 100 * 366 * 86_400
"""About a hundred years. Longer durations are refused, before a date computed from them is out of range."""

_PAIR = re.compile(r"(?P<digits>\d{1,9}(?:[.,]\d{1,3})?)\s*(?P<unit>[a-z]+)\.?(?![a-z])")
_TWO_NUMBERS = re.compile(r"(?<![\d.,])(?P<whole>[1-9]\d{0,2})[.,](?P<rest>\d{3})(?![\d.,])")
_HOURS_MINUTES = re.compile(r"(\d{1,4})\s*h\s*(\d{1,2})(?:\s*m(?:in)?)?")
_WORDS = re.compile(r"(?P<words>[a-z][a-z -]*?)\s+(?P<unit>[a-z]+)\.?")


def duration(text: str, *, language: str | None = None) -> timedelta:
    """Return the length of time that a text gives.

    Args:
        text: Numbers in digits or words, each with a unit from seconds to weeks; `in` and `for` before it are allowed.
            Months and years are refused, because their lengths differ.
        language: The code of the text's language, such as `fr`; None for that of the turn, or else English.
    Raises:
        ValueError: the text is no length of time, is longer than a hundred years, or has two meanings, such as `1,500 s`.

    Example:
        `duration("in 20 min")`, `duration("1h30")`, `duration("an hour and a half")`
    """
    with speaking(language):
        return _duration(lengths(english(text)))


def _duration(text: str) -> timedelta:
    plain = lowered(text).strip(" .!,")
    plain = re.sub(r"^(in|for|after|within)\s+", "", plain)
    plain = re.sub(r"\s+(from now|later|please)$", "", plain)
    if match := _TWO_NUMBERS.search(plain):
        whole, rest = match["whole"], match["rest"]
        other = f"{float(f'{whole}.{rest}'):g}"
        raise ValueError(sentences().two_numbers.format(given=match.group(), one=f"{whole}{rest}", other=other))
    seconds = _seconds(plain)
    if seconds is None or not 0 < seconds <= LONGEST_S:
        raise ValueError(sentences().duration)
    return timedelta(seconds=seconds)


def _seconds(text: str) -> float | None:
    if match := _HOURS_MINUTES.fullmatch(text):
        hours, minutes = map(int, match.groups())
        return hours * 3600 + minutes * 60 if minutes < 60 else None
    total, pieces = 0.0, [piece for piece in re.split(r"\s*(?:(?<!\d),|,(?!\d)|\band\b|&|\+)\s*", text) if piece]
    last_unit = 0
    for piece in pieces:
        if piece in ("a half", "half") and last_unit:  # an hour and a half
            total += last_unit / 2
            continue
        parsed = _piece(piece)
        if parsed is None:
            return None
        seconds, last_unit = parsed
        total += seconds
    return total if pieces else None


def _piece(piece: str) -> tuple[float, int] | None:
    """Return the seconds of a piece without `and`, and those of its last unit; None if it is not a length of time."""
    if match := re.fullmatch(
        r"(?:(?:a )?half|(?P<quarter>a quarter(?: of)?|quarter))(?: an| a)? (?P<unit>[a-z]+)", piece
    ):
        unit = _UNITS.get(match["unit"])
        return None if unit is None else (unit / (4 if match["quarter"] else 2), unit)
    if match := _WORDS.fullmatch(piece):
        unit, count = _UNITS.get(match["unit"]), in_words(match["words"].replace("couple of", "couple"))
        if match["words"] in ("a", "an"):
            count = 1
        return None if unit is None or count is None else (float(count * unit), unit)
    total, end, unit = 0.0, 0, None
    for match in _PAIR.finditer(piece):
        unit = _UNITS.get(match["unit"])
        if unit is None or piece[end : match.start()].strip():
            return None
        total += float(match["digits"].replace(",", ".")) * unit
        end = match.end()
    return None if unit is None or piece[end:].strip() else (total, unit)


def instant(wall: datetime, where: tzinfo) -> datetime:
    """Return the moment at which the clocks of a zone show a wall time, given without one.

    A wall time that the clocks show twice means the first. One that they skip means the moment after the gap.
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
