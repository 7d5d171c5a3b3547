"""Events about a chat: creation, name, icon, background, typing, participants, and sharing of locations.

No event contains a location; `client.chats.location.retrieve` returns it.
"""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, Field

from linqbot.linq.events.event import UNKNOWN_HANDLE, Event, handle_of, place_actor
from linqbot.linq.events.lane import as_object
from linqbot.linq.types.chat import Chat, ChatRef, Handle
from linqbot.linq.types.data import Data

__all__ = [
    "BackgroundUpdateFailed", "BackgroundUpdated", "ChatCreated", "GroupChange", "GroupIconUpdateFailed",
    "GroupIconUpdated", "GroupNameUpdateFailed", "GroupNameUpdated", "LocationSharing", "LocationSharingStarted",
    "LocationSharingStopped", "ParticipantAdded", "ParticipantRemoved", "TypingEvent", "TypingStarted",
    "TypingStopped",
]  # fmt: skip


class ChatCreated(Event):
    """A chat was created."""

    chat_id: str
    chat: Chat

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        handles = data.get("handles")
        ours = (as_object(handle) for handle in (handles if isinstance(handles, list) else ()))
        return {
            "chat": data,
            "chat_id": data.get("id"),
            "is_group": data.get("is_group"),
            "service": data.get("service"),
            "line": next((handle.get("handle") for handle in ours if handle.get("is_me") is True), None),
        }


class GroupChange(Event):
    """Base of the events about a changed group: its people, its name, its icon or its background.

    Handlers never receive the bot's own changes.
    """

    echoes = True


class GroupLabelUpdated(GroupChange):
    """Base of the events about a changed group name or icon.

    Attributes:
        old_value: The previous value; None if there was none.
        new_value: The new value; None if it was removed.
        changed_by: The author of the change; None if Linq does not know.
    """

    author_key = "changed_by_handle"

    old_value: str | None = None
    new_value: str | None = None
    changed_by: Handle | None = Field(default=None, alias="changed_by_handle")
    updated_at: AwareDatetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**super().fields_of(data), "is_group": True}


class GroupNameUpdated(GroupLabelUpdated):
    """A group was renamed, by any participant."""


class GroupIconUpdated(GroupLabelUpdated):
    """The icon of a group was changed, by any participant; the values are URLs."""


class ChatFailure(Event):
    """Base of the events about a failed change that you requested.

    Attributes:
        error_code: Linq's error code; see `linqbot explain`.
    """

    error_code: int | None = None
    failed_at: AwareDatetime | None = None


class GroupNameUpdateFailed(ChatFailure):
    """You renamed a group, and the change failed."""


class GroupIconUpdateFailed(ChatFailure):
    """You set the icon of a group, and the change failed."""


class BackgroundUpdateFailed(ChatFailure):
    """You set the background of a chat, and the change failed."""


class ChatBackground(Data):
    """The background of a chat: a `color`, a `dynamic` scene or a `photo`."""

    type: str = ""
    image_url: str | None = None
    shades: tuple[str, ...] | None = None
    style: str | None = None
    variant: str | None = None


class BackgroundUpdated(GroupChange):
    """The background of a group or of a direct chat was changed, by any participant.

    Attributes:
        background: None if it was removed.
        changed_by: The author of the change; None if Linq does not know.
    """

    author_key = "actor_handle"

    chat: ChatRef | None = None
    changed_by: Handle | None = Field(default=None, alias="actor_handle")
    background: ChatBackground | None = None


class TypingEvent(Event):
    """Base of the events about the typing indicator.

    Attributes:
        sender: The person who types. The handle is empty if Linq did not say.
    """

    echoes = True
    author_key = "actor_handle"

    sender: Handle = Field(default=UNKNOWN_HANDLE, alias="actor_handle")


class TypingStarted(TypingEvent):
    """A person started typing. Without further events, assume that this is over after 90 seconds."""


class TypingStopped(TypingEvent):
    """A person stopped typing, with or without sending a message."""


class ParticipantEvent(GroupChange):
    """Base of the events about the participants of a group. Linq does not say who made the change.

    Attributes:
        participant: The added or removed person. The handle is empty if Linq did not say.
        by_me: True if the bot has made the change. The worker looks it up; `parse` leaves the field False.
    """

    participant: Handle = UNKNOWN_HANDLE
    by_me: bool = False

    @property
    def is_own(self) -> bool:
        return self.by_me or super().is_own

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = {**data, "is_group": True}
        # Older payloads have `handle` instead of `participant`.
        handle = fields.pop("handle", None)
        if handle_of(fields.get("participant")) is None and handle is not None:
            fields["participant"] = {"handle": handle}
        participant = as_object(fields.get("participant"))
        if participant.get("is_me") is True:
            fields["line"] = participant.get("handle")
        return fields


class ParticipantAdded(ParticipantEvent):
    """A person or your line was added to a group."""

    added_at: AwareDatetime | None = None


class ParticipantRemoved(ParticipantEvent):
    """A person or your line left a group or was removed; see `participant.status`."""

    removed_at: AwareDatetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = super().fields_of(data)
        participant = as_object(fields.get("participant"))
        # The author of the change is known only if the participant left.
        if participant.get("status") == "left":
            place_actor(fields, participant)
        return fields


class LocationSharing(Event):
    """Base of the events about a person who shares a location with you.

    Attributes:
        shared_by: The person: a phone number or an Apple ID's e-mail address.
        shared_with: Your line.
        chat_id: None if Linq does not know the chat.
    """

    shared_by: str | None = None
    shared_with: str | None = None
    began_at: AwareDatetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "actor": data.get("shared_by"), "line": data.get("shared_with")}


class LocationSharingStarted(LocationSharing):
    """A person started sharing a location; `ends_at` is None if there is no end. No event reports movements."""

    ends_at: AwareDatetime | None = None


class LocationSharingStopped(LocationSharing):
    """A person stopped sharing a location."""

    ended_at: AwareDatetime | None = None
