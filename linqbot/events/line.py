"""Your lines, the phone numbers you write from: health, ownership, settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from linqbot.events.account import AccountEvent
from linqbot.events.event import Event


class LineEvent(Event):
    """Something happened to a line.

    Attributes:
        phone_number: The line, E.164; also as `line`.
    """

    phone_number: str | None = None
    changed_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "line": data.get("phone_number")}


class PhoneNumberStatusUpdated(LineEvent):
    """A line is doing better or worse.

    Attributes:
        new_status: `ACTIVE` or `FLAGGED`. Nothing new can be begun from a flagged line.
        new_reputation: `HEALTHY`, `AT_RISK` or `CRITICAL`.
    """

    types = ("phone_number.status_updated",)

    previous_status: str | None = None
    new_status: str | None = None
    previous_reputation: str | None = None
    new_reputation: str | None = None


class PhoneNumberAssigned(LineEvent):
    """A line is yours now."""

    types = ("phone_number.assigned",)


class PhoneNumberReleased(LineEvent):
    """A line is not yours any more."""

    types = ("phone_number.released",)


class PhoneNumberForwardingUpdated(AccountEvent):
    """Calls to a line are forwarded elsewhere; `change` has the numbers."""

    types = ("phone_number.forwarding_updated",)


class ZeroDayRetentionUpdated(AccountEvent):
    """Linq keeps, or keeps no more, what is said on a line; `change` has true or false."""

    types = ("zero_day_retention.updated",)


class EnvironmentLineMoved(AccountEvent):
    """A line belongs to another environment; `change` has both."""

    types = ("environment.line_moved",)
