"""Polls: sent, delivered, read, received, failed, given more options, voted on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from linqbot.events.event import NOBODY, Event, as_object, place_actor, place_in_chat
from linqbot.types.chat import ChatRef
from linqbot.types.data import Data
from linqbot.types.handle import Handle
from linqbot.types.poll import Poll, PollOption


class PollError(Data):
    """Why a poll could not be sent."""

    code: int | None = None
    message: str | None = None


class PollEvent(Event):
    """What the events about polls have in common.

    Attributes:
        message_id: The poll's message, which names the poll.
        sender: Who did it. An empty handle when Linq did not say.
        direction: `inbound` or `outbound`.
    """

    chat: ChatRef | None = None
    sender: Handle = Field(default=NOBODY, alias="sender_handle")
    direction: str | None = None
    zero_retention: bool = False

    @property
    def is_own(self) -> bool:
        return self.direction == "outbound" or super().is_own

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data)
        # Your own poll that failed names no sender.
        if fields.get("sender_handle") is None and data.get("direction") == "outbound":
            fields["sender_handle"] = as_object(data.get("chat")).get("owner_handle")
        place_in_chat(fields)
        place_actor(fields, fields.get("sender_handle"))
        return fields


class PollState(PollEvent):
    """A poll as a whole.

    Attributes:
        poll_created_at: When the poll was made; `created_at` is when the event was.
        updated_at: When the poll last changed.
    """

    poll: Poll = Poll()
    poll_created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**super().fields_of(data), "poll_created_at": data.get("created_at")}


class PollReceipt(PollState):
    """How far your own poll got."""

    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None


class PollSent(PollReceipt):
    """Your poll was taken by the device or carrier."""

    types = ("poll.sent",)


class PollDelivered(PollReceipt):
    """Your poll reached the recipient's device."""

    types = ("poll.delivered",)


class PollRead(PollReceipt):
    """Your poll was read."""

    types = ("poll.read",)


class PollReceived(PollState):
    """Somebody else made a poll."""

    types = ("poll.received",)
    echoes = True

    received_at: datetime | None = None


class PollFailed(PollState):
    """Your poll could not be sent."""

    types = ("poll.failed",)

    error: PollError = PollError()
    failed_at: datetime | None = None


class PollUpdated(PollEvent):
    """Options were added to a poll.

    Attributes:
        added_options: Only the new ones.
        sender: Who added the first of them. Linq's own `sender_handle` is your line here, whoever did it.
    """

    types = ("poll.updated",)
    echoes = True

    added_options: tuple[PollOption, ...] = ()

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        added = data.get("added_options")
        first = as_object(added[0]) if isinstance(added, list) and added else {}
        return super().fields_of({**data, "sender_handle": first.get("creator_handle")})


class PollVote(PollEvent):
    """One option of a poll was chosen or not any more.

    Attributes:
        option_id: Which; its text is in the poll.
        sender: The voter.
    """

    echoes = True

    option_id: str | None = None


class PollVoteAdded(PollVote):
    """Somebody chose an option."""

    types = ("poll.vote.added",)


class PollVoteRemoved(PollVote):
    """Somebody took a vote back."""

    types = ("poll.vote.removed",)
