"""Handles: what somebody can receive, and whom you neither hear nor write to."""

from __future__ import annotations

from linqbot.client.resources.resource import Listing, Resource, at_once, read
from linqbot.types.handle import Blocked, BlockedHandle, HandleCheck
from linqbot.types.handle import BlockedHandleList as BlockedList


class Capability(Resource):
    """`client.capability`. Linq limits these checks and does not publish how: `RateLimited` says how long to wait."""

    __slots__ = ()

    async def check_i_message(self, *, address: str, from_: str | None = None) -> HandleCheck:
        """Ask whether somebody receives iMessages.

        Args:
            address: E.164 or e-mail.
            from_: Your line that would write, E.164; None lets Linq choose.
        Source: https://docs.linqapp.com/api/resources/capability/methods/check_i_message
        """
        body = {"address": address, "from": from_}
        answer = await self._call("capability.check_i_message", body=body)
        return read(HandleCheck, answer, "capability.check_i_message")

    async def check_RCS(self, *, address: str, from_: str | None = None) -> HandleCheck:  # noqa: N802 - Linq's name
        """Ask whether a phone receives RCS.

        Args:
            address: E.164: RCS knows no e-mail addresses.
            from_: Your line that would write, E.164; None lets Linq choose.
        Raises:
            LinqUnavailable: 503/4004, 4009, 4010: not known now, which says nothing about the phone.
        Source: https://docs.linqapp.com/api/resources/capability/methods/check_rcs
        """
        body = {"address": address, "from": from_}
        return read(HandleCheck, await self._call("capability.check_RCS", body=body), "capability.check_RCS")


class BlockedHandles(Resource):
    """`client.blocked_handles`."""

    __slots__ = ()

    def list(self) -> Listing[BlockedHandle]:
        """List whom you blocked, newest first. Linq gives them all at once.

        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/list
        """

        async def everything() -> tuple[BlockedHandle, ...]:
            answer = await self._call("blocked_handles.list")
            return read(BlockedList, answer, "blocked_handles.list").blocked_handles

        return at_once(everything)

    async def block(self, *, handle: str, reason: str | None = None) -> Blocked:
        """Neither hear nor write to somebody any more. Blocking again changes nothing.

        Args:
            handle: E.164, e-mail, short code of 3 to 8 digits, or an alphanumeric sender id.
            reason: A note for you.
        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/block
        """
        body = {"handle": handle, "reason": reason}
        return read(Blocked, await self._call("blocked_handles.block", body=body), "blocked_handles.block")

    async def unblock(self, *, handle: str) -> None:
        """Hear somebody again. What they wrote in between is lost.

        Raises:
            LinqApiError: 404 when they are not blocked.
        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/unblock
        """
        await self._call("blocked_handles.unblock", body={"handle": handle})
