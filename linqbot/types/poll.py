"""Polls, their options and their voters, as both Linq's API and its webhook events carry them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from linqbot.types.data import Data
from linqbot.types.handle import Handle
from linqbot.types.message import Reaction


def _handle_of(voter: Any) -> Any:
    return voter.get("handle") if isinstance(voter, dict) else voter


class PollVoter(Data):
    """A person who chose an option.

    Attributes:
        handle: A phone number or an e-mail address. Read from a string, and also from a handle object.
    """

    handle: Annotated[str, BeforeValidator(_handle_of)]
    voted_at: datetime | None = None


class PollOption(Data):
    """An option of a poll.

    Attributes:
        text: Empty if the line has zero retention.
        creator_handle: The participant who added the option; None if unknown.
    """

    option_id: str
    text: str = ""
    can_be_edited: bool | None = None
    creator_handle: Handle | None = None
    voters: tuple[PollVoter, ...] = ()


class Poll(Data):
    """The options of a poll, and the number of people who voted for any of them."""

    options: tuple[PollOption, ...] = ()
    total_voters: int = 0


class PollEnvelope(Data):
    """A poll and its message. A poll is identified by its `message_id`.

    Attributes:
        chat_id: Empty if Linq's response lacks it and the call does not name the chat.
    """

    chat_id: str = ""
    message_id: str
    poll: Poll = Field(default_factory=Poll)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    reactions: tuple[Reaction, ...] = ()
