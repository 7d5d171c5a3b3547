"""The account: its lines, with contact cards, reputation and audits; checked and blocked handles; webhook subscriptions.

A line is a phone number of the account. A webhook subscription is a URL that Linq sends events to. The chats of Linq's
legacy V2, with their own ids and names, are at the end.
"""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from linqbot.linq.types.data import Data


class Reputation(Data):
    """A line's standing with the mobile networks: `HEALTHY`, `AT_RISK` or `CRITICAL`."""

    status: str
    doc_url: str | None = None


class PhoneNumber(Data):
    """A line of the account.

    Attributes:
        phone_number: E.164.
        forwarding_number: The number that calls to the line are forwarded to, E.164; None without forwarding.
        line_type: `iMessage` or `RCS`.
    """

    id: str
    phone_number: str
    reputation: Reputation | None = None
    forwarding_number: str | None = None
    line_type: str | None = None


class Forwarding(Data):
    """Response of `phone_numbers.update`: the number that calls to the line are forwarded to now."""

    id: str
    phone_number: str
    forwarding_number: str | None = None


class LegacyCapabilities(Data):
    """The capabilities of a line in the deprecated list."""

    sms: bool | None = None
    mms: bool | None = None
    voice: bool | None = None


class LegacyPhoneNumber(Data):
    """A line as the deprecated `phonenumbers.list` returns it."""

    id: str
    phone_number: str
    capabilities: LegacyCapabilities | None = None
    type: str | None = None
    country_code: str | None = None


class AvailableNumber(Data):
    """A line to send from.

    Attributes:
        phone_number: E.164.
        vcf_url: The line's vCard, to be saved as a contact; the URL is valid for a limited time.
    """

    phone_number: str
    vcf_url: str


class ContactCard(Data):
    """The contact card of a line: the name and photo that people see.

    Attributes:
        phone_number: The line, E.164.
        is_active: True if the card can be shared.
    """

    phone_number: str
    first_name: str
    is_active: bool | None = None
    last_name: str | None = None
    image_url: str | None = None


class ContactCardList(Data):
    """Response of `contact_card.retrieve`."""

    entire = "contact_cards"

    contact_cards: tuple[ContactCard, ...] = ()


class ReputationAuditStarted(Data):
    """Response of `phone_numbers.start_reputation_audit`. While an audit is running, Linq returns that audit."""

    audit_id: str
    status: str


class ReputationDriver(Data):
    """A cause of a line's reputation.

    Attributes:
        key: For example `volume_spike`, `opt_out_handling`, `low_engagement`, `new_conversation_rate` or
            `overall_conversation_health`.
    """

    key: str | None = None
    summary: str | None = None
    metric: str | None = None


class ReputationActionItem(Data):
    """A recommended action.

    Attributes:
        priority: 1 comes first.
        expected_impact: `high`, `medium` or `low`.
    """

    priority: int | None = None
    title: str | None = None
    detail: str | None = None
    expected_impact: str | None = None


class UnhealthyChat(Data):
    """A chat that lowers the line's reputation."""

    chat_id: str | None = None
    status: str | None = None
    driver_keys: tuple[str, ...] | None = None


class OptOutChat(Data):
    """A chat in which you sent messages after an opt-out word."""

    chat_id: str | None = None
    messages_after_stop: int | None = None


class ReputationEvidence(Data):
    """The chats behind a report, with at most 15 unhealthy ones."""

    unhealthy_chats: tuple[UnhealthyChat, ...] | None = None
    opt_out_chats: tuple[OptOutChat, ...] | None = None


class ReputationReport(Data):
    """The result of an audit.

    Attributes:
        severity: `HEALTHY`, `AT_RISK` or `CRITICAL`.
        primary_driver: The key of the most important cause; empty if there is none.
    """

    severity: str | None = None
    primary_driver: str | None = None
    summary_markdown: str | None = None
    drivers: tuple[ReputationDriver, ...] | None = None
    action_items: tuple[ReputationActionItem, ...] | None = None
    evidence: ReputationEvidence | None = None


class ReputationAudit(Data):
    """A reputation audit of a line, readable for 24 hours.

    Attributes:
        status: `pending`, then `complete` with a `report`, or `error`.
        phone: The line, E.164.
    """

    audit_id: str
    status: str
    phone: str | None = None
    generated_at: AwareDatetime | None = None
    error: str | None = None
    report: ReputationReport | None = None


class WebhookSubscription(Data):
    """A URL that Linq delivers events to.

    Attributes:
        target_url: Unique within the account. The query `?version=2026-02-03` pins the payload version.
        phone_numbers: Only events of these lines; empty or None selects all lines.
    """

    id: str
    target_url: str
    subscribed_events: tuple[str, ...] = ()
    is_active: bool = True
    phone_numbers: tuple[str, ...] | None = None
    routing_id_header: str | None = None
    routing_key_header: str | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class CreatedWebhookSubscription(WebhookSubscription):
    """Response of `webhook_subscriptions.create`, the only one with the signing secret. Keep the secret; the repr hides it."""

    signing_secret: str = Field(repr=False)


class WebhookEventList(Data):
    """The event types that a subscription can select."""

    entire = "events"

    events: tuple[str, ...] = ()
    doc_url: str | None = None


class LegacyHandle(Data):
    """A participant of a chat.

    Attributes:
        phone_number: A phone number or an e-mail address, despite the name.
    """

    id: int
    phone_number: str
    service: str | None = None
    joined_at: AwareDatetime | None = None


class LegacyChat(Data):
    """A chat in V2's format. Its `id` is a number and is not valid in V3.

    Attributes:
        group: True for a group chat.
    """

    id: int
    display_name: str | None = None
    service: str | None = None
    group: bool = False
    message_count: int | None = None
    chat_handles: tuple[LegacyHandle, ...] = ()


class LegacyMeta(Data):
    """The page number and the number of pages."""

    page: int
    total_pages: int
    total_count: int | None = None
    per_page: int | None = None


class LegacyChats(Data):
    """One page of V2's list of chats."""

    entire = "data"

    data: tuple[LegacyChat, ...] = ()
    meta: LegacyMeta


class HandleCheck(Data):
    """Response of a capability check: the availability of a handle on a service.

    Attributes:
        reason: `not_supported` if the handle is not available.
        selected_service: The service that a message to this handle would use now.
    """

    address: str
    available: bool
    reason: str | None = None
    selected_service: str | None = None


class BlockedHandle(Data):
    """A handle that you blocked: you receive nothing from it and cannot send to it.

    Attributes:
        handle: As normalised by Linq.
    """

    handle: str
    blocked_at: AwareDatetime | None = None
    reason: str | None = None


class Blocked(Data):
    """Response of `blocked_handles.block`."""

    blocked_handle: BlockedHandle
