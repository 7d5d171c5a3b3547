"""The data of Linq's legacy V2, with its own ids and names. Only `client/resources/v2.py` uses them."""

from __future__ import annotations

from datetime import datetime

from linqbot.linq.types.data import Data


class LegacyHandle(Data):
    """A participant of a chat.

    Attributes:
        phone_number: A phone number or an e-mail address, despite the name.
    """

    id: int
    phone_number: str
    service: str | None = None
    joined_at: datetime | None = None


class LegacyChat(Data):
    """A chat in V2's format. Its `id` is a number and is not valid in V3.

    Attributes:
        group: True for a group chat.
    """

    id: int
    display_name: str | None = None
    service: str | None = None
    group: bool = False
    message_count: int | None = None
    chat_handles: tuple[LegacyHandle, ...] = ()


class LegacyMeta(Data):
    """The page number and the number of pages."""

    page: int
    total_pages: int
    total_count: int | None = None
    per_page: int | None = None


class LegacyChats(Data):
    """One page of V2's list of chats."""

    data: tuple[LegacyChat, ...] = ()
    meta: LegacyMeta
