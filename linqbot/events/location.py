"""Sharing of locations: begun, ended. Where somebody is comes from `client`, never in an event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from linqbot.events.event import Event


class LocationSharing(Event):
    """Somebody shares where they are with you, or not any more.

    Attributes:
        shared_by: Who: a phone number or an Apple ID's e-mail address.
        shared_with: Your line.
        chat_id: None when Linq does not know the chat.
    """

    shared_by: str | None = None
    shared_with: str | None = None
    began_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "actor": data.get("shared_by"), "line": data.get("shared_with")}


class LocationSharingStarted(LocationSharing):
    """Somebody began to share; `ends_at` is None when without end. No event follows when they move."""

    types = ("location.sharing.started",)

    ends_at: datetime | None = None


class LocationSharingStopped(LocationSharing):
    """Somebody shares no more."""

    types = ("location.sharing.stopped",)

    ended_at: datetime | None = None
