"""The locations that the participants of a chat share with your line."""

from __future__ import annotations

from linqbot.client.resources.resource import Resource, read
from linqbot.types.location import ChatLocation, LocationAccepted


class LocationResource(Resource):
    """`client.chats.location`: read, request and stop the sharing of locations."""

    __slots__ = ()

    async def retrieve(self, chat_id: str) -> ChatLocation:
        """Get the locations that participants of this chat share. No event reports movements: call again for news.

        Returns:
            GeoJSON with one feature per person; coordinates are longitude and latitude in degrees. Empty while no
            participant shares a location, or none was located yet.
        Raises:
            LinqApiError: 404/2001 no chat with this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/retrieve
        """
        response = await self._call("chats.location.retrieve", path={"chat_id": chat_id})
        return read(ChatLocation, response, "chats.location.retrieve")

    async def request(self, chat_id: str) -> LocationAccepted:
        """Ask the person of a direct iMessage chat to share their location. Not retried after a lost response.

        If the person agrees, `location.sharing.started` follows.

        Raises:
            LinqApiError: 409/2016 the chat is a group, 409/2017 it is on SMS or RCS, 409 the person shares already,
                404/2001 no chat with this id.
            RateLimited: Too many requests in this chat. Linq does not publish the limit; `retry_after_s` says how long
                to wait.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/request
        """
        response = await self._call("chats.location.request", path={"chat_id": chat_id})
        return read(LocationAccepted, response, "chats.location.request")

    async def stop(self, chat_id: str, *, handle: str) -> LocationAccepted:
        """Stop receiving a person's location, in all chats with this line. `location.sharing.stopped` follows.

        Args:
            handle: The person: E.164 phone number or e-mail address.
        Raises:
            LinqApiError: 404 the person shares no location.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/stop
        """
        response = await self._call("chats.location.stop", path={"chat_id": chat_id}, body={"handle": handle})
        return read(LocationAccepted, response, "chats.location.stop")
