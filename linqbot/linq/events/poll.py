"""Events about polls: sent, delivered, read, received, failed, changed, voted on."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, Field

from linqbot.linq.events.event import UNKNOWN_HANDLE, Event, handle_of, place_actor, place_in_chat
from linqbot.linq.events.lane import as_object
from linqbot.linq.types.chat import ChatRef, Handle
from linqbot.linq.types.chat_features import Poll, PollOption
from linqbot.linq.types.data import Data

__all__ = [
    "PollDelivered", "PollFailed", "PollRead", "PollReceived", "PollSent", "PollUpdated", "PollVote", "PollVoteAdded",
    "PollVoteRemoved",
]  # fmt: skip


class PollError(Data):
    """The reason why a poll could not be sent."""

    code: int | None = None
    message: str | None = None


class PollEvent(Event):
    """Base of the events about polls.

    Attributes:
        message_id: The poll's message, which identifies the poll.
        sender: The author of the action. The handle is empty if Linq did not say.
        direction: `inbound` or `outbound`.
    """

    chat: ChatRef | None = None
    sender: Handle = Field(default=UNKNOWN_HANDLE, alias="sender_handle")
    direction: str | None = None
    zero_retention: bool = False

    @property
    def is_own(self) -> bool:
        return self.direction == "outbound" or super().is_own

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data)
        # The event of your own failed poll has no sender.
        if handle_of(fields.get("sender_handle")) is None and data.get("direction") == "outbound":
            fields["sender_handle"] = as_object(data.get("chat")).get("owner_handle")
        place_in_chat(fields)
        place_actor(fields, fields.get("sender_handle"))
        return fields


class PollState(PollEvent):
    """Base of the events that contain the whole poll.

    Attributes:
        poll_created_at: The time when the poll was created; `created_at` is the time of the event.
        updated_at: The time of the poll's last change.
    """

    poll: Poll = Poll()
    poll_created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**super().fields_of(data), "poll_created_at": data.get("created_at")}


class PollReceipt(PollState):
    """Base of the events about the delivery of your own poll."""

    sent_at: AwareDatetime | None = None
    delivered_at: AwareDatetime | None = None
    read_at: AwareDatetime | None = None


class PollSent(PollReceipt):
    """The device or carrier accepted your poll."""


class PollDelivered(PollReceipt):
    """Your poll reached the recipient's device."""


class PollRead(PollReceipt):
    """The recipient read your poll."""


class PollReceived(PollState):
    """A person created a poll."""

    echoes = True

    received_at: AwareDatetime | None = None


class PollFailed(PollState):
    """Your poll could not be sent."""

    error: PollError = PollError()
    failed_at: AwareDatetime | None = None


class PollUpdated(PollEvent):
    """Options were added to a poll.

    Attributes:
        added_options: Only the new options.
        sender: The author of the first new option. Linq's own `sender_handle` is always your line in this event.
    """

    echoes = True

    added_options: tuple[PollOption, ...] = ()

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        added = data.get("added_options")
        first = as_object(added[0]) if isinstance(added, list) and added else {}
        return super().fields_of({**data, "sender_handle": first.get("creator_handle")})


class PollVote(PollEvent):
    """Base of the events about a vote for an option.

    Attributes:
        option_id: The option; its text is in the poll.
        sender: The voter.
    """

    echoes = True

    option_id: str | None = None


class PollVoteAdded(PollVote):
    """A person voted for an option."""


class PollVoteRemoved(PollVote):
    """A person took a vote back."""
