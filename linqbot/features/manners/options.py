"""The manners that an author chooses: `Bot(manners=Manners(quiet_hours="21-8"))`.

Nothing here needs a storage or a call. Next step: `gate.py` decides about each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache

from linqbot.errors import BotError
from linqbot.features.later import zone
from linqbot.options import DAY_S, check_timezone


@dataclass(frozen=True, slots=True)
class Manners:
    """The manners of a bot before each message that its people did not ask for: its promotional messages.

    A person who writes STOP gets nothing from then on, whatever is under way, and is answered again after a further message.
    Promotional messages go on only after START or a new consent. HELP and START are answered, in the language of the bot.

    Those are broadcasts, and what `@bot.every` handlers send, unless `purpose=` says otherwise. Replies, reminders and what
    events of your own systems cause are not held back.

    Args:
        quiet_hours: The hours in which no promotional message is sent, such as `21-8` or `20:30-9:00`. It waits until the
            hours are over where the person is: in the time zone that is the value of a field `timezone` of a model that the
            bot keeps about the person with `ctx.state`; or else in all zones of the phone number; or else in `timezone`. None
            is any hour. Needs the extra `manners`.
        timezone: The IANA name of the bot's time zone, for people whose zone is not known, such as those with an e-mail
            address.
        per_day: The largest number of promotional messages to a person on a day, which is a day of the calendar where the
            person is. A further one waits until the next day begins, if that still has room for it, and is refused otherwise.
            None is any number.
        needs_consent: True sends promotional messages only to people whose consent is on record: who wrote START, whose consent
            was noted with `ctx.bot.record_consent`, or imported with `linqbot person consent`. False sends them to all who have
            not withdrawn it.
        unanswered: The largest number of promotional messages within 30 days to a person who has given no sign of life since:
            a message, a tapback, a vote and the like. Further ones are refused. None is any number.
        per_line: The largest number of promotional messages from a line within 24 hours. Further ones wait. None is any
            number; Linq recommends to send and receive at most 7,000 a day.
    Raises:
        BotError: a value cannot be used, or `phonenumbers` is missing.
    """

    quiet_hours: str | None = None
    timezone: str = "UTC"
    per_day: int | None = 1
    needs_consent: bool = False
    unanswered: int | None = 2
    per_line: int | None = 7000

    def __post_init__(self) -> None:
        check_timezone("Manners", self.timezone)
        zone(self.timezone)
        for name in ("per_day", "unanswered", "per_line"):
            limit = getattr(self, name)
            if limit is not None and (type(limit) is not int or limit < 1):
                raise BotError(f"Manners({name}={limit!r}) takes a whole number from 1, or None.")
        if self.quiet_hours is not None:
            QuietHours.read(self.quiet_hours)
            _load()


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The hours of each day from `begin` on and before `end`, which may be on the next day."""

    begin: time
    end: time

    @classmethod
    def read(cls, text: str) -> QuietHours:
        """Return the hours that a text such as `21-8` or `20:30-9:00` means. Raises BotError if it means none."""
        try:
            begin, end = (_time(each) for each in text.split("-"))
        except (AttributeError, ValueError) as error:
            raise BotError(f"Manners(quiet_hours={text!r}) takes hours such as '21-8' or '20:30-9:00'.") from error
        if begin == end:
            raise BotError(f"Manners(quiet_hours={text!r}) is the whole day. Give hours such as '21-8'.")
        return cls(begin, end)

    def allowed_at(self, now: float, zones: Sequence[tzinfo]) -> float | None:
        """Return the first time from `now` on, in Unix seconds, that is quiet in none of the zones; None if there is none."""
        at = now
        while at < now + 2 * DAY_S:
            later = max(self._end(at, each) for each in zones)
            if later == at:
                return at
            at = later
        return None

    def _end(self, at: float, where: tzinfo) -> float:
        """Return when the quiet hours around a time end in a zone; the time itself if it is not quiet."""
        local = datetime.fromtimestamp(at, where)
        clock, over_night = local.time(), self.begin > self.end
        is_late = clock >= self.begin
        if not ((is_late or clock < self.end) if over_night else (is_late and clock < self.end)):
            return at
        day = local.date() + timedelta(days=over_night and is_late)
        # The clock may be set back in these hours: then the end of its second round counts.
        end = datetime.combine(day, self.end, where).replace(fold=local.fold).timestamp()
        return max(end, at + 1)


def _time(text: str) -> time:
    hour, _, minute = text.strip().partition(":")
    return time(0 if hour == "24" else int(hour), int(minute or 0))


def zone_named(name: object) -> tzinfo | None:
    """Return the time zone of an IANA name; None if there is none of this name."""
    try:
        return zone(name) if isinstance(name, str) else None
    except BotError:
        return None


def _load() -> None:
    try:
        import phonenumbers.timezone  # noqa: F401
    except ImportError as error:
        from linqbot.installing import extra_command

        raise BotError(
            "Manners(quiet_hours=…): phonenumbers is missing, which knows the time zones of phone numbers. Install it: "
            f"{extra_command('manners')}"
        ) from error


@lru_cache(1024)
def zones_of_number(handle: str) -> tuple[tzinfo, ...]:
    """Return the time zones in which a phone number may be; none for an e-mail address, for an unknown number, and without
    phonenumbers."""
    if not handle.startswith("+"):
        return ()
    try:
        import phonenumbers
        from phonenumbers.timezone import time_zones_for_number
    except ImportError:
        return ()
    try:
        names = time_zones_for_number(phonenumbers.parse(handle))
    except phonenumbers.NumberParseException:
        return ()
    found = [zone_named(name) for name in names]
    return tuple(each for each in found if each is not None)
