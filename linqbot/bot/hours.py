"""Opening hours: rules such as `mon-fri 9-18`, closed days, and what the owner changes by a text.

`Hours` holds the author's rules. What the owner has changed is a value of the bot's state, so it outlives restarts and holds
for all processes; `Hours.current` returns the hours with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from pydantic import BaseModel

from linqbot.bot.context import Context
from linqbot.bot.filters import from_handle
from linqbot.bot.handlers import shown_as
from linqbot.bot.router import Router
from linqbot.clock import zone
from linqbot.errors import BotError
from linqbot.language.spoken import CODES, language_of, sentences, spoken
from linqbot.language.writing import short_weekday, written
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.parse.dates import WEEKDAYS, instant, translated_day
from linqbot.parse.recurrences import weekdays
from linqbot.parse.translation import DAYS, clocks, english, forms, lowered

_SPAN: Final = re.compile(
    r"(?<![\d.:/-])(\d{1,2})(?:[:.](\d{2})|h(\d{2})?)? ?([ap]m)? ?(?:-|\u2013|to|until) ?"
    r"(\d{1,2})(?:[:.](\d{2})|h(\d{2})?)? ?([ap]m)?(?![\d:/-]|\.\d)|\bclosed\b"
)
_FROM_TO: Final = (" - ", " \u2013 ", " to ", " until ")
_FROM_TO_DATES: Final = (" at ", " the ")
"""Between two dates in digits, in texts that were translated: `of 24 december the 2 january`."""
_EXAMPLE: Final = "Write it like: mon-fri 9-18, sat 9-12 14-16, sun closed."
_CLOSED: Final = "closed"
_SOLD_OUT: Final = "sold out"
_COMMANDS: Final = {
    "opening hours": ("opening hours", "hours"),
    _SOLD_OUT: (_SOLD_OUT, "fully booked"),
    _CLOSED: (_CLOSED,),
    "open": ("open",),
}
"""What the owner's texts begin or end with, in English; `Words.meanings` has the words of other languages."""
_LONGEST_DAYS: Final = 400
"""Days that are searched for an opening, and that the owner may close at once."""
_NAME: Final = "Hours"
"""The name of the state that holds the owner's changes."""
_A_DAY: Final = timedelta(days=1)
_MARKS: Final = " .,:!。！は"


class Span(NamedTuple):
    """The minutes of a day, from midnight, at which it opens and closes. A night ends after minute 1440."""

    opens: int
    closes: int

    def __str__(self) -> str:
        closes = self.closes if self.closes <= 1440 else self.closes - 1440
        return f"{self.opens // 60}:{self.opens % 60:02}-{closes // 60}:{closes % 60:02}"


class ChangedHours(BaseModel):
    """The changes of the owner, as stored: spans such as `9:00-12:00 14:00-18:00`, or `closed`, or `sold out` for a day."""

    week: dict[str, str] = {}
    days: dict[date, str] = {}


class Hours:
    """Opening hours in a time zone, on whose clocks they stay when these are changed.

    Args:
        week: Days and times: `mon-fri 9-18`, `sat 9-12 14-16`, `fri 18-2` for a night, `0-24` for each day. Of two rules for a
            day the later counts. Days that no rule names are closed.
        timezone: The IANA name of the time zone, such as `Europe/Paris`.
        closed: Days on which it is closed: dates, or texts such as `2027-01-01`.
        changed: What the owner has changed. `current` gives it.
    Raises:
        BotError: a rule, a day or the time zone is none.

    Example:
        `@bot.on_message(when=hours.closed)`
    """

    def __init__(
        self, *week: str, timezone: str, closed: Iterable[date | str] = (), changed: ChangedHours | None = None
    ) -> None:
        if not week or isinstance(closed, str):
            raise BotError('Hours() takes rules and a list of days: Hours("mon-fri 9-18", closed=["2027-01-01"], …).')
        try:
            self._zone = zone(timezone)
        except ValueError as error:
            raise BotError(f"Hours(timezone=…): {error}") from error
        self._rules, self._timezone, self._closed = week, timezone, frozenset(map(_date, closed))
        changed = changed or ChangedHours()
        # Texts as they are stored, by the number of the weekday and by date.
        self._week = dict.fromkeys(range(7), _CLOSED)
        for rule in week:
            self._week |= _rules(rule)
        self._week |= {WEEKDAYS[name]: text for name, text in changed.week.items()}
        self._days = dict.fromkeys(self._closed, _CLOSED) | changed.days

    async def open(self, event: Event, ctx: Context) -> bool:
        """Return True if it is open now: for `when=`."""
        return (await self.current(ctx)).is_open(ctx.now())

    async def closed(self, event: Event, ctx: Context) -> bool:
        """Return True if it is closed now: for `when=`."""
        return not await self.open(event, ctx)

    async def current(self, ctx: Context) -> Hours:
        """Return these hours with what the owner has changed, from yesterday on."""
        yesterday = ctx.now(self._zone).date() - _A_DAY
        changed = await ctx.state.bot(ChangedHours, name=_NAME)
        changed = ChangedHours(
            week=changed.week, days={day: text for day, text in changed.days.items() if day >= yesterday}
        )
        closed = [day for day in self._closed if day >= yesterday]
        return Hours(*self._rules, timezone=self._timezone, closed=closed, changed=changed)

    def is_open(self, at: datetime) -> bool:
        """Return True if it is open at a moment.

        Args:
            at: A time with a time zone.
        Raises:
            ValueError: `at` has no time zone.
        """
        return self._day_of(at) is not None

    def is_sold_out(self, at: datetime) -> bool:
        """Return True if the owner has written `sold out` for the day of a moment, which is then closed."""
        return self._days.get(_with_zone(at).astimezone(self._zone).date()) == _SOLD_OUT

    def next_opening(self, at: datetime) -> datetime | None:
        """Return the first moment from `at` on at which it is open, in its time zone; None if that is over a year away.

        Args:
            at: A time with a time zone. If it is open then, this is the answer.
        Raises:
            ValueError: `at` has no time zone.
        """
        at = _with_zone(at)
        first = at.astimezone(self._zone).date() - _A_DAY
        for n in range(_LONGEST_DAYS):
            for opens, closes in self._moments(first + n * _A_DAY):
                if closes > at:
                    return max(opens, at).astimezone(self._zone)
        return None

    def check(self, at: datetime) -> datetime:
        """Return a moment at which it is open: a check of an asked time, also as a pydantic validator.

        Raises:
            ValueError: it is closed then; the text is a sentence for the person.

        Example:
            `await ctx.ask("When?", kind=lambda text: hours.check(date_time(text, timezone=ZONE, now=ctx.now())))`
        """
        if self.is_open(at):
            return at
        opening = self.next_opening(at)
        raise ValueError(sentences().closed_then.format(opening="–" if opening is None else written(opening)))

    def changed_by(self, *handles: str) -> Router:
        """Return the handlers for texts by which the owner changes these hours; give them to `bot.include`.

        The owner writes `hours sat 9-14`, `closed 24 dec - 2 jan`, `open sunday 9-12`, `sold out today`, or `hours` to read
        them. A bot with another language understands its words, too. A bot has one `Hours` that is changed.

        Args:
            handles: The people who may change them.
        Raises:
            BotError: no handles were given, or one that no person can have.
        """
        router = Router()

        @router.on_message(from_handle(*handles), _is_command, gather=False)
        @shown_as("Hours.changed_by")
        async def change_hours(message: MessageReceived, ctx: Context) -> str:
            hours, changed = await self.current(ctx), await ctx.state.bot(ChangedHours, name=_NAME)
            try:
                hours.change(changed, message.text, ctx.now())
            except BotError:
                return sentences().hours_example
            except ValueError as error:
                return str(error)
            return str(await self.current(ctx))

        return router

    def __str__(self) -> str:
        """Return the hours in the language of the turn, a line for each group of equal days."""
        days = {day.toordinal(): text for day, text in self._days.items()}
        lines = [f"{first}{last} {says}" for first, last, says in _runs(self._week, "–", short_weekday)]
        lines += [f"{first}{last}: {says}" for first, last, says in _runs(days, " – ", _date_in_words)]
        return "\n".join(lines)

    def change(self, changed: ChangedHours, text: str, now: datetime) -> None:
        """Change what is stored about these hours as the owner's text says.

        Raises:
            BotError: the text is none of the commands.
            ValueError: its day cannot be understood; the text is a sentence for the owner.
        """
        command, rest = _command(text)
        changed.days = {day: spans for day, spans in changed.days.items() if day in self._days}  # not those long past
        if command == "opening hours":
            if rest:
                changed.week |= {DAYS[number][:3]: spans for number, spans in _rules(rest, guesses=True).items()}
            return
        spans = None
        if command == "open" and (found := _SPAN.search(rest)) is not None:
            rest, spans = rest[: found.start()], _rules(rest[found.start() :], guesses=True)[0]
        days = dict.fromkeys(self._days_in(rest or "today", now), command)
        if command == "open":
            days = {day: spans or self._week[day.weekday()] for day in days}
            if _CLOSED in days.values():
                raise BotError("It is closed on this weekday, so the text must say from when till when it is open.")
        changed.days |= days

    def _days_in(self, text: str, now: datetime) -> list[date]:
        """Return the days that the owner means, such as `24 dec - 2 jan`. In the night, today is the day it began."""
        today = self._day_of(now) or now.astimezone(self._zone).date()
        first, last = _range(text)
        begins = self._day_after(first, today)
        ends = begins if last is None else self._day_after(last, begins)
        if (ends - begins).days >= _LONGEST_DAYS:
            raise BotError("These are too many days.")
        return [begins + n * _A_DAY for n in range((ends - begins).days + 1)]

    def _day_after(self, text: str, today: date) -> date:
        return translated_day(text, datetime.combine(today, time(12), self._zone))

    def _day_of(self, at: datetime) -> date | None:
        """Return the day whose hours a moment is in, which is the day before in the night; None if it is closed then."""
        at = _with_zone(at)
        today = at.astimezone(self._zone).date()
        for day in (today - _A_DAY, today):
            if any(opens <= at < closes for opens, closes in self._moments(day)):
                return day
        return None

    def _moments(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """Yield from when until when it is open on a day, in UTC: Python compares times of one zone by their wall time."""
        midnight = datetime.combine(day, time())
        for span in _spans(self._days.get(day, self._week[day.weekday()])):
            opens, closes = (instant(midnight + timedelta(minutes=each), self._zone).astimezone(UTC) for each in span)
            if opens < closes:  # else both are in an hour that the clocks skip
                yield opens, closes


def _with_zone(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("This time has no time zone. Give one: ctx.now().")
    return at.astimezone(UTC)


def _rules(rule: str, *, guesses: bool = False) -> dict[int, str]:
    """Return the hours of each weekday that a rule names, as stored; Monday is 0. Raises BotError if it is no such rule.

    `guesses` takes `9-5` for `9-17`: for an owner, who is shown what was understood.
    """
    found: dict[int, list[Span]] = {}
    days: set[int] = set()
    text, end = " ".join(str(rule).casefold().split()), 0
    for match in _SPAN.finditer(text):
        named = _weekdays(rule, text[end : match.start()])
        if named or not days or match[0] == _CLOSED:
            if not named and end:
                raise BotError(f"Hours({rule!r}) does not say which days are closed. {_EXAMPLE}")
            days = named or set(range(7))
            found |= {day: [] for day in days}
        if match[0] != _CLOSED:
            span = _span(rule, match, guesses=guesses)
            found |= {day: sorted([*found[day], span]) for day in days}
        end = match.end()
    rest = _weekdays(rule, text[end:])
    if not found or rest:
        raise BotError(f"Hours({rule!r}) has no times of day for some of its days. {_EXAMPLE}")
    return {day: " ".join(map(str, spans)) or _CLOSED for day, spans in found.items()}


def _weekdays(rule: str, text: str) -> set[int]:
    text = text.replace("every", "").replace(":", " ").replace(";", " ").replace(".", " ")
    try:
        return weekdays(text)
    except ValueError:
        raise BotError(f"Hours({rule!r}) has a word that is no day. {_EXAMPLE}") from None


def _span(rule: str, match: re.Match[str], *, guesses: bool) -> Span:
    opens, closes = _minute(match.groups()[:4]), _minute(match.groups()[4:])
    if opens is None or closes is None or opens >= 1440:
        raise BotError(f"Hours({rule!r}): {match[0]!r} has a time that no clock shows. {_EXAMPLE}")
    if closes > opens:
        return Span(opens, closes)
    if opens < 720:  # nearly always 5 in the afternoon is meant
        likely = Span(opens, closes + 720 if opens < closes + 720 else 1440)
        if not guesses:
            raise BotError(f"Hours({rule!r}): {match[0]!r} ends before it begins. Did you mean {likely}?")
        return likely
    return Span(opens, closes + 1440)


def _minute(given: tuple[str | None, ...]) -> int | None:
    """Return the minute of the day of a time's hour, its minutes in two forms, and am or pm; None if there is no such time."""
    hour, minute = int(given[0] or 0), int(given[1] or given[2] or 0)
    if given[3] is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if given[3] == "pm" else 0)
    return hour * 60 + minute if minute < 60 and hour * 60 + minute <= 1440 else None


@lru_cache
def _spans(stored: str) -> tuple[Span, ...]:
    return tuple(_span(stored, match, guesses=False) for match in _SPAN.finditer(stored) if match[0] != _CLOSED)


def _date_in_words(ordinal: int) -> str:
    return written(date.fromordinal(ordinal))


def _runs(says: Mapping[int, str], to: str, name: Callable[[int], str]) -> Iterator[tuple[str, str, str]]:
    """Yield the first and the last day of each run of days of which the same is said, as names, and what it is."""
    start = None
    for number, text in sorted(says.items()):
        start = number if start is None else start
        if says.get(number + 1) != text:
            yield name(start), "" if start == number else f"{to}{name(number)}", _said(text)
            start = None


def _said(stored: str) -> str:
    """Return the hours of a day as people read them: the spans, or the first word for it in the language of the turn."""
    words = spoken().words
    if stored in (_CLOSED, _SOLD_OUT):
        return stored if words is None else words.meanings[stored].split(",")[0]
    return stored.replace(" ", ", ").replace("-", "–")


def _date(given: date | str) -> date:
    if isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return date.fromisoformat(given)
    except (TypeError, ValueError):
        raise BotError(f"Hours(closed=[{given!r}]) is no date. Write it like '2027-01-01', or give a date.") from None


def _is_command(message: MessageReceived) -> bool:
    """Return True if a text begins or ends with a command in any language: filters do not know that of the turn."""
    known = [spoken for code in CODES[1:] if (spoken := language_of(code).words) is not None]
    in_english = [each for words in _COMMANDS.values() for each in words]
    return _cut(message.text.casefold().strip(_MARKS), in_english) is not None or any(
        _cut(
            words.plain(message.text).strip(_MARKS),
            [*forms((each for command in _COMMANDS for each in words.meanings[command].split(",")), words)],
            has_spaces=words.has_spaces,
        )
        is not None
        for words in known
    )


def _command(text: str) -> tuple[str, str]:
    """Return the command of a text in the turn's language, and the rest in the parsers' English. Raises BotError if none."""
    for command, words in _COMMANDS.items():
        if (found := _cut(understood(text), words)) is not None:
            return command, found
    raise BotError("This text is no change of the hours.")


def understood(text: str) -> str:
    """Return a text in the language of the turn as the rules are written: in English and lower case."""
    return lowered(clocks(english(text))).strip(_MARKS)


def _range(text: str) -> tuple[str, str | None]:
    """Return the first and the last day that a text names; None if it names one."""
    for between in (*_FROM_TO, *_FROM_TO_DATES):
        first, _, last = text.partition(between)
        are_dates = first.removeprefix("of ")[:1].isdigit() and last[:1].isdigit()
        if last and (are_dates or between in _FROM_TO):
            return first, last
    return text, None


def _cut(text: str, words: Collection[str], *, has_spaces: bool = True) -> str | None:
    """Return a text without the word that it begins or ends with; None if it has none of these there."""
    for word in words:
        rest = text.removeprefix(word)
        if rest != text and not (has_spaces and rest[:1].isalpha()):
            return rest.strip(_MARKS)
        rest = text.removesuffix(word)
        if rest != text and not (has_spaces and rest[-1:].isalpha()):
            return rest.strip(_MARKS)
    return None
