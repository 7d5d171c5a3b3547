"""Webhook subscriptions: the URLs that Linq sends events to, and the event types that they can select.

To verify what arrives at such a URL: `linqbot/linq/signatures.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from linqbot.client.resources.resource import Listing, Resource, at_once, many
from linqbot.linq.types.line import CreatedWebhookSubscription, WebhookSubscription, WebhookSubscriptions
from linqbot.linq.types.line import WebhookEventList as Catalogue


class Subscriptions(Resource):
    """`client.webhook_subscriptions`: create, change and delete webhook subscriptions."""

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
        """Subscribe a URL to events.

        Not retried after a lost response, because the secret is lost too: list the subscriptions, delete the new one,
        and create it again.

        Args:
            target_url: An https URL that no other subscription uses. `?version=2026-02-03` pins the payload version.
            subscribed_events: Event types such as `message.received`, at least one.
            phone_numbers: Only events of these lines, E.164; None or an empty list selects all lines.
            routing_id_header: Name of the header that carries the chat's id, `Linq-Chat-Id` by default.
            routing_key_header: Name of a header in which your 2xx responses may return a token. Linq sends that token
                with the chat's next events. None switches this off.
        Returns:
            The subscription with its `signing_secret`. Keep the secret: Linq never shows it again.
        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/create
        """
        body = {
            "target_url": target_url,
            "subscribed_events": many(subscribed_events),
            "phone_numbers": many(phone_numbers),
            "routing_id_header": routing_id_header,
            "routing_key_header": routing_key_header,
        }
        return await self._read(CreatedWebhookSubscription, "webhook_subscriptions.create", body=body)

    async def retrieve(self, subscription_id: str) -> WebhookSubscription:
        """Get a subscription by its id, a UUID.

        Raises:
            LinqApiError: 404 no subscription with this id.
        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/retrieve
        """
        return await self._read(
            WebhookSubscription, "webhook_subscriptions.retrieve", path={"subscription_id": subscription_id}
        )

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
        """Change a subscription. Arguments that are None leave their field unchanged.

        The signing secret cannot be changed.

        Args:
            is_active: False pauses the subscription, True resumes it.
            phone_numbers: An empty list removes the filter and selects all lines.
            routing_id_header, routing_key_header: An empty string resets the first to its default and switches the
                second off.
        Raises:
            LinqApiError: 404 no subscription with this id.
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
        return await self._read(WebhookSubscription, "webhook_subscriptions.update", path=path, body=body)

    def list(self) -> Listing[WebhookSubscription]:
        """List all subscriptions, including paused ones. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/list
        """
        return at_once(
            lambda: self._read(WebhookSubscriptions, "webhook_subscriptions.list"), lambda got: got.subscriptions
        )

    async def delete(self, subscription_id: str) -> None:
        """Delete a subscription. Events that Linq has not delivered to it yet are lost.

        Raises:
            LinqApiError: 404 no subscription with this id.
        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/delete
        """
        await self._call("webhook_subscriptions.delete", path={"subscription_id": subscription_id})


class WebhookEvents(Resource):
    """`client.webhook_events`: list Linq's event types."""

    __slots__ = ()

    async def list(self) -> Catalogue:
        """List the event types that Linq knows today. Linq may know more types than this release of linqbot.

        Source: https://docs.linqapp.com/api/resources/webhook_events/methods/list
        """
        return await self._read(Catalogue, "webhook_events.list")
