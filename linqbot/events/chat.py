"""What happens to a chat itself: created, renamed, given an icon or a background, somebody typing in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from linqbot.events.event import NOBODY, Event, as_object, place_actor, place_in_chat
from linqbot.types.chat import Chat, ChatRef
from linqbot.types.data import Data
from linqbot.types.handle import Handle


class ChatCreated(Event):
    """A chat is new."""

    types = ("chat.created",)

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
    """A group's name or icon is another now.

    Attributes:
        old_value: What it was; None when it had none.
        new_value: What it is; None when it was taken away.
        changed_by: Who changed it; None when Linq does not know.
    """

    old_value: str | None = None
    new_value: str | None = None
    changed_by: Handle | None = Field(default=None, alias="changed_by_handle")
    updated_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = {**data, "is_group": True}
        place_actor(fields, data.get("changed_by_handle"))
        return fields


class GroupNameUpdated(GroupChange):
    """A group was renamed, by anybody."""

    types = ("chat.group_name_updated",)


class GroupIconUpdated(GroupChange):
    """A group has another icon, by anybody; the values are its URLs."""

    types = ("chat.group_icon_updated",)


class ChatFailure(Event):
    """A change of a chat that you asked for did not work.

    Attributes:
        error_code: Linq's number; see `linqbot explain`.
    """

    error_code: int | None = None
    failed_at: datetime | None = None


class GroupNameUpdateFailed(ChatFailure):
    """You renamed a group, and it did not work."""

    types = ("chat.group_name_update_failed",)


class GroupIconUpdateFailed(ChatFailure):
    """You set a group's icon, and it did not work."""

    types = ("chat.group_icon_update_failed",)


class BackgroundUpdateFailed(ChatFailure):
    """You set a chat's background, and it did not work."""

    types = ("chat.background_update_failed",)


class ChatBackground(Data):
    """What is behind the bubbles: a `color`, a `dynamic` scene or a `photo`."""

    type: str = ""
    image_url: str | None = None
    shades: tuple[str, ...] | None = None
    style: str | None = None
    variant: str | None = None


class BackgroundUpdated(Event):
    """A chat's background is another now, by anybody.

    Attributes:
        background: None when it was taken away.
        changed_by: Who changed it; None when Linq does not know.
    """

    types = ("chat.background_updated",)

    chat: ChatRef | None = None
    changed_by: Handle | None = Field(default=None, alias="actor_handle")
    background: ChatBackground | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data)
        place_in_chat(fields)
        place_actor(fields, data.get("actor_handle"))
        return fields


class TypingEvent(Event):
    """Typing dots came or went.

    Attributes:
        sender: Who types. An empty handle when Linq did not say.
    """

    echoes = True

    sender: Handle = Field(default=NOBODY, alias="actor_handle")

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data)
        place_actor(fields, data.get("actor_handle"))
        return fields


class TypingStarted(TypingEvent):
    """Somebody began to type. Without more news, take it as over after a minute and a half."""

    types = ("chat.typing_indicator.started",)


class TypingStopped(TypingEvent):
    """Somebody stopped typing, sent or not."""

    types = ("chat.typing_indicator.stopped",)


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
