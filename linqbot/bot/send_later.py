"""Scheduled sends: the time that a handler asks for, checked, and the interface of the store for it.

`worker/turn_journal.py` implements that interface; `worker/scheduled_send.py` makes the calls when they are due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from linqbot.client.call import Call
from linqbot.errors import BotError

GRACE_S = 3600.0
"""Seconds that a scheduled send may be late by default."""
LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times from here on are refused, in Unix seconds: Python's dates end soon after."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A scheduled send.

    Attributes:
        id: The id that `ctx.cancel` takes.
        due: The time at which it is sent, in UTC.
    """

    id: str
    due: datetime


class Scheduler(Protocol):
    """A store of scheduled sends. The turn's journal implements it."""

    def schedule(self, chat_id: str, calls: Sequence[Call], *, due: float, grace_s: float, key: str | None) -> str:
        """Schedule calls for `due` (Unix seconds). They are stored durably in the commit that ends the turn.

        Returns:
            Their id, which is the same in every run of the turn.
        """
        ...

    async def cancel(self, scheduled_id: str) -> bool:
        """Cancel scheduled calls. Return True if they were still waiting."""
        ...

    async def scheduled(self, chat_id: str) -> list[tuple[str, float]]:
        """Return the id and the time (Unix seconds) of each send that waits in a chat, the earliest first."""
        ...


def due_at(at: datetime | None, after_s: float | None, timezone: str | None, now: float) -> float:
    """Return the time to send at, in Unix seconds.

    Raises:
        BotError: not exactly one of `at` and `after_s` was given, the time zone is missing, unknown or given twice, or
            the time is before 1970 or after 9999.
    """
    if (at is None) == (after_s is None):
        raise BotError("Give send_later either at= or after_s=.")
    if at is None:
        assert after_s is not None
        if timezone is not None or not 0 <= after_s < LAST - now:
            raise BotError(
                f"after_s={after_s!r} is not a number of seconds from now that ends before the year 9999, or timezone= "
                "was given with it."
            )
        return now + after_s
    if timezone is not None:
        if at.tzinfo is not None:
            raise BotError("at= has a time zone already. Leave timezone= out, or give a time without one.")
        try:
            at = at.replace(tzinfo=ZoneInfo(timezone))
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise BotError(f"There is no time zone {timezone!r}. Give an IANA name such as Europe/Paris.") from error
    if at.tzinfo is None:
        raise BotError(
            "at= has no time zone, so it could mean any of 24 hours. "
            'Give timezone="Europe/Paris", or a time with a zone: datetime.now(UTC) + timedelta(hours=1).'
        )
    try:
        due = at.timestamp()
    except (ValueError, OverflowError):
        due = LAST
    if not 0 <= due < LAST:
        raise BotError(f"at= is in the year {at.year}. Give a time between 1970 and 9999.")
    return due


def check_grace(grace_s: float) -> None:
    """Check that `grace_s` is a number of seconds.

    Raises:
        BotError: `grace_s` is negative or NaN. Infinity is allowed.
    """
    if not grace_s >= 0:
        raise BotError(
            f"grace_s={grace_s!r} is not a number of seconds. Give the longest delay after which it may still be sent."
        )


def as_scheduled(scheduled_id: str, due: float) -> Scheduled:
    """Return a scheduled send, from its id and its time in Unix seconds."""
    return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC))
