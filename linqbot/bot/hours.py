"""Opening hours: rules such as `mon-fri 9-18`, closed days, and what the owner changes by a text.

`Hours` holds the author's rules. What the owner has changed is a value of the bot's state, so it outlives restarts and holds
for all processes; `Hours.current` returns the hours with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeAlias

from pydantic import BaseModel

from linqbot.bot.context import Context
from linqbot.bot.handlers import shown_as
from linqbot.bot.hours_text import (
    CLOSED,
    COMMAND,
    LONGEST_DAYS,
    OPEN,
    SOLD_OUT,
    days_with_hours,
    rules,
    spans,
    with_clock_times,
)
from linqbot.bot.router import Router
from linqbot.clock import WrongCall, zone
from linqbot.engine.filters import Filter, from_handle
from linqbot.errors import BotError
from linqbot.language.reading import without_emoji
from linqbot.language.spoken import CODES, Language, language_of, sentences, speaking, spoken
from linqbot.language.wording import Words
from linqbot.language.writing import short_weekday, written
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.parse.dates import WEEKDAYS, instant
from linqbot.parse.translation import DAYS, clocks, english, forms, lowered

_OPENING_HOURS: Final = "opening hours"
_COMMANDS: Final = {
    _OPENING_HOURS: (_OPENING_HOURS, "hours"),
    SOLD_OUT: (SOLD_OUT, "fully booked"),
    CLOSED: (CLOSED,),
    OPEN: (OPEN,),
}
"""What the owner's texts begin or end with, in English; `Words.meanings` has the words of other languages."""
_MARKS: Final = " .,:!。！は"
_FURTHER: Final = re.compile(rf"\s*(?:[,;&+]|\band\b)\s*{COMMAND}(?=\s+\S)")
_EARLIER: Final = re.compile(rf"\s*{COMMAND}\s*(?:[,;&+]|\band\b)\s*(?=\S)")
_NAME: Final = "Hours"
"""The name of the state that holds the owner's changes."""
_A_DAY: Final = timedelta(days=1)


class ChangedHours(BaseModel):
    """The changes of the owner, as stored: spans such as `9:00-12:00 14:00-18:00`, or `closed`, or `sold out` for a day.

    `written` has the time at which each weekday and each day was last changed, in Unix seconds: Linq delivers some texts late.
    """

    week: dict[str, str] = {}
    days: dict[date, str] = {}
    written: dict[str, float] = {}


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
        self._week = dict.fromkeys(range(7), CLOSED)
        for rule in week:
            self._week |= rules(rule)
        self._week |= {WEEKDAYS[name]: text for name, text in changed.week.items()}
        self._days = dict.fromkeys(self._closed, CLOSED) | changed.days

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
        days = {day: text for day, text in changed.days.items() if day >= yesterday}
        changed = changed.model_copy(update={"days": days})
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
        return self._days.get(_with_zone(at).astimezone(self._zone).date()) == SOLD_OUT

    def next_opening(self, at: datetime) -> datetime | None:
        """Return the first moment from `at` on at which it is open, in its time zone; None if that is over a year away.

        Args:
            at: A time with a time zone. If it is open then, this is the answer.
        Raises:
            ValueError: `at` has no time zone.
        """
        at = _with_zone(at)
        first = at.astimezone(self._zone).date() - _A_DAY
        for n in range(LONGEST_DAYS):
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
        router, by_owner = Router(), from_handle(*handles)

        # What is a change as a whole is one also while a question is open to the owner, or in a handoff. Anything else that
        # begins or ends with a command may be for someone else there; elsewhere it is a change with a mistake.
        @router.on_message(by_owner, _whole_command(), during_ask=True, gather=False)
        @router.on_message(by_owner, _is_command, gather=False)
        @shown_as("Hours.changed_by")
        async def change_hours(message: MessageReceived, ctx: Context) -> str:
            hours, changed = await self.current(ctx), await ctx.state.bot(ChangedHours, name=_NAME)
            try:
                hours.change(changed, message.text, ctx.now(), written_at=message.written_at)
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

    def change(self, changed: ChangedHours, text: str, now: datetime, *, written_at: datetime | None = None) -> None:
        """Change what is stored about these hours as the owner's text says.

        A day about which a text that was written later has said something stays as it is. None for `written_at` is now.

        Raises:
            BotError: the text is none of the commands, or says something that is not understood. Nothing is changed.
            ValueError: its days are not understood. Nothing is changed; the text is a sentence for the owner.
        """
        week, days = dict[str, str](), dict[date, str]()
        today = self._day_of(now) or now.astimezone(self._zone).date()  # in the night, the day on which it began
        for command, new_week, new_days in _read(text, today):
            if command == _OPENING_HOURS:
                week = {DAYS[number][:3]: hours for number, hours in new_week.items()}
                continue
            said = {day: self._hours_said(command, day, hours) for day, hours in new_days.items()}
            if days.keys() & said.keys():
                raise BotError("The text says two things about one day.")
            days |= said
        # Nothing is changed before the whole text is understood. Days long past are forgotten.
        at = (written_at or now).timestamp()
        newest = {name: at for each in (*week, *days) if at >= changed.written.get(name := str(each), 0.0)}
        changed.week |= {name: hours for name, hours in week.items() if name in newest}
        changed.days = {day: hours for day, hours in changed.days.items() if day in self._days} | {
            day: hours for day, hours in days.items() if str(day) in newest
        }
        known = {*changed.week, *map(str, changed.days)}
        changed.written = {name: said for name, said in changed.written.items() if name in known} | newest

    def _hours_said(self, command: str, day: date, hours: str | None) -> str:
        """Return the hours of a day, as stored, that a command with these hours gives it. Raises BotError if there are none."""
        if command != OPEN and hours is not None:
            raise BotError("A day is closed or sold out as a whole.")
        if command != OPEN or hours is not None:
            return hours or command
        usual = self._week[day.weekday()]
        if usual == CLOSED:
            raise BotError("It is closed on this weekday, so the text must say from when till when it is open.")
        return usual

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
        for span in spans(self._days.get(day, self._week[day.weekday()])):
            opens, closes = (instant(midnight + timedelta(minutes=each), self._zone).astimezone(UTC) for each in span)
            if opens < closes:  # else both are in an hour that the clocks skip
                yield opens, closes


def _with_zone(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise WrongCall("This time has no time zone. Give one: ctx.now().")
    return at.astimezone(UTC)


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
    if stored in (CLOSED, SOLD_OUT):
        return stored if words is None else words.meanings[stored].split(",")[0]
    return ", ".join(f"{_clock(each.opens)}–{_clock(each.closes)}" for each in spans(stored))


def _clock(minute: int) -> str:
    """Return a time of day, such as `9:00` or `24:00`; with am or pm where people write it."""
    minute = minute if minute <= 1440 else minute - 1440
    text = written(time(minute // 60 % 24, minute % 60))
    return f"{minute // 60}:{minute % 60:02}" if text[-1].isdigit() else text


def _date(given: date | str) -> date:
    if isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return date.fromisoformat(given)
    except (TypeError, ValueError):
        raise BotError(f"Hours(closed=[{given!r}]) is no date. Write it like '2027-01-01', or give a date.") from None


def _is_command(message: MessageReceived) -> bool:
    """Return True if a text begins or ends with a command in any language: filters do not know that of the turn."""
    return any(_command(message.text, language_of(code).words) is not None for code in CODES)


def _whole_command() -> Filter[MessageReceived]:
    """Return the filter of texts that are nothing but a command, in any language."""

    def is_whole(message: MessageReceived) -> bool:
        languages = [found for code in CODES if _command(message.text, (found := language_of(code)).words) is not None]
        today = (message.sent_at or datetime.now(UTC)).date()
        return any(_is_read(message.text, language, today) for language in languages)

    whole: Filter[MessageReceived] = Filter(is_whole)
    whole.is_whole_text = True
    return whole


def _is_read(text: str, language: Language, today: date) -> bool:
    with speaking(language):
        try:
            _read(text, today)
        except (BotError, ValueError):
            return False
    return True


_Said: TypeAlias = tuple[str, Mapping[int, str], Mapping[date, str | None]]
"""A command with what it says of days of the week, and of dates."""


def _read(text: str, today: date) -> list[_Said]:
    """Return the commands of a text in the turn's language. Raises as `Hours.change`."""
    found = list[_Said]()
    for command, about in _commands(text):
        if command == _OPENING_HOURS:
            found.append((command, rules(about, guesses=True) if about else {}, {}))
        else:
            found.append((command, {}, days_with_hours(about, today)))
    return found


def _commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a text in the turn's language, each with what it is about, in the parsers' English.

    Raises:
        BotError: the text is no command.
    """
    found = _command(text, spoken().words)
    if found is None:
        raise BotError("This text is no change of the hours.")
    command, rest, is_first = found
    rest = understood(rest)  # on its own: in German, "So" is Sunday at the start of a text
    if command == _OPENING_HOURS:
        return [(command, rest)]
    if is_first:  # "closed friday, open saturday 9-12"
        pieces = [command, *_FURTHER.split(rest)]
        pairs = list(zip(pieces[::2], pieces[1::2], strict=True))
    else:  # "friday closed, saturday 9-12 open"
        pieces = [*_EARLIER.split(rest), command]
        pairs = list(zip(pieces[1::2], pieces[::2], strict=True))
    return [(SOLD_OUT if word in _COMMANDS[SOLD_OUT] else word, about) for word, about in pairs]


def _command(text: str, words: Words | None) -> tuple[str, str, bool] | None:
    """Return the command of a text, in English, the rest in its language, and True if the text begins with the command.

    None if the text neither begins nor ends with one.
    """
    text = without_emoji(text)
    text = (lowered(text) if words is None else words.plain(text)).strip(_MARKS)
    has_spaces = words is None or words.has_spaces
    for is_first in (True, False):  # "open sunday 9-12, monday closed" is about what is open
        for command, in_english in _COMMANDS.items():
            for word in in_english if words is None else _said_in(words, command):
                rest = text.removeprefix(word) if is_first else text.removesuffix(word)
                next_to_it = rest[:1] if is_first else rest[-1:]
                if rest != text and not (has_spaces and next_to_it.isalpha()):
                    return command, rest.strip(_MARKS), is_first
    return None


def _said_in(words: Words, command: str) -> Iterable[str]:
    return forms(words.meanings[command].split(","), words)


def understood(text: str) -> str:
    """Return a text in the language of the turn as the rules are written: in English and lower case."""
    return with_clock_times(lowered(clocks(english(text)))).strip(_MARKS)
