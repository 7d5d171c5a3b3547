"""Handles: which services they can receive, and which of them are blocked."""

from __future__ import annotations

from linqbot.client.resources.resource import Listing, Resource, at_once, read
from linqbot.types.handle import Blocked, BlockedHandle, HandleCheck
from linqbot.types.handle import BlockedHandleList as BlockedList


class Capability(Resource):
    """`client.capability`: check which services a handle can receive.

    Linq limits the number of checks and does not publish the figure. `RateLimited.retry_after_s` says how long to wait.
    """

    __slots__ = ()

    async def check_i_message(self, *, address: str, from_: str | None = None) -> HandleCheck:
        """Check if a handle can receive iMessages.

        Args:
            address: E.164 phone number or e-mail address.
            from_: Your line that would send the message, E.164; None lets Linq choose.
        Raises:
            RateLimited: 429/1007 too many checks.
        Source: https://docs.linqapp.com/api/resources/capability/methods/check_i_message
        """
        body = {"address": address, "from": from_}
        response = await self._call("capability.check_i_message", body=body)
        return read(HandleCheck, response, "capability.check_i_message")

    async def check_RCS(self, *, address: str, from_: str | None = None) -> HandleCheck:  # noqa: N802 - Linq's name
        """Check if a phone can receive RCS messages.

        Args:
            address: E.164 phone number; RCS does not use e-mail addresses.
            from_: Your line that would send the message, E.164; None lets Linq choose.
        Raises:
            LinqApiError: 400 the address is an e-mail address.
            LinqUnavailable: 503/4004, 503/4009, 503/4010 the check could not be made. This says nothing about the
                phone, so do not cache it.
            RateLimited: 429/1007 too many checks.
        Source: https://docs.linqapp.com/api/resources/capability/methods/check_rcs
        """
        body = {"address": address, "from": from_}
        return read(HandleCheck, await self._call("capability.check_RCS", body=body), "capability.check_RCS")


class BlockedHandles(Resource):
    """`client.blocked_handles`: block handles. You receive nothing from a blocked handle and cannot send to it."""

    __slots__ = ()

    def list(self) -> Listing[BlockedHandle]:
        """List the handles that you blocked, newest first. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/list
        """

        async def everything() -> tuple[BlockedHandle, ...]:
            response = await self._call("blocked_handles.list")
            return read(BlockedList, response, "blocked_handles.list").blocked_handles

        return at_once(everything)

    async def block(self, *, handle: str, reason: str | None = None) -> Blocked:
        """Block a handle: receive nothing from it and send nothing to it. Blocking it again changes nothing.

        Args:
            handle: E.164 phone number, e-mail address, short code of 3 to 8 digits, or alphanumeric sender id.
            reason: A note for yourself.
        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/block
        """
        body = {"handle": handle, "reason": reason}
        return read(Blocked, await self._call("blocked_handles.block", body=body), "blocked_handles.block")

    async def unblock(self, *, handle: str) -> None:
        """Unblock a handle. The messages that it sent while it was blocked are lost.

        Raises:
            LinqApiError: 404 the handle is not blocked.
        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/unblock
        """
        await self._call("blocked_handles.unblock", body={"handle": handle})
