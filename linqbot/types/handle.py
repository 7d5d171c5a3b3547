"""A handle: a phone number or an e-mail address, as a participant of a chat."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from linqbot.types.data import Data

ServiceType: TypeAlias = Literal["iMessage", "SMS", "RCS"]
"""What may be asked for. What comes back is `str`, since Linq may add services."""


class Handle(Data):
    """Who takes part in a chat. Linq calls it ChatHandle.

    Attributes:
        handle: E.164 phone number, or an e-mail address.
        is_me: True for your own line.
        status: `active`, `left` or `removed`.
        line_type: For a line: what kind of line it is.
    """

    handle: str
    id: str | None = None
    service: str | None = None
    joined_at: datetime | None = None
    is_me: bool | None = None
    left_at: datetime | None = None
    status: str | None = None
    line_type: str | None = None

    def __str__(self) -> str:
        return self.handle


class HandleCheck(Data):
    """Whether somebody can be reached over a service.

    Attributes:
        reason: `not_supported` when they cannot.
        selected_service: What a message to them would travel on now.
    """

    address: str
    available: bool
    reason: str | None = None
    selected_service: str | None = None


class BlockedHandle(Data):
    """Somebody you neither hear nor write to.

    Attributes:
        handle: As Linq normalised it.
    """

    handle: str
    blocked_at: datetime | None = None
    reason: str | None = None


class Blocked(Data):
    """Answer of `blocked_handles.block`."""

    blocked_handle: BlockedHandle


class BlockedHandleList(Data):
    """Answer of `blocked_handles.list`."""

    blocked_handles: tuple[BlockedHandle, ...] = ()
