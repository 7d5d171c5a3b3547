"""Where the people of a chat are, as far as they share it."""

from __future__ import annotations

from linqbot.client.resources.resource import Resource, read
from linqbot.types.location import ChatLocation, LocationAccepted


class Location(Resource):
    """`client.chats.location`."""

    __slots__ = ()

    async def retrieve(self, chat_id: str) -> ChatLocation:
        """Get where everybody is who shares it in this chat. No event tells of movements: ask again.

        Returns:
            GeoJSON: one feature a person, coordinates as longitude and latitude in degrees. Empty while nobody
            shares, or nobody was located yet.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/retrieve
        """
        answer = await self._call("chats.location.retrieve", path={"chat_id": chat_id})
        return read(ChatLocation, answer, "chats.location.retrieve")

    async def request(self, chat_id: str) -> LocationAccepted:
        """Ask the person of a direct iMessage chat to share where they are. Not repeated after a lost answer.

        When they do, `location.sharing.started` follows.

        Raises:
            LinqApiError: 409/2016 a group, 409/2017 SMS or RCS, 409 they share already.
            RateLimited: asked too often in this chat; Linq publishes no figure, `retry_after_s` says how long.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/request
        """
        answer = await self._call("chats.location.request", path={"chat_id": chat_id})
        return read(LocationAccepted, answer, "chats.location.request")

    async def stop(self, chat_id: str, *, handle: str) -> LocationAccepted:
        """Stop receiving where somebody is, in all chats with this line. `location.sharing.stopped` follows.

        Args:
            handle: Who shares: E.164 or e-mail.
        Raises:
            LinqApiError: 404 when they share nothing.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/stop
        """
        answer = await self._call("chats.location.stop", path={"chat_id": chat_id}, body={"handle": handle})
        return read(LocationAccepted, answer, "chats.location.stop")
