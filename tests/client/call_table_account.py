"""Calls of files, lines, contact cards, webhooks and payments."""

from __future__ import annotations

from client.call_table import ANN, CHAT, LINE, SENT, SUBSCRIPTION, Row

from linqbot.linq.types.chat_features import OfferedExperience
from linqbot.linq.types.content import Attachment, Upload
from linqbot.linq.types.line import (
    AvailableNumber,
    Blocked,
    ContactCard,
    CreatedWebhookSubscription,
    Forwarding,
    HandleCheck,
    LegacyCapabilities,
    PhoneNumber,
    Reputation,
    ReputationAudit,
    ReputationAuditStarted,
    WebhookEventList,
    WebhookSubscription,
)
from linqbot.linq.types.payment import (
    Discount,
    HandleConnection,
    Merchant,
    Payment,
    PaymentCredentials,
    PaymentProvider,
    PaymentRequest,
    ProviderConnection,
)

CARD = {
    "phone_number": LINE,
    "first_name": "Acme",
    "last_name": "Support",
    "image_url": "https://cdn.linqapp.com/contact-card/acme.jpg",
    "is_active": True,
}
BLOCKED = {"handle": ANN, "blocked_at": "2026-11-05T17:30:00.120Z", "reason": "spam"}
EXPERIENCE = {
    "experience": "agentpay",
    "display_name": "Payment",
    "actions": [
        {
            "name": "request_payment",
            "summary": "Ask for a payment",
            "fields": {
                "checkout_url": {"type": "url", "required": True, "max": None},
                "title": {"type": "string", "required": False, "max": 100},
            },
        }
    ],
}
PAYMENT_REQUEST = {
    "id": "pr_1",
    "object": "payment_request",
    "mode": "subscription",
    "status": "requested",
    "amount": 0,
    "currency": "usd",
    "checkout_url": "https://zero.linqapp.com/pay/acme?session=tok_5f2c",
    "created_at": "2026-11-05T17:29:58.004Z",
    "updated_at": "2026-11-05T17:29:58.004Z",
    "expires_at": "2026-11-06T17:29:58.004Z",
    "paid_at": None,
    "description": "Membership",
    "metadata": {"chat_id": CHAT},
    "rail": "stripe",
    "price_id": "price_1",
    "quantity": 2,
    "interval": "month",
    "interval_count": 1,
    "trial_end": "2026-11-12T17:29:58.004Z",
    "discount": {"coupon": "SUMMER", "label": "Summer", "promotion_code": None},
    "stripe": {"customer_id": "cus_1", "payment_intent_id": None, "subscription_id": "sub_1"},
    "natural": None,
}
PAYMENT = {
    "id": "pay_1",
    "status": "awaiting_user_action",
    "amount_cents": 2500,
    "currency": "usd",
    "handle": ANN,
    "description": "Deposit",
    "merchant": {"name": "Acme", "url": "https://example.com"},
    "metadata": {"order": "1"},
    "attach_url": None,
    "approval_url": "https://pay.example.com/approve",
}

ROWS = [
    Row(
        "webhook_subscriptions.create",
        lambda c: c.webhook_subscriptions.create(
            target_url="https://webhooks.example.com/linq/events",
            subscribed_events=["message.sent", "message.delivered"],
            phone_numbers=[LINE],
            routing_id_header="Linq-Chat-Id",
            routing_key_header="Linq-Route",
        ),
        status=201,
        answer={**SUBSCRIPTION, "signing_secret": "whsec_MTIz"},
        read=lambda got: isinstance(got, CreatedWebhookSubscription) and got.signing_secret == "whsec_MTIz",
    ),
    Row(
        "webhook_subscriptions.retrieve",
        lambda c: c.webhook_subscriptions.retrieve(SUBSCRIPTION["id"]),
        answer=SUBSCRIPTION,
        read=lambda got: isinstance(got, WebhookSubscription) and got.is_active,
    ),
    Row(
        "webhook_subscriptions.update",
        lambda c: c.webhook_subscriptions.update(
            SUBSCRIPTION["id"], is_active=False, phone_numbers=[], routing_key_header=""
        ),
        answer=SUBSCRIPTION,
        read=lambda got: isinstance(got, WebhookSubscription),
    ),
    Row(
        "webhook_subscriptions.list",
        lambda c: c.webhook_subscriptions.list(),
        answer={"subscriptions": [SUBSCRIPTION]},
        read=lambda got: [each.id for each in got] == [SUBSCRIPTION["id"]],
    ),
    Row("webhook_subscriptions.delete", lambda c: c.webhook_subscriptions.delete(SUBSCRIPTION["id"]), status=204),
    Row(
        "webhook_events.list",
        lambda c: c.webhook_events.list(),
        answer={"events": ["message.sent"], "doc_url": "https://docs.linqapp.com/x"},
        read=lambda got: isinstance(got, WebhookEventList) and got.events == ("message.sent",),
    ),
    Row(
        "phone_numbers.list",
        lambda c: c.phone_numbers.list(),
        answer={
            "phone_numbers": [
                {
                    "id": CHAT,
                    "phone_number": LINE,
                    "reputation": {"status": "HEALTHY", "doc_url": "u"},
                    "line_type": "RCS",
                }
            ]
        },
        read=lambda got: (
            isinstance(got[0], PhoneNumber) and got[0].reputation == Reputation(status="HEALTHY", doc_url="u")
        ),
    ),
    Row(
        "attachments.create",
        lambda c: c.attachments.create(content_type="image/jpeg", filename="menu.jpg", size_bytes=1024),
        status=201,
        answer={
            "attachment_id": CHAT,
            "upload_url": "https://uploads.example.com/x?X-Amz-Signature=1",
            "download_url": "https://cdn.linqapp.com/attachments/partners/p/a/menu.jpg",
            "http_method": "PUT",
            "required_headers": {"Content-Type": "image/jpeg", "Content-Length": "1024"},
            "expires_at": "2026-11-05T17:45:00.120Z",
        },
        read=lambda got: isinstance(got, Upload) and got.required_headers["Content-Length"] == "1024",
    ),
    Row(
        "attachments.retrieve",
        lambda c: c.attachments.retrieve(CHAT),
        answer={
            "id": CHAT,
            "filename": "menu.jpg",
            "content_type": "image/jpeg",
            "size_bytes": 1024,
            "created_at": "2026-11-05T17:30:00.120Z",
            "status": "complete",
            "download_url": "https://cdn.linqapp.com/attachments/partners/p/a/menu.jpg",
        },
        read=lambda got: isinstance(got, Attachment) and got.status == "complete",
    ),
    Row("attachments.delete", lambda c: c.attachments.delete(CHAT), status=204),
    Row(
        "phone_numbers.update",
        lambda c: c.phone_numbers.update(CHAT, forwarding_number=ANN),
        answer={"id": CHAT, "phone_number": LINE, "forwarding_number": ANN},
        read=lambda got: got == Forwarding(id=CHAT, phone_number=LINE, forwarding_number=ANN),
    ),
    Row(
        "phone_numbers.start_reputation_audit",
        lambda c: c.phone_numbers.start_reputation_audit(LINE),
        status=202,
        answer={"audit_id": SENT, "status": "pending"},
        read=lambda got: got == ReputationAuditStarted(audit_id=SENT, status="pending"),
    ),
    Row(
        "phone_numbers.get_reputation_audit",
        lambda c: c.phone_numbers.get_reputation_audit(SENT, phone_number=LINE),
        answer={
            "audit_id": SENT,
            "status": "complete",
            "phone": LINE,
            "generated_at": "2026-11-05T17:30:00.120Z",
            "error": None,
            "report": {
                "severity": "AT_RISK",
                "primary_driver": "volume_spike",
                "summary_markdown": "Too much at once.",
                "drivers": [{"key": "volume_spike", "summary": "Twice as many", "metric": "2x"}],
                "action_items": [
                    {"priority": 1, "title": "Slow down", "detail": "Fewer first messages", "expected_impact": "high"}
                ],
                "evidence": {
                    "unhealthy_chats": [{"chat_id": CHAT, "status": "CRITICAL", "driver_keys": ["low_engagement"]}],
                    "opt_out_chats": [{"chat_id": CHAT, "messages_after_stop": 2}],
                },
            },
        },
        read=lambda got: isinstance(got, ReputationAudit) and "OptOutChat" in repr(got),
    ),
    Row(
        "phonenumbers.list",
        lambda c: c.phonenumbers.list(),
        answer={
            "phone_numbers": [
                {
                    "id": CHAT,
                    "phone_number": LINE,
                    "capabilities": {"sms": True, "mms": True, "voice": False},
                    "type": None,
                    "country_code": None,
                }
            ]
        },
        read=lambda got: got[0].capabilities == LegacyCapabilities(sms=True, mms=True, voice=False),
    ),
    Row(
        "available_number.retrieve",
        lambda c: c.available_number.retrieve(to=[ANN], exclude_from=[LINE], type="RCS"),
        answer={"phone_number": LINE, "vcf_url": "https://cdn.linqapp.com/line.vcf"},
        read=lambda got: isinstance(got, AvailableNumber) and got.phone_number == LINE,
    ),
    Row(
        "capability.check_i_message",
        lambda c: c.capability.check_i_message(address="ann@example.com", from_=LINE),
        answer={"address": "ann@example.com", "available": True, "selected_service": "iMessage"},
        read=lambda got: isinstance(got, HandleCheck) and got.available,
    ),
    Row(
        "capability.check_RCS",
        lambda c: c.capability.check_RCS(address=ANN),
        answer={"address": ANN, "available": False, "reason": "not_supported", "selected_service": "SMS"},
        read=lambda got: isinstance(got, HandleCheck) and got.reason == "not_supported",
    ),
    Row(
        "contact_card.create",
        lambda c: c.contact_card.create(
            phone_number=LINE, first_name="Acme", last_name="Support", image_url="https://example.com/i.png"
        ),
        status=201,
        answer=CARD,
        read=lambda got: isinstance(got, ContactCard) and got.is_active is True,
    ),
    Row(
        "contact_card.retrieve",
        lambda c: c.contact_card.retrieve(phone_number=LINE),
        answer={"contact_cards": [CARD]},
        read=lambda got: got.contact_cards[0].first_name == "Acme",
    ),
    Row(
        "contact_card.update",
        lambda c: c.contact_card.update(phone_number=LINE, last_name="Support"),
        answer=CARD,
        read=lambda got: isinstance(got, ContactCard) and got.last_name == "Support",
    ),
    Row(
        "blocked_handles.list",
        lambda c: c.blocked_handles.list(),
        answer={"blocked_handles": [BLOCKED]},
        read=lambda got: [each.handle for each in got] == [ANN],
    ),
    Row(
        "blocked_handles.block",
        lambda c: c.blocked_handles.block(handle=ANN, reason="spam"),
        answer={"blocked_handle": BLOCKED},
        read=lambda got: isinstance(got, Blocked) and got.blocked_handle.reason == "spam",
    ),
    Row("blocked_handles.unblock", lambda c: c.blocked_handles.unblock(handle=ANN), status=204),
    Row(
        "experiences.list",
        lambda c: c.experiences.list(),
        answer={"experiences": [EXPERIENCE]},
        read=lambda got: got[0].actions[0].fields["checkout_url"].required is True,
    ),
    Row(
        "experiences.retrieve",
        lambda c: c.experiences.retrieve("agentpay"),
        answer=EXPERIENCE,
        read=lambda got: isinstance(got, OfferedExperience) and got.display_name == "Payment",
    ),
    Row(
        "payment_requests.create",
        lambda c: c.payment_requests.create(
            mode="subscription",
            price_id="price_1",
            quantity=2,
            discount={"coupon": "SUMMER", "label": "Summer"},
            trial_period_days=7,
            customer_id="cus_1",
            description="Membership",
            metadata={"chat_id": CHAT},
            idempotency_key="key-1",
        ),
        status=201,
        answer=PAYMENT_REQUEST,
        read=lambda got: isinstance(got, PaymentRequest) and got.discount == Discount(coupon="SUMMER", label="Summer"),
    ),
    Row(
        "payment_requests.list",
        lambda c: c.payment_requests.list(limit=1, offset=4, status="requested"),
        answer={"object": "list", "data": [PAYMENT_REQUEST], "has_more": True},
        read=lambda got: got[0].id == "pr_1" and got.next_cursor == "5",
    ),
    Row(
        "payment_requests.retrieve",
        lambda c: c.payment_requests.retrieve("pr_1"),
        answer=PAYMENT_REQUEST,
        read=lambda got: isinstance(got, PaymentRequest) and got.amount == 0,
    ),
    Row(
        "payment_requests.cancel",
        lambda c: c.payment_requests.cancel("pr_1"),
        answer={**PAYMENT_REQUEST, "status": "canceled"},
        read=lambda got: isinstance(got, PaymentRequest) and got.status == "canceled",
    ),
    Row(
        "payments.create",
        lambda c: c.payments.create(
            amount_cents=2500,
            currency="usd",
            handle=ANN,
            description="Deposit",
            merchant={"name": "Acme", "url": "https://example.com"},
            metadata={"order": "1"},
        ),
        status=201,
        answer=PAYMENT,
        read=lambda got: isinstance(got, Payment) and got.merchant == Merchant(name="Acme", url="https://example.com"),
        makes_key=True,
    ),
    Row(
        "payments.retrieve",
        lambda c: c.payments.retrieve("pay_1"),
        answer=PAYMENT,
        read=lambda got: isinstance(got, Payment) and got.status == "awaiting_user_action",
    ),
    Row(
        "payments.cancel",
        lambda c: c.payments.cancel("pay_1"),
        answer={"id": "pay_1", "status": "canceled"},
        read=lambda got: isinstance(got, Payment) and got.status == "canceled",
    ),
    Row(
        "payments.credentials",
        lambda c: c.payments.credentials("pay_1"),
        answer={"handoff": {"card_ref": "card_1", "fetch_url": "u", "provider": "agentcard", "user_token": "t"}},
        read=lambda got: (
            isinstance(got, PaymentCredentials) and got.handoff is not None and got.handoff.card_ref == "card_1"
        ),
    ),
    Row(
        "payment_providers.retrieve",
        lambda c: c.payment_providers.retrieve("natural"),
        answer={"provider": "natural", "status": "ready"},
        read=lambda got: got == PaymentProvider(provider="natural", status="ready"),
    ),
    Row(
        "payment_providers.connect",
        lambda c: c.payment_providers.connect("natural", return_url="https://example.com/back"),
        answer={"hosted_url": "https://natural.example/join", "session_id": "s_1", "status": "onboarding"},
        read=lambda got: isinstance(got, ProviderConnection) and got.session_id == "s_1",
    ),
    Row(
        "payment_handles.connect",
        lambda c: c.payment_handles.connect(ANN),
        answer={"handle": ANN, "status": "pending", "connect_id": "con_1"},
        read=lambda got: got == HandleConnection(handle=ANN, status="pending", connect_id="con_1"),
    ),
    Row(
        "payment_handles.connection",
        lambda c: c.payment_handles.connection(ANN),
        answer={"handle": ANN, "status": "not_connected"},
        read=lambda got: isinstance(got, HandleConnection) and got.connect_id is None,
    ),
    Row(
        "payment_handles.revoke",
        lambda c: c.payment_handles.revoke(ANN),
        answer={"handle": ANN, "status": "revoked"},
        read=lambda got: isinstance(got, HandleConnection) and got.status == "revoked",
    ),
    Row(
        "payment_handles.verify",
        lambda c: c.payment_handles.verify(ANN, code="123456", connect_id="con_1"),
        answer={"handle": ANN, "status": "connected"},
        read=lambda got: isinstance(got, HandleConnection) and got.status == "connected",
    ),
]
