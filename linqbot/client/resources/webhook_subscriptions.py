"""Webhook subscriptions: where Linq sends events, and which. Checking what arrives there: `linqbot/webhooks.py`."""

from __future__ import annotations

from collections.abc import Sequence

from linqbot.client.resources.resource import Listing, Resource, at_once, many, read
from linqbot.types.webhook import CreatedWebhookSubscription, WebhookSubscription, WebhookSubscriptions


class Subscriptions(Resource):
    """`client.webhook_subscriptions`. An id Linq does not know is `LinqApiError` 404."""

    __slots__ = ()

    async def create(
        self,
        *,
        target_url: str,
        subscribed_events: Sequence[str],
        phone_numbers: Sequence[str] | None = None,
        routing_id_header: str | None = None,
        routing_key_header: str | None = None,
    ) -> CreatedWebhookSubscription:
        """Subscribe an address to events. Not repeated after a lost answer: list, delete and create anew.

        Args:
            target_url: https, and no other subscription's. `?version=2026-02-03` pins the payload version.
            subscribed_events: Event types such as `message.received`, at least one.
            phone_numbers: Only events of these lines, E.164; None or empty is all lines.
            routing_id_header: Header that carries the chat's id, `Linq-Chat-Id` by default.
            routing_key_header: Header in which your 2xx answers give a token that comes back with the chat's next
                events; None switches this off.
        Returns:
            The subscription with its `signing_secret`. Keep it: Linq never shows it again.
        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/create
        """
        body = {
            "target_url": target_url,
            "subscribed_events": many(subscribed_events),
            "phone_numbers": many(phone_numbers),
            "routing_id_header": routing_id_header,
            "routing_key_header": routing_key_header,
        }
        answer = await self._call("webhook_subscriptions.create", body=body)
        return read(CreatedWebhookSubscription, answer, "webhook_subscriptions.create")

    async def retrieve(self, subscription_id: str) -> WebhookSubscription:
        """Get a subscription by its id, a UUID.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/retrieve
        """
        answer = await self._call("webhook_subscriptions.retrieve", path={"subscription_id": subscription_id})
        return read(WebhookSubscription, answer, "webhook_subscriptions.retrieve")

    async def update(
        self,
        subscription_id: str,
        *,
        is_active: bool | None = None,
        phone_numbers: Sequence[str] | None = None,
        routing_id_header: str | None = None,
        routing_key_header: str | None = None,
        subscribed_events: Sequence[str] | None = None,
        target_url: str | None = None,
    ) -> WebhookSubscription:
        """Change a subscription. What is None stays; the secret cannot be changed.

        Args:
            is_active: False pauses it, True resumes.
            phone_numbers: An empty list removes the filter: events of all lines.
            routing_id_header, routing_key_header: An empty string goes back to the default, and to off.
        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/update
        """
        body = {
            "is_active": is_active,
            "phone_numbers": many(phone_numbers),
            "routing_id_header": routing_id_header,
            "routing_key_header": routing_key_header,
            "subscribed_events": many(subscribed_events),
            "target_url": target_url,
        }
        path = {"subscription_id": subscription_id}
        answer = await self._call("webhook_subscriptions.update", path=path, body=body)
        return read(WebhookSubscription, answer, "webhook_subscriptions.update")

    def list(self) -> Listing[WebhookSubscription]:
        """List all subscriptions, paused ones too. Linq gives them all at once.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/list
        """

        async def everything() -> tuple[WebhookSubscription, ...]:
            answer = await self._call("webhook_subscriptions.list")
            return read(WebhookSubscriptions, answer, "webhook_subscriptions.list").subscriptions

        return at_once(everything)

    async def delete(self, subscription_id: str) -> None:
        """Delete a subscription. What Linq has not delivered to it yet is lost.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/delete
        """
        await self._call("webhook_subscriptions.delete", path={"subscription_id": subscription_id})
