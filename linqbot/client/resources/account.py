"""The account: its lines, their contact cards, the handles that they can write to, and webhook subscriptions.

Lines can be listed, audited for their reputation, chosen for a new chat, and their calls forwarded. A contact card is
the name and photo that a line shows; `chats.share_contact_card` shares it in a chat. Of a handle, Linq knows the
services that it can receive, and if it is blocked. To verify what arrives at the URL of a subscription:
`linqbot/linq/signatures.py`. The legacy V2 has one list, with page numbers, numeric ids and an error body of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from linqbot.client.resources.resource import ApiResource, Listing, Page, checked_call, read
from linqbot.linq.types.line import AvailableNumber as Available
from linqbot.linq.types.line import (
    Blocked,
    BlockedHandle,
    ContactCard,
    CreatedWebhookSubscription,
    Forwarding,
    HandleCheck,
    LegacyChat,
    LegacyChats,
    LegacyPhoneNumber,
    PhoneNumber,
    ReputationAudit,
    ReputationAuditStarted,
    WebhookSubscription,
)
from linqbot.linq.types.line import ContactCardList as Cards
from linqbot.linq.types.line import WebhookEventList as Catalogue


class PhoneNumbers(ApiResource):
    """`client.phone_numbers`: the lines of the account, their call forwarding and their reputation audits."""

    def list(self, *, extra_body: Mapping[str, Any] | None = None) -> Listing[PhoneNumber]:
        """List the lines of the account with their reputation. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/list
        """
        return self._list(PhoneNumber, "phone_numbers.list", "phone_numbers", locals())

    async def update(
        self, phone_number_id: str, *, forwarding_number: str | None, extra_body: Mapping[str, Any] | None = None
    ) -> Forwarding:
        """Forward a line's calls to another number, or stop forwarding them.

        Args:
            phone_number_id: The id of the line, a UUID: `PhoneNumber.id`.
            forwarding_number: E.164; None stops forwarding.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/update
        """
        # Linq requires the field even to clear it. `_call` drops fields that are None, and Linq accepts "" instead.
        forwarding_number = forwarding_number or ""
        return await self._read(Forwarding, "phone_numbers.update", locals())

    async def start_reputation_audit(
        self, phone_number: str, *, extra_body: Mapping[str, Any] | None = None
    ) -> ReputationAuditStarted:
        """Start an audit of a line's reputation. While an audit is running, return that audit instead of a new one.

        Args:
            phone_number: The line, E.164.
        Returns:
            The id of the audit, for `get_reputation_audit`.
        Raises:
            RateLimited: The previous audit was too recent; `retry_after_s` says how long to wait.
            LinqApiError: 404 the account has no such line.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/start_reputation_audit
        """
        return await self._read(ReputationAuditStarted, "phone_numbers.start_reputation_audit", locals())

    async def get_reputation_audit(
        self, audit_id: str, *, phone_number: str, extra_body: Mapping[str, Any] | None = None
    ) -> ReputationAudit:
        """Get an audit: `pending` at first, then with its report. Linq keeps an audit for 24 hours.

        Args:
            audit_id: A UUID, from `start_reputation_audit`.
            phone_number: The audited line, E.164.
        Raises:
            LinqApiError: 404 the audit is older than 24 hours, or belongs to another line.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/get_reputation_audit
        """
        return await self._read(ReputationAudit, "phone_numbers.get_reputation_audit", locals())


class LegacyLines(ApiResource):
    """`client.phonenumbers`: the older list of lines. Deprecated by Linq: use `client.phone_numbers`."""

    def list(self, *, extra_body: Mapping[str, Any] | None = None) -> Listing[LegacyPhoneNumber]:
        """List the lines in the deprecated format, without their reputation. Use `phone_numbers.list`.

        Source: https://docs.linqapp.com/api/resources/phonenumbers/methods/list
        """
        warnings.warn("Linq deprecates phonenumbers.list. Use phone_numbers.list.", DeprecationWarning, stacklevel=2)
        return self._list(LegacyPhoneNumber, "phonenumbers.list", "phone_numbers", locals())


class AvailableNumberResource(ApiResource):
    """`client.available_number`: find the line to send from."""

    async def retrieve(
        self,
        *,
        exclude_from: Sequence[str] | None = None,
        to: Sequence[str] | None = None,
        type: Literal["RCS", "iMessage"] | str | None = None,  # noqa: A002 - Linq's name for it
        extra_body: Mapping[str, Any] | None = None,
    ) -> Available:
        """Get the line that Linq recommends to send from.

        Args:
            exclude_from: Lines that Linq must not choose, E.164; numbers that are not yours are ignored.
            to: The recipients. Linq returns the line of your chat with exactly these recipients, else the healthy line
                that was used least recently.
            type: Only lines of this type.
        Returns:
            The line and its vCard.
        Raises:
            LinqApiError: 400 every line is excluded.
            LinqUnavailable: 503 no line of this type can send.
        Source: https://docs.linqapp.com/api/resources/available_number/methods/retrieve
        """
        return await self._read(Available, "available_number.retrieve", locals())


class ContactCards(ApiResource):
    """`client.contact_card`: create, read and change the contact cards of your lines.

    `create` and `update` share one limit: three calls per line in ten minutes (R94).
    """

    async def create(
        self,
        *,
        phone_number: str,
        first_name: str,
        last_name: str | None = None,
        image_url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> ContactCard:
        """Create the contact card of a line that has none.

        Args:
            phone_number: The line, E.164.
            image_url: The URL of a photo.
        Raises:
            RateLimited: This is the fourth call for this line within ten minutes.
            LinqApiError: 409/2014 the line already has a card: update it.
            LinqUnavailable: 500/2022 the card was not completed: call again. 503/4004 wait a while, then call again.
        Source: https://docs.linqapp.com/api/resources/contact_card/methods/create
        """
        return await self._read(ContactCard, "contact_card.create", locals())

    async def retrieve(self, *, phone_number: str | None = None, extra_body: Mapping[str, Any] | None = None) -> Cards:
        """Get the contact cards of all lines, or of one line.

        Args:
            phone_number: The line, E.164; None returns the cards of all lines.
        Source: https://docs.linqapp.com/api/resources/contact_card/methods/retrieve
        """
        return await self._read(Cards, "contact_card.retrieve", locals())

    async def update(
        self,
        *,
        phone_number: str,
        first_name: str | None = None,
        image_url: str | None = None,
        last_name: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> ContactCard:
        """Change a line's contact card. Arguments that are None leave their field unchanged.

        Args:
            phone_number: The line, E.164.
            image_url: The URL of a photo.
        Raises:
            RateLimited: This is the fourth call for this line within ten minutes.
            LinqApiError: 404/2012 the line has no card.
            LinqUnavailable: 500/2022 the change was not completed: call again. 503/4004 wait a while, then call again.
        Source: https://docs.linqapp.com/api/resources/contact_card/methods/update
        """
        body = {"first_name": first_name, "last_name": last_name, "image_url": image_url}
        call = checked_call(
            "contact_card.update", query={"phone_number": phone_number}, body=body, extra_body=extra_body
        )
        return read(ContactCard, await self._run(call), call.name)


class Capability(ApiResource):
    """`client.capability`: check which services a handle can receive.

    Linq limits the number of checks and does not publish the figure. `RateLimited.retry_after_s` says how long to wait.
    """

    async def check_i_message(
        self, *, address: str, from_: str | None = None, extra_body: Mapping[str, Any] | None = None
    ) -> HandleCheck:
        """Check if a handle can receive iMessages.

        Args:
            address: E.164 phone number or e-mail address.
            from_: Your line that would send the message, E.164; None lets Linq choose.
        Source: https://docs.linqapp.com/api/resources/capability/methods/check_i_message
        """
        return await self._read(HandleCheck, "capability.check_i_message", locals())

    async def check_RCS(  # noqa: N802 - Linq's name
        self, *, address: str, from_: str | None = None, extra_body: Mapping[str, Any] | None = None
    ) -> HandleCheck:
        """Check if a phone can receive RCS messages.

        Args:
            address: E.164 phone number; RCS does not use e-mail addresses.
            from_: Your line that would send the message, E.164; None lets Linq choose.
        Raises:
            LinqApiError: 400 the address is an e-mail address.
            LinqUnavailable: 503/4004, 503/4009, 503/4010 the check could not be made. This says nothing about the
                phone, so do not cache it.
        Source: https://docs.linqapp.com/api/resources/capability/methods/check_rcs
        """
        return await self._read(HandleCheck, "capability.check_RCS", locals())


class BlockedHandles(ApiResource):
    """`client.blocked_handles`: block handles. You receive nothing from a blocked handle and cannot send to it."""

    def list(self, *, extra_body: Mapping[str, Any] | None = None) -> Listing[BlockedHandle]:
        """List the handles that you blocked, newest first. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/list
        """
        return self._list(BlockedHandle, "blocked_handles.list", "blocked_handles", locals())

    async def block(
        self, *, handle: str, reason: str | None = None, extra_body: Mapping[str, Any] | None = None
    ) -> Blocked:
        """Block a handle: receive nothing from it and send nothing to it. Blocking it again changes nothing.

        Args:
            handle: E.164 phone number, e-mail address, short code of 3 to 8 digits, or alphanumeric sender id.
            reason: A note for yourself.
        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/block
        """
        return await self._read(Blocked, "blocked_handles.block", locals())

    async def unblock(self, *, handle: str, extra_body: Mapping[str, Any] | None = None) -> None:
        """Unblock a handle. The messages that it sent while it was blocked are lost.

        Raises:
            LinqApiError: 404 the handle is not blocked.
        Source: https://docs.linqapp.com/api/resources/blocked_handles/methods/unblock
        """
        await self._call("blocked_handles.unblock", locals())


class Subscriptions(ApiResource):
    """`client.webhook_subscriptions`: create, change and delete webhook subscriptions."""

    async def create(
        self,
        *,
        target_url: str,
        subscribed_events: Sequence[str],
        phone_numbers: Sequence[str] | None = None,
        routing_id_header: str | None = None,
        routing_key_header: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
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
        return await self._read(CreatedWebhookSubscription, "webhook_subscriptions.create", locals())

    async def retrieve(
        self, subscription_id: str, *, extra_body: Mapping[str, Any] | None = None
    ) -> WebhookSubscription:
        """Get a subscription by its id, a UUID.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/retrieve
        """
        return await self._read(WebhookSubscription, "webhook_subscriptions.retrieve", locals())

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
        extra_body: Mapping[str, Any] | None = None,
    ) -> WebhookSubscription:
        """Change a subscription. Arguments that are None leave their field unchanged.

        The signing secret cannot be changed.

        Args:
            is_active: False pauses the subscription, True resumes it.
            phone_numbers: An empty list removes the filter and selects all lines.
            routing_id_header, routing_key_header: An empty string resets the first to its default and switches the
                second off.
        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/update
        """
        return await self._read(WebhookSubscription, "webhook_subscriptions.update", locals())

    def list(self, *, extra_body: Mapping[str, Any] | None = None) -> Listing[WebhookSubscription]:
        """List all subscriptions, including paused ones. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/list
        """
        return self._list(WebhookSubscription, "webhook_subscriptions.list", "subscriptions", locals())

    async def delete(self, subscription_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Delete a subscription. Events that Linq has not delivered to it yet are lost.

        Source: https://docs.linqapp.com/api/resources/webhook_subscriptions/methods/delete
        """
        await self._call("webhook_subscriptions.delete", locals())


class WebhookEvents(ApiResource):
    """`client.webhook_events`: list Linq's event types."""

    async def list(self, *, extra_body: Mapping[str, Any] | None = None) -> Catalogue:
        """List the event types that Linq knows today. Linq may know more types than this release of linqbot.

        Source: https://docs.linqapp.com/api/resources/webhook_events/methods/list
        """
        return await self._read(Catalogue, "webhook_events.list", locals())


class V2(ApiResource):
    """`client.v2`. Its base URL is that of V3: `…/api/partner/v2`."""

    def list_chats(
        self,
        *,
        phone_number: str,
        page: int = 1,
        per_page: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Listing[LegacyChat]:
        """List the chats of a line in V2's format.

        Args:
            phone_number: The line. V2 takes US numbers without `+`, such as 13343284472.
            page: The first page to read, from 1.
            per_page: Chats per page, 1 to 100; None is 25.
        Returns:
            A listing: `async for chat in …` iterates over all pages, `await …` returns the first page, with `total`.
        Raises:
            LinqApiError: 401 the API key is not accepted. V2 codes are words, so `code` is None.
        Source: https://docs.linqapp.com/v2/reference/chats/list-chats
        """

        async def at(cursor: str | None) -> Page[LegacyChat]:
            given = {"phone_number": phone_number, "page": cursor, "per_page": per_page, "extra_body": extra_body}
            got = await self._read(LegacyChats, "v2.list_chats", given)
            last = not got.data or got.meta.page >= got.meta.total_pages
            return Page(got.data, None if last else str(got.meta.page + 1), got.meta.total_count)

        return Listing(at, str(page))
