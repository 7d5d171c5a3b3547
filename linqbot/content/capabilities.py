"""The services that a person's phone can receive. Linq is asked once, and its answer is remembered."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel

from linqbot.client.client import Client
from linqbot.errors import LinqApiError
from linqbot.linq.types.data import Data

REMEMBERED_S: Final = 30 * 86_400.0
"""People change their phones, so an answer is asked for again after 30 days."""


class Capabilities(Data):
    """The services that a person's phone can receive, besides SMS.

    Attributes:
        imessage: True if it can receive iMessage; None if Linq could not say.
        rcs: True if it can receive RCS; None if Linq could not say.
    """

    imessage: bool | None = None
    rcs: bool | None = None

    @property
    def service(self) -> Literal["iMessage", "RCS", "SMS"]:
        """Return the best service that the phone is known to receive."""
        return "iMessage" if self.imessage else "RCS" if self.rcs else "SMS"


class CapabilitiesAsked(BaseModel, defer_build=True):
    """The state of a person: what their phone can receive, and when Linq was asked, in Unix seconds."""

    known: Capabilities | None = None
    at: float = 0.0


async def capabilities(
    handle: str, client: Client, state: CapabilitiesAsked, *, line: str | None, service: str | None, now: float
) -> Capabilities:
    """Return what a person's phone can receive; ask Linq if that is not known yet, from our line.

    Args:
        state: What is remembered about the person. It is changed if Linq could say everything.
        service: The service of the person's message, which their phone can receive.
    """
    if state.known is not None and now < state.at + REMEMBERED_S:
        return state.known
    imessage: bool | None = True
    if service != "iMessage":
        imessage = await _can(client, handle, line, rcs=False)
    # RCS knows no e-mail addresses.
    rcs = False if "@" in handle else True if service == "RCS" else await _can(client, handle, line, rcs=True)
    found = Capabilities(imessage=imessage, rcs=rcs)
    if imessage is not None and rcs is not None:
        state.known, state.at = found, now
    return found


async def _can(client: Client, handle: str, line: str | None, *, rcs: bool) -> bool | None:
    """Return True if a handle can receive RCS, or else iMessage; None if Linq cannot say now."""
    check = client.capability.check_RCS if rcs else client.capability.check_i_message
    try:
        return (await check(address=handle, from_=line)).available
    except LinqApiError as error:
        if error.status is not None and error.status not in (429, 503):
            raise
        return None
