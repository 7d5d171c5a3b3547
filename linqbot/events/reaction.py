"""Events about reactions: tapbacks and stickers on messages and polls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from linqbot.events.event import UNKNOWN_HANDLE, Event, place_actor
from linqbot.types.handle import Handle
from linqbot.types.message import Sticker
from linqbot.types.proactive.scheduled import Scheduled


class ReactionEvent(Event):
    """Base of the events about reactions.

    Attributes:
        reaction_type: `love`, `like`, `dislike`, `laugh`, `emphasize`, `question`, `custom` or `sticker`.
        message_id: The message that was reacted to.
        part_index: The index of its part, from 0.
        custom_emoji: The emoji if the type is `custom`.
        sticker: The image if the type is `sticker`.
        sender: The author of the reaction. The handle is empty if Linq did not say.
        answers: The scheduled send whose message it concerns; None if there is none, or it is older than a week. The
            worker looks it up; `parse` leaves the field None.
    """

    echoes = True

    reaction_type: str = ""
    part_index: int | None = None
    reaction_id: str | None = None
    custom_emoji: str | None = None
    sticker: Sticker | None = None
    sender: Handle = Field(default=UNKNOWN_HANDLE, alias="from_handle")
    is_from_me: bool = False
    reacted_at: datetime | None = None
    answers: Scheduled | None = None

    @property
    def is_own(self) -> bool:
        return self.is_from_me or super().is_own

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data)
        # Older payloads have `from` instead of `from_handle`.
        sender = fields.pop("from", None)
        if fields.get("from_handle") is None and sender is not None:
            fields["from_handle"] = {"handle": sender, "is_me": data.get("is_from_me")}
        place_actor(fields, fields.get("from_handle"))
        return fields


class ReactionAdded(ReactionEvent):
    """A person or your line reacted to a message."""

    types = ("reaction.added",)


class ReactionRemoved(ReactionEvent):
    """A tapback was removed. Stickers cannot be removed."""

    types = ("reaction.removed",)


class PollReactionAdded(ReactionEvent):
    """A person reacted to a poll; `message_id` is the poll's message. Linq reports no removal."""

    types = ("poll.reaction.added",)
