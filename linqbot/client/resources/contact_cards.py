"""Contact cards: the name and photo that a line shows. To share a card in a chat: `chats.share_contact_card`."""

from __future__ import annotations

from linqbot.client.resources.resource import Resource, read
from linqbot.types.line import ContactCard
from linqbot.types.line import ContactCardList as Cards


class ContactCards(Resource):
    """`client.contact_card`: create, read and change the contact cards of your lines.

    `create` and `update` share one limit: three calls per line in ten minutes (R94).
    """

    __slots__ = ()

    async def create(
        self, *, first_name: str, phone_number: str, image_url: str | None = None, last_name: str | None = None
    ) -> ContactCard:
        """Create the contact card of a line that has none.

        Args:
            phone_number: The line, E.164.
            image_url: The URL of a photo.
        Raises:
            RateLimited: This is the fourth call for this line within ten minutes; it was not sent.
            LinqApiError: 409/2014 the line already has a card: update it.
            LinqUnavailable: 500/2022 the card was not completed: call again. 503/4004 wait a while, then call again.
        Source: https://docs.linqapp.com/api/resources/contact_card/methods/create
        """
        body = {
            "phone_number": phone_number,
            "first_name": first_name,
            "last_name": last_name,
            "image_url": image_url,
        }
        return read(ContactCard, await self._call("contact_card.create", body=body), "contact_card.create")

    async def retrieve(self, *, phone_number: str | None = None) -> Cards:
        """Get the contact cards of all lines, or of one line.

        Args:
            phone_number: The line, E.164; None returns the cards of all lines.
        Source: https://docs.linqapp.com/api/resources/contact_card/methods/retrieve
        """
        query = {"phone_number": phone_number}
        return read(Cards, await self._call("contact_card.retrieve", query=query), "contact_card.retrieve")

    async def update(
        self,
        *,
        phone_number: str,
        first_name: str | None = None,
        image_url: str | None = None,
        last_name: str | None = None,
    ) -> ContactCard:
        """Change a line's contact card. Arguments that are None leave their field unchanged.

        Args:
            phone_number: The line, E.164.
            image_url: The URL of a photo.
        Raises:
            RateLimited: This is the fourth call for this line within ten minutes; it was not sent.
            LinqApiError: 404/2012 the line has no card.
            LinqUnavailable: 500/2022 the change was not completed: call again. 503/4004 wait a while, then call again.
        Source: https://docs.linqapp.com/api/resources/contact_card/methods/update
        """
        query, body = {"phone_number": phone_number}, {"first_name": first_name, "last_name": last_name}
        response = await self._call("contact_card.update", query=query, body={**body, "image_url": image_url})
        return read(ContactCard, response, "contact_card.update")
