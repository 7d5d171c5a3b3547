"""Where Linq sent a message when it chose the line itself."""

from __future__ import annotations

from pydantic import Field

from linqbot.types.data import Data
from linqbot.types.handle import Handle
from linqbot.types.message import SentMessage


class FromSelection(Data):
    """Why Linq took this line.

    Attributes:
        reason: `reused_active_chat`, `new_best_number` or `failover_flagged`.
    """

    reason: str
    reused_existing_chat: bool | None = None


class MessageCreated(Data):
    """Answer of `messages.create`.

    Attributes:
        chat_id: Empty if Linq's answer lacks it; the message was sent all the same.
        from_: The line the message goes out from, E.164.
        previous_chat_id: Set after a failover: the chat on the flagged line, which `chat_id` now continues.
    """

    chat_id: str = ""
    message: SentMessage
    from_: str | None = Field(default=None, alias="from")
    from_selection: FromSelection | None = None
    created_new_chat: bool | None = None
    previous_chat_id: str | None = None
    handles: tuple[Handle, ...] = ()
    is_group: bool | None = None
    service: str | None = None
