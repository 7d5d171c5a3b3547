"""Scheduled sends: their time, checked; the calls that they make; and the interface of their store.

`worker/calls/turn_scheduler.py` implements that interface; `worker/own_calls.py` makes the calls when they are due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from linqbot.bot.options import check_number, check_timezone
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.errors import BotError
from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.types.message import MessageContent
from linqbot.types.proactive.scheduled import Scheduled

if TYPE_CHECKING:
    from linqbot.parse.recurrences import Recurrence

GRACE_S = 3600.0
"""Seconds that a scheduled send may be late by default."""
LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times from here on are refused, in Unix seconds: Python's dates end soon after."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The rhythm of a recurring send: the text, and the time zone of its times of day."""

    spec: str
    timezone: str

    def next_after(self, now: float) -> float:
        """Return the first time after a time, both in Unix seconds."""
        from linqbot.parse.recurrences import recurrence

        at = recurrence(self.spec, timezone=self.timezone).next_after(datetime.fromtimestamp(now, UTC))
        return at.timestamp()


class Scheduler(Protocol):
    """A store of scheduled sends."""

    def schedule(
        self,
        chat_id: str,
        calls: Sequence[Call],
        *,
        due: float,
        grace_s: float,
        key: str | None,
        every: Rhythm | None = None,
        tag: str | None = None,
    ) -> Scheduled:
        """Schedule calls for `due` (Unix seconds). They are stored durably in the commit that ends the turn.

        Returns:
            The scheduled send. Its id is the same in every run of the turn.
        """
        ...

    async def reschedule(self, scheduled_id: str, *, due: float) -> Scheduled | None:
        """Move a send that waits to `due` (Unix seconds); send the content of a recurring one once more then.

        Returns:
            The send; None if none of this id is stored any more.
        """
        ...

    async def cancel(self, scheduled_id: str) -> bool:
        """Cancel scheduled calls. Return True if they were still waiting."""
        ...

    async def scheduled(self, chat_id: str) -> list[Scheduled]:
        """Return the sends that wait in a chat, the earliest first."""
        ...

    def discard(self) -> None:
        """Forget what this run has scheduled and moved. What it has cancelled stays cancelled."""
        ...


async def call_of(client: Client, chat_id: str, message: MessageContent) -> Call:
    """Return the call that would send a message into a chat. It is not made.

    Raises:
        RuleBroken: the message breaks one of Linq's rules.
    """
    calls: list[Call] = []

    async def keep(call: Call) -> ApiResponse:
        calls.append(call)
        return ApiResponse(202, {"chat_id": chat_id, "message": {"id": ""}})

    await client.wrapped(lambda _: keep).chats.messages.send(chat_id, message=message)
    return calls[0]


def due_at(at: datetime | None, after_s: float | None, timezone: str | None, now: float) -> float:
    """Return the time to send at, in Unix seconds.

    Raises:
        BotError: not exactly one of `at` and `after_s` was given, one is of a wrong type, the time zone is missing,
            unknown or given twice, or the time is before 1970 or after 9998.
    """
    if (at is None) == (after_s is None):
        raise BotError("Give send_later either at= or after_s=.")
    if at is None:
        check_number("send_later", "after_s", after_s)
        assert after_s is not None
        if timezone is not None or not 0 <= after_s < LAST - now:
            raise BotError(
                f"after_s={after_s!r} is not a number of seconds from now that ends before the year 9999, or timezone= "
                "was given with it."
            )
        return now + after_s
    if not isinstance(at, datetime):
        raise BotError(f"send_later(at=…) takes a datetime, but got a value of type {type(at).__name__}.")
    if timezone is not None:
        if at.tzinfo is not None:
            raise BotError("at= has a time zone already. Leave timezone= out, or give a time without one.")
        check_timezone("send_later", timezone)
        at = at.replace(tzinfo=zone(timezone))
    if at.tzinfo is None:
        raise BotError(
            "at= has no time zone, so it could mean any of 24 hours. "
            'Give timezone="Europe/Paris", or a time with a zone: ctx.now() + timedelta(hours=1).'
        )
    try:
        due = at.timestamp()
    except (ValueError, OverflowError):
        due = LAST
    if not 0 <= due < LAST:
        raise BotError(f"at= is in the year {at.year}. Give a time from 1970 to 9998.")
    return due


def due_before(at: datetime, before: str, timezone: str | None, now: float) -> float:
    """Return the time of a reminder before an event, in Unix seconds.

    Raises:
        BotError: `before` is none of the forms that `Context.remind` names, or see `due_at`.
    """
    from linqbot.parse.dates import time_of_day
    from linqbot.parse.durations import duration
    from linqbot.parse.zones import instant

    is_naive = isinstance(at, datetime) and at.tzinfo is None
    happens = due_at(at, None, timezone if is_naive else None, now)
    if timezone is not None:
        check_timezone("remind", timezone)
    where = zone(timezone) if timezone is not None else at.tzinfo
    if not isinstance(before, str):
        raise _no_reminder(before)
    length, at_clock, clock_text = before.partition(" at ")
    try:
        ahead = duration(length)
        clock, *around = time_of_day(clock_text.casefold())
    except ValueError as error:
        raise _no_reminder(before) from error
    if ahead % timedelta(days=1) and not at_clock:
        return happens - ahead.total_seconds()
    if ahead % timedelta(days=1) or (at_clock and (clock is None or "".join(around).strip())):
        raise _no_reminder(before)
    # Days are counted by the calendar, so that a day before seven in the evening is seven in the evening.
    wall = datetime.fromtimestamp(happens, where).replace(tzinfo=None) - ahead
    assert where is not None
    return instant(wall if clock is None else datetime.combine(wall, clock), where).timestamp()


def _no_reminder(before: object) -> BotError:
    return BotError(
        f'remind(before={before!r}): give the time before the event, such as "2 hours", or days and a time of day, such as '
        '"1 day at 18:00".'
    )


def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name.

    Raises:
        BotError: there is no time zone of this name.
    """
    if name == "UTC":
        return UTC  # also on a machine without time zone data
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BotError(f"There is no time zone {name!r}. Give an IANA name such as Europe/Paris.") from error


def check_grace(grace_s: float) -> None:
    """Check that `grace_s` is a number of seconds.

    Raises:
        BotError: `grace_s` is no number, negative or NaN. Infinity is allowed.
    """
    check_number("send_later", "grace_s", grace_s)
    if not grace_s >= 0:
        raise BotError(
            f"grace_s={grace_s!r} is not a number of seconds. Give the longest delay after which it may still be sent."
        )


def check_not_missed(due: float, grace_s: float, event: Event) -> None:
    """Check that a send was not too late already when its event happened.

    The time of the event decides, and not the present time: it is the same in each run of the turn. So a run that comes
    after a crash, a retry or an outage schedules what the first run scheduled. An event of an unknown time is not checked.

    Raises:
        BotError: the send would never be made.
    """
    happened = (event.sent_at if isinstance(event, MessageReceived) else None) or event.created_at
    if happened is None or due + grace_s >= happened.timestamp():
        return
    raise BotError(
        f"send_later(at=…): the time is {happened.timestamp() - due:.0f} s before the event that is handled. A send that is "
        f"more than {grace_s:.0f} s late (grace_s=) is never made. Give a time to come, such as ctx.now() + "
        "timedelta(hours=1)."
    )


def rhythm_of(every: str | Recurrence, timezone: str | None) -> Rhythm:
    """Return the rhythm that a recurring send was given.

    Raises:
        BotError: the rhythm or the time zone is of a wrong type or not known, or the time zone is missing or was given
            twice.
    """
    from linqbot.parse.recurrences import Recurrence, recurrence

    if isinstance(every, Recurrence):
        if timezone is not None:
            raise BotError("every= has a time zone already. Leave timezone= out.")
        return Rhythm(every.spec, every.timezone)
    if not isinstance(every, str):
        raise BotError(
            "send_later(every=…) takes a rhythm, such as 'weekdays 09:00', or a value of parse.recurrence, but got a value "
            f"of type {type(every).__name__}."
        )
    if timezone is None:
        raise BotError('every= needs the time zone of the person: timezone="Europe/Paris".')
    check_timezone("send_later", timezone)
    try:
        recurrence(every, timezone=timezone)
    except ValueError as error:
        raise BotError(f"every={every!r}: {error}") from error
    return Rhythm(every, timezone)
