"""A handle: a phone number or an e-mail address that takes part in a chat."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from linqbot.linq.types.data import Data

ServiceType: TypeAlias = Literal["iMessage", "SMS", "RCS"]
"""The services that a call may request. Services in responses are `str`, because Linq may add more."""


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
    joined_at: datetime | None = None
    is_me: bool | None = None
    left_at: datetime | None = None
    status: str | None = None
    line_type: str | None = None

    def __str__(self) -> str:
        return self.handle


class HandleCheck(Data):
    """Response of a capability check: the availability of a handle on a service.

    Attributes:
        reason: `not_supported` if the handle is not available.
        selected_service: The service that a message to this handle would use now.
    """

    address: str
    available: bool
    reason: str | None = None
    selected_service: str | None = None


class BlockedHandle(Data):
    """A handle that you blocked: you receive nothing from it and cannot send to it.

    Attributes:
        handle: As normalised by Linq.
    """

    handle: str
    blocked_at: datetime | None = None
    reason: str | None = None


class Blocked(Data):
    """Response of `blocked_handles.block`."""

    blocked_handle: BlockedHandle


class BlockedHandleList(Data):
    """Response of `blocked_handles.list`."""

    blocked_handles: tuple[BlockedHandle, ...] = ()
