"""Events about your lines, the phone numbers you send from: status, ownership, settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from linqbot.events.account import AccountEvent
from linqbot.events.event import Event


class LineEvent(Event):
    """Base of the events about a line.

    Attributes:
        phone_number: The line, E.164; the same as `line`.
    """

    phone_number: str | None = None
    changed_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "line": data.get("phone_number")}


class PhoneNumberStatusUpdated(LineEvent):
    """The status or the reputation of a line changed.

    Attributes:
        new_status: `ACTIVE` or `FLAGGED`. A flagged line cannot start new chats.
        new_reputation: `HEALTHY`, `AT_RISK` or `CRITICAL`.
    """

    types = ("phone_number.status_updated",)

    previous_status: str | None = None
    new_status: str | None = None
    previous_reputation: str | None = None
    new_reputation: str | None = None


class PhoneNumberAssigned(LineEvent):
    """A line was assigned to you."""

    types = ("phone_number.assigned",)


class PhoneNumberReleased(LineEvent):
    """A line was released and is no longer yours."""

    types = ("phone_number.released",)


class PhoneNumberForwardingUpdated(AccountEvent):
    """The call forwarding of a line was changed; `change` has the numbers."""

    types = ("phone_number.forwarding_updated",)


class ZeroDayRetentionUpdated(AccountEvent):
    """Zero retention of a line was switched on or off; `change` has true or false."""

    types = ("zero_day_retention.updated",)


class EnvironmentLineMoved(AccountEvent):
    """A line was moved to another environment; `change` has both environments."""

    types = ("environment.line_moved",)
