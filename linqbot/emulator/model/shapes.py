"""The JSON of every kind of object, as Linq's API shows it.

Webhooks show the same objects with small differences, see `payloads.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from linqbot.emulator.model import content_shapes
from linqbot.emulator.model.answers import JsonObject
from linqbot.emulator.model.records import (
    AttachmentRecord,
    BlockedHandleRecord,
    ChatRecord,
    ConnectionRecord,
    ContactCardRecord,
    Line,
    Member,
    MessageRecord,
    NoticeRecord,
    PaymentRecord,
    PaymentRequestRecord,
    ReactionRecord,
    Share,
    SubscriptionRecord,
    iso,
)

if TYPE_CHECKING:
    from linqbot.emulator.model.state import EmulatorState

DOCS = "https://docs.linqapp.com"


def time_or_none(at: float | None) -> str | None:
    """Return a time as Linq writes it; None for None."""
    return None if at is None else iso(at)


def handle(member: Member) -> JsonObject:
    """Return a member of a chat as a ChatHandle."""
    shape: JsonObject = {
        "id": member.id,
        "handle": member.handle,
        "service": member.service,
        "joined_at": iso(member.joined_at),
        "left_at": time_or_none(member.left_at),
        "status": member.status,
        "is_me": member.is_me,
    }
    if member.line_type:
        shape["line_type"] = member.line_type
    return shape


def health(chat: ChatRecord) -> JsonObject:
    """Return the health of a chat."""
    anchor = chat.health.lower().replace("_", "-")
    return {
        "status": chat.health,
        "doc_url": f"{DOCS}/channel/imessage/guides/chats/chat-health#{anchor}",
        "updated_at": iso(chat.health_at or chat.created_at),
    }


def display_name(chat: ChatRecord) -> str:
    """Return the name of a chat; without one, the handles of its people."""
    return chat.name or ", ".join(member.handle for member in chat.others or chat.members)


def chat_created(chat: ChatRecord) -> JsonObject:
    """Return a chat as `chat.created` shows it: without `is_archived` and the icon."""
    return {
        "id": chat.id,
        "display_name": display_name(chat),
        "service": chat.service,
        "is_group": chat.is_group,
        "handles": [handle(member) for member in chat.members],
        "health_status": health(chat),
        "created_at": iso(chat.created_at),
        "updated_at": iso(chat.updated_at),
    }


def chat(chat: ChatRecord) -> JsonObject:
    """Return a chat."""
    return {**chat_created(chat), "is_archived": False, "group_chat_icon": chat.icon}


def reaction(one: ReactionRecord) -> JsonObject:
    """Return a reaction."""
    shape: JsonObject = {
        "id": one.id,
        "type": one.type,
        "is_me": one.by.is_me,
        "handle": handle(one.by),
        "custom_emoji": one.custom_emoji,
    }
    if one.sticker:
        shape["sticker"] = content_shapes.plain(one.sticker)
    return shape


def parts(message: MessageRecord) -> list[JsonObject]:
    """Return the parts of a message, each with its reactions."""
    return [
        {
            **content_shapes.part(part),
            "reactions": [reaction(one) for one in message.reactions if one.part_index == index],
        }
        for index, part in enumerate(message.parts)
    ]


def sent_message(message: MessageRecord) -> JsonObject:
    """Return a message as the answer to a send shows it."""
    return _sent_message(message, parts(message))


def _sent_message(message: MessageRecord, parts: list[JsonObject]) -> JsonObject:
    return {
        "id": message.id,
        "created_at": iso(message.created_at),
        "delivery_status": message.status,
        "is_read": message.status == "read",
        "parts": parts,
        "sent_at": time_or_none(message.sent_at),
        "delivered_at": time_or_none(message.delivered_at),
        "effect": content_shapes.plain(message.effect),
        "from_handle": handle(message.sender),
        "preferred_service": message.preferred_service,
        "reply_to": content_shapes.plain(message.reply_to),
        "service": message.service,
    }


def message(one: MessageRecord) -> JsonObject:
    """Return a message. With zero retention it has no parts."""
    return _message(one, [] if one.zero_retention else parts(one))


def _message(one: MessageRecord, parts: list[JsonObject]) -> JsonObject:
    shape = _sent_message(one, parts) | {
        "chat_id": one.chat_id,
        "is_from_me": one.is_from_me,
        "from": one.sender.handle,
        "updated_at": iso(one.updated_at),
        "is_delivered": one.status in {"delivered", "read"} or not one.is_from_me,
        "read_at": time_or_none(one.read_at),
    }
    if one.reconciled_at is not None:
        shape["reconciled_at"] = iso(one.reconciled_at)
    return shape


def earlier_texts(one: MessageRecord) -> list[JsonObject]:
    """Return the texts of a message before each edit, oldest first."""
    return [{"part_index": old.part_index, "text": old.text, "until": iso(old.until)} for old in one.earlier]


def watched_reaction(one: ReactionRecord) -> JsonObject:
    """Return a reaction for the page: with the place of a sticker on its bubble."""
    return reaction(one) | ({"placement": content_shapes.plain(one.placement)} if one.placement else {})


def watched_parts(one: MessageRecord) -> list[JsonObject]:
    """Return the parts of a message for the page and for a saved state, each with its reactions and their places."""
    return [
        content_shapes.watched_part(part)
        | {"reactions": [watched_reaction(mine) for mine in one.reactions if mine.part_index == index]}
        for index, part in enumerate(one.parts)
    ]


def watched_message(one: MessageRecord) -> JsonObject:
    """Return a message for the page: the fields of the API, and those that only a phone shows."""
    shape = _message(one, watched_parts(one)) | {"edits": one.edits}
    if one.earlier:
        shape["earlier"] = earlier_texts(one)
    if one.is_voice_memo:
        shape["is_voice_memo"] = True
    if one.poll:
        reactions = [watched_reaction(mine) for mine in one.reactions]
        shape["poll"] = poll_state(one) | {"reactions": reactions}
    return shape


def watched_chat(one: ChatRecord, state: EmulatorState) -> JsonObject:
    """Return a chat for the page, without its messages: with its look, its notices, shared locations and the line's card."""
    card = state.cards.get(one.line) if one.card_shared_at is not None else None
    shares = [state.shares.get((member.handle, one.line)) for member in one.others]
    return chat(one) | {
        "background": content_shapes.plain(one.background),
        "location_asked_at": time_or_none(one.location_asked_at),
        "locations": [watched_location(share) for share in shares if share is not None],
        "card": None if card is None else contact_card(card),
        "notices": [watched_notice(notice) for notice in one.notices],
    }


def watched_notice(one: NoticeRecord) -> JsonObject:
    """Return a notice for the page."""
    return {
        "kind": one.kind,
        "created_at": iso(one.at),
        "by": one.by,
        "handle": one.handle,
        "value": one.value,
        "after": one.after,
    }


def watched_location(one: Share) -> JsonObject:
    """Return a shared location for the page."""
    return {
        "handle": one.handle,
        "latitude": one.latitude,
        "longitude": one.longitude,
        "began_at": iso(one.began_at),
        "ends_at": time_or_none(one.ends_at),
    }


def poll_option(message: MessageRecord, index: int) -> JsonObject:
    """Return one option of a poll, with its voters."""
    assert message.poll is not None
    option = message.poll.options[index]
    return {
        "option_id": option.id,
        "text": option.text,
        "can_be_edited": False,
        "creator_handle": handle(option.creator),
        "voters": [{"handle": voter, "voted_at": iso(at)} for voter, at in option.voters.items()],
    }


def poll_state(message: MessageRecord) -> JsonObject:
    """Return the options and the number of voters of a poll."""
    assert message.poll is not None
    voters = {voter for option in message.poll.options for voter in option.voters}
    return {
        "options": [poll_option(message, index) for index in range(len(message.poll.options))],
        "total_voters": len(voters),
    }


def poll_envelope(message: MessageRecord) -> JsonObject:
    """Return a poll with its message and the reactions on it."""
    assert message.poll is not None
    return {
        "chat_id": message.chat_id,
        "message_id": message.id,
        "created_at": iso(message.created_at),
        "updated_at": iso(message.poll.updated_at),
        "reactions": [reaction(one) for one in message.reactions],
        "poll": poll_state(message),
    }


def kept_poll(message: MessageRecord) -> JsonObject:
    """Return a poll as a later read shows it. With zero retention its options have no text."""
    envelope = poll_envelope(message)
    for option in envelope["poll"]["options"] if message.zero_retention else ():
        option["text"] = ""
    return envelope


def line(one: Line) -> JsonObject:
    """Return a line."""
    anchor = one.reputation.lower().replace("_", "-")
    return {
        "id": one.id,
        "phone_number": one.phone_number,
        "forwarding_number": one.forwarding_number,
        "line_type": one.line_type,
        "reputation": {
            "status": one.reputation,
            "doc_url": f"{DOCS}/channel/imessage/guides/phone-numbers/reputation#{anchor}",
        },
    }


def attachment_url(public_url: str, attachment: AttachmentRecord) -> str:
    """Return the address of the content of an attachment."""
    # A client would resolve a path that ends in dots. Half of an emoji, which JSON can express, has no bytes. Starlette finds
    # no route for a path with a line break.
    one_line = attachment.filename.replace("\n", " ")
    name = "file" if one_line in {".", ".."} else quote(one_line, safe="", errors="replace")
    return f"{public_url}/attachments/{attachment.id}/{name}"


def attachment(one: AttachmentRecord, public_url: str) -> JsonObject:
    """Return an attachment."""
    return {
        "id": one.id,
        "filename": one.filename,
        "content_type": one.content_type,
        "size_bytes": one.size_bytes,
        "created_at": iso(one.created_at),
        "status": "pending" if one.content is None else "complete",
        "download_url": attachment_url(public_url, one),
    }


def subscription(one: SubscriptionRecord) -> JsonObject:
    """Return a subscription, without its secret."""
    return {
        "id": one.id,
        "target_url": one.target_url,
        "subscribed_events": one.subscribed_events,
        "phone_numbers": one.phone_numbers,
        "routing_id_header": one.routing_id_header,
        "routing_key_header": one.routing_key_header,
        "is_active": one.is_active,
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
    }


def contact_card(one: ContactCardRecord) -> JsonObject:
    """Return a contact card."""
    return {
        "phone_number": one.phone_number,
        "first_name": one.first_name,
        "last_name": one.last_name,
        "image_url": one.image_url,
        "is_active": one.is_active,
    }


def blocked_handle(one: BlockedHandleRecord) -> JsonObject:
    """Return a blocked handle."""
    return {"handle": one.handle, "blocked_at": iso(one.blocked_at), "reason": one.reason}


def payment_request(one: PaymentRequestRecord) -> JsonObject:
    """Return a payment request. `authorized` and `declined` are shown as `requested`: the payer can still pay."""
    shape = _money(one) | {
        "status": one.status if one.status in {"succeeded", "canceled", "expired"} else "requested",
        "expires_at": iso(one.expires_at),
        "paid_at": time_or_none(one.paid_at),
    }
    if one.mode == "subscription":
        shape |= {
            "price_id": one.price_id,
            "quantity": one.quantity,
            "interval": "month",
            "interval_count": 1,
            "trial_end": time_or_none(one.trial_end),
            "discount": one.discount,
        }
    return shape


def watched_payment(one: PaymentRequestRecord | PaymentRecord) -> JsonObject:
    """Return a payment or a payment request for the page, with the status that the emulator keeps."""
    if isinstance(one, PaymentRequestRecord):
        return payment_request(one) | {"status": one.status}
    return payment(one)


def paid_request(one: PaymentRequestRecord) -> JsonObject:
    """Return a payment request as `payment.*` events show it. They have other statuses."""
    return _money(one) | {"status": {"authorized": "succeeded", "declined": "failed"}.get(one.status, one.status)}


def _money(one: PaymentRequestRecord) -> JsonObject:
    tail, subscribed = one.id.removeprefix("pr_"), one.mode == "subscription"
    shape = {
        "id": one.id,
        "object": "payment_request",
        "mode": one.mode,
        "rail": one.rail,
        "amount": one.amount,
        "currency": one.currency,
        "description": one.description,
        "checkout_url": f"https://zero.linqapp.com/pay/emulator?session=tok_{tail}",
        "metadata": one.metadata or {},
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
    }
    if one.rail == "natural":
        paid = f"txn_{tail}" if one.status == "succeeded" else None
        return shape | {"natural": {"payment_request_id": f"prq_{tail}", "transaction_id": paid}}
    return shape | {
        "stripe": {
            "payment_intent_id": f"pi_{tail}",
            "customer_id": one.customer_id or (f"cus_{tail}" if subscribed else None),
            "subscription_id": f"sub_{tail}" if subscribed else None,
        }
    }


def payment(one: PaymentRecord) -> JsonObject:
    """Return a payment."""
    waits = one.status == "awaiting_user_action"
    return {
        "id": one.id,
        "status": one.status,
        "amount_cents": one.amount_cents,
        "currency": one.currency,
        "handle": one.handle,
        "description": one.description,
        "merchant": one.merchant,
        "metadata": one.metadata,
        "attach_url": f"https://agentcard.example/attach/{one.id}" if waits and one.needs_card else None,
        "approval_url": f"https://agentcard.example/approve/{one.id}" if waits and not one.needs_card else None,
    }


def connection(one: ConnectionRecord) -> JsonObject:
    """Return the connection of a customer."""
    return {"handle": one.handle, "status": one.status}
