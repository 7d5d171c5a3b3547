"""Sending later: what an author says about when, and what the worker keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from linqbot.client.call import Call
from linqbot.errors import BotError

GRACE_S = 3600.0
LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""No time from here on, in Unix seconds: Python's dates end soon after."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A send that waits for its time.

    Attributes:
        id: What `ctx.cancel` takes.
    """

    id: str
    due: datetime


class Later(Protocol):
    """What keeps sends until they are due; the turn's journal is one."""

    def schedule(self, chat_id: str, calls: Sequence[Call], *, due: float, grace_s: float, key: str | None) -> str:
        """Keep calls until `due` (Unix seconds), durably once the turn ends; returns an id that a re-run makes again."""
        ...

    async def cancel(self, scheduled_id: str) -> bool:
        """Forget them. True only if they still waited."""
        ...

    async def scheduled(self, chat_id: str) -> list[tuple[str, float]]:
        """Ids and times of what waits in a chat, the earliest first."""
        ...


def due_at(at: datetime | None, after_s: float | None, timezone: str | None, now: float) -> float:
    """The time meant, in Unix seconds.

    Raises:
        BotError: neither or both were given, the zone is not known, or a time without a zone.
    """
    if (at is None) == (after_s is None):
        raise BotError("Give send_later either at= or after_s=.")
    if at is None:
        assert after_s is not None
        if timezone is not None or not 0 <= after_s < LAST - now:
            raise BotError(
                f"after_s={after_s!r} is no number of seconds from now that ends before the year 9999, or timezone= was "
                "given with it."
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
    """Refuse what is no number of seconds.

    Raises:
        BotError: it is negative, or NaN. Infinity is allowed.
    """
    if not grace_s >= 0:
        raise BotError(f"grace_s={grace_s!r} is no number of seconds. Give how late it may still be sent.")


def shown(scheduled_id: str, due: float) -> Scheduled:
    """A scheduled send as its author sees it."""
    return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC))
