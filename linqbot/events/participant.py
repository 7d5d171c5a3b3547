"""Who is in a group: added, removed, gone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from linqbot.events.event import NOBODY, Event, as_object, place_actor
from linqbot.types.handle import Handle


class ParticipantEvent(Event):
    """Who takes part in a group changed. Linq does not say who changed it.

    Attributes:
        participant: Whom it happened to. An empty handle when Linq did not say.
    """

    participant: Handle = NOBODY

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = {**data, "is_group": True}
        # `handle` is what Linq sent before there was `participant`.
        handle = fields.pop("handle", None)
        if fields.get("participant") is None and handle is not None:
            fields["participant"] = {"handle": handle}
        participant = as_object(fields.get("participant"))
        if participant.get("is_me") is True:
            fields["line"] = participant.get("handle")
        return fields


class ParticipantAdded(ParticipantEvent):
    """Somebody, maybe your line, was added to a group."""

    types = ("participant.added",)

    added_at: datetime | None = None


class ParticipantRemoved(ParticipantEvent):
    """Somebody, maybe your line, left a group or was removed; `participant.status` tells which."""

    types = ("participant.removed",)

    removed_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = super().fields_of(data)
        participant = as_object(fields.get("participant"))
        # Only then it is known who did it: they did.
        if participant.get("status") == "left":
            place_actor(fields, participant)
        return fields
