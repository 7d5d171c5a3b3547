"""A chat: its participants, called handles, its health, and the responses of calls that change it."""

# Without `from __future__ import annotations`: see `events/event.py`.

from typing import Literal, TypeAlias

from pydantic import AwareDatetime

from linqbot.linq.types.data import Data

ServiceType: TypeAlias = Literal["iMessage", "SMS", "RCS"]
"""The services that a call may request. Services in responses are `str`, because Linq may add more."""

BackgroundName: TypeAlias = Literal[
    "mango", "ice", "plum", "deep_sea", "green_apple", "cherry", "bubblegum", "tangerine", "magenta", "lime",
    "silver", "carbon", "stone", "sky dusk", "sky haze", "sky sunset", "sky clear", "sky sunrise", "sky dawn",
    "water light", "water dark", "aurora green", "aurora purple", "aurora pink",
]  # fmt: skip
"""A color of Linq's, or a moving scene with its variant."""


class Handle(Data):
    """A participant of a chat. Linq calls it ChatHandle.

    Attributes:
        handle: E.164 phone number, or an e-mail address.
        is_me: True for your own line.
        status: `active`, `left` or `removed`.
        line_type: The type of the line, if the handle is a line.
    """

    handle: str
    id: str | None = None
    service: str | None = None
    joined_at: AwareDatetime | None = None
    is_me: bool | None = None
    left_at: AwareDatetime | None = None
    status: str | None = None
    line_type: str | None = None

    def __str__(self) -> str:
        return self.handle


class HealthStatus(Data):
    """Linq's rating of a conversation: `HEALTHY`, `AT_RISK`, `CRITICAL` or `OPTED_OUT`."""

    status: str
    doc_url: str | None = None
    updated_at: AwareDatetime | None = None


class HealthScore(Data):
    """The rating in older responses, in place of HealthStatus: 0 to 100, higher is healthier."""

    score: int
    reason: str | None = None
    updated_at: AwareDatetime | None = None


class ChatRef(Data):
    """A chat as webhook events mention it: enough to reply, without its participants.

    Attributes:
        owner_handle: Your line in this chat; None if the event does not contain it.
    """

    id: str
    is_group: bool | None = None
    owner_handle: Handle | None = None
    health_status: HealthStatus | None = None


class Chat(Data):
    """A chat as Linq's API returns it.

    Attributes:
        display_name: A group's name, or else the recipients' handles joined by commas.
        handles: All participants, including your own line and those who left (see `Handle.status`).
        service: The service that the chat uses now: `iMessage`, `SMS` or `RCS`.
    """

    id: str
    handles: tuple[Handle, ...] = ()
    is_group: bool = False
    display_name: str | None = None
    health_status: HealthStatus | None = None
    health_score: HealthScore | None = None
    service: str | None = None
    group_chat_icon: str | None = None
    is_archived: bool | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class ChatUpdate(Data):
    """Response of `chats.update`: the change is accepted. A `chat.group_*` event reports the outcome."""

    chat_id: str | None = None
    status: str | None = None


class Accepted(Data):
    """Response of calls that Linq queues: reactions, changes of participants, leaving a chat."""

    message: str | None = None
    status: str | None = None
    trace_id: str | None = None


class Placed(Data):
    """Response of `messages.update_sticker_placement`."""

    success: bool | None = None
    status: str | None = None
    trace_id: str | None = None
