"""A chat: who is in it and how it is doing."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data
from linqbot.types.handle import Handle
from linqbot.types.message import SentMessage


class HealthStatus(Data):
    """How Linq rates a conversation: `HEALTHY`, `AT_RISK`, `CRITICAL` or `OPTED_OUT`."""

    status: str
    doc_url: str | None = None
    updated_at: datetime | None = None


class HealthScore(Data):
    """What older answers carry instead of a HealthStatus: 0 to 100, higher is healthier."""

    score: int
    reason: str | None = None
    updated_at: datetime | None = None


class ChatRef(Data):
    """A chat as webhook events mention it: enough to answer, not its members.

    Attributes:
        owner_handle: Your line in this chat. None when the event did not say.
    """

    id: str
    is_group: bool | None = None
    owner_handle: Handle | None = None
    health_status: HealthStatus | None = None


class Chat(Data):
    """A chat as Linq's API returns it.

    Attributes:
        display_name: A group's name, else the recipients' handles joined by commas.
        handles: Everybody, your own line included, also those who left (see `Handle.status`).
        service: What the chat travels on now: `iMessage`, `SMS` or `RCS`.
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
    created_at: datetime | None = None
    updated_at: datetime | None = None


class CreatedChat(Chat):
    """A chat as `chats.create` returns it: with the message that opened it.

    Attributes:
        id: Empty if Linq's answer lacks it; the message was sent all the same.
    """

    id: str = ""
    message: SentMessage


class ChatCreatedResponse(Data):
    """Answer of `chats.create`."""

    chat: CreatedChat


class ChatUpdate(Data):
    """Answer of `chats.update`: accepted, the outcome follows as a `chat.group_*` event."""

    chat_id: str | None = None
    status: str | None = None


class Accepted(Data):
    """Answer of calls that Linq queues: reactions, participants, leaving."""

    message: str | None = None
    status: str | None = None
    trace_id: str | None = None


class Placed(Data):
    """Answer of `messages.update_sticker_placement`."""

    success: bool | None = None
    status: str | None = None
    trace_id: str | None = None


class ChatPage(Data):
    """One page of `chats.list_chats`."""

    chats: tuple[Chat, ...] = ()
    next_cursor: str | None = None
