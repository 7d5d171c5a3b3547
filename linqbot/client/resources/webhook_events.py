"""The catalogue of event types a webhook subscription may ask for."""

from __future__ import annotations

from linqbot.client.resources.resource import Resource, read
from linqbot.types.webhook import WebhookEventList as Catalogue


class WebhookEvents(Resource):
    """`client.webhook_events`."""

    __slots__ = ()

    async def list(self) -> Catalogue:
        """List the event types Linq knows today; it may know more than this release of linqbot.

        Source: https://docs.linqapp.com/api/resources/webhook_events/methods/list
        """
        return read(Catalogue, await self._call("webhook_events.list"), "webhook_events.list")
