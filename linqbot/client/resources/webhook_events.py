"""The event types that a webhook subscription can select."""

from __future__ import annotations

from linqbot.client.resources.resource import Resource, read
from linqbot.types.webhook import WebhookEventList as Catalogue


class WebhookEvents(Resource):
    """`client.webhook_events`: list Linq's event types."""

    __slots__ = ()

    async def list(self) -> Catalogue:
        """List the event types that Linq knows today. Linq may know more types than this release of linqbot.

        Source: https://docs.linqapp.com/api/resources/webhook_events/methods/list
        """
        return read(Catalogue, await self._call("webhook_events.list"), "webhook_events.list")
