"""The nouns of Linq's V2: other ids, other names. They are nobody else's, and go when V2 goes."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data


class LegacyHandle(Data):
    """A participant.

    Attributes:
        phone_number: Phone number or e-mail address, whatever its name says.
    """

    id: int
    phone_number: str
    service: str | None = None
    joined_at: datetime | None = None


class LegacyChat(Data):
    """A chat as V2 shows it. Its `id` is a number and means nothing to V3.

    Attributes:
        group: Whether it is a group chat.
    """

    id: int
    display_name: str | None = None
    service: str | None = None
    group: bool = False
    message_count: int | None = None
    chat_handles: tuple[LegacyHandle, ...] = ()


class LegacyMeta(Data):
    """Which page of how many."""

    page: int
    total_pages: int
    total_count: int | None = None
    per_page: int | None = None


class LegacyChats(Data):
    """One page of V2's list of chats."""

    data: tuple[LegacyChat, ...] = ()
    meta: LegacyMeta
