"""The JSON of lines, chats, messages, polls, files and payments beyond what their records hold, see `documents.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from linqbot_dev.emulator.model import documents
from linqbot_dev.emulator.model.answers import JsonObject
from linqbot_dev.emulator.model.documents import Writer, iso, time_or_none
from linqbot_dev.emulator.model.message_content import shown_part
from linqbot_dev.emulator.model.records import (
    DOCS,
    AttachmentRecord,
    ChatRecord,
    MessageRecord,
    PaymentRecord,
    PaymentRequestRecord,
    PollOptionRecord,
    ReactionRecord,
)

if TYPE_CHECKING:
    from linqbot_dev.emulator.model.state import EmulatorState


def health(chat: ChatRecord) -> JsonObject:
    anchor = chat.health.lower().replace("_", "-")
    return {
        "status": chat.health,
        "doc_url": f"{DOCS}/channel/imessage/guides/chats/chat-health#{anchor}",
        "updated_at": iso(chat.health_at or chat.created_at),
    }


def display_name(chat: ChatRecord) -> str:
    """Return the name of a chat; without one, the handles of its people."""
    return chat.name or ", ".join(member.handle for member in chat.others or chat.members)


def chat(one: ChatRecord) -> JsonObject:
    return documents.shown(one) | {
        "display_name": display_name(one),
        "health_status": health(one),
        "is_archived": False,
    }


def chat_created(one: ChatRecord) -> JsonObject:
    """Return a chat as `chat.created` shows it: without `is_archived` and the icon."""
    return {name: value for name, value in chat(one).items() if name not in {"is_archived", "group_chat_icon"}}


def reaction(one: ReactionRecord, write: Writer = documents.shown) -> JsonObject:
    return write(one) | {"is_me": one.by.is_me}


def saved_reactions(message: MessageRecord) -> list[JsonObject]:
    return [reaction(one, documents.saved) for one in message.reactions]


def parts(message: MessageRecord, write: Writer = documents.shown) -> list[JsonObject]:
    """Return the parts of a message, each with its reactions."""
    return [
        shown_part(part, write)
        | {"reactions": [reaction(one, write) for one in message.reactions if one.part_index == index]}
        for index, part in enumerate(message.parts)
    ]


_NOT_IN_ANSWER = {"chat_id", "is_from_me", "from", "updated_at", "is_delivered", "read_at", "reconciled_at"}


def sent_message(one: MessageRecord) -> JsonObject:
    shape = _message(one, parts(one))
    return {name: value for name, value in shape.items() if name not in _NOT_IN_ANSWER}


def message(one: MessageRecord) -> JsonObject:
    """Return a message. With zero retention it has no parts."""
    return _message(one, [] if one.zero_retention else parts(one))


def saved_message(one: MessageRecord) -> JsonObject:
    shape = _message(one, parts(one, documents.saved), documents.saved)
    if one.poll:
        shape["poll"] = poll_envelope(one) | {"reactions": saved_reactions(one)}
    return shape


def _message(one: MessageRecord, parts: list[JsonObject], write: Writer = documents.shown) -> JsonObject:
    return write(one) | {
        "parts": parts,
        "from": one.sender.handle,
        "is_read": one.status == "read",
        "is_delivered": one.status in {"delivered", "read"} or not one.is_from_me,
    }


def watched_message(one: MessageRecord) -> JsonObject:
    """Return a message for the page: as it is saved, with the poll in the shape of events."""
    shape = saved_message(one)
    if one.poll:
        shape["poll"] = poll_state(one) | {"reactions": saved_reactions(one)}
    return shape


def saved_chat(one: ChatRecord) -> JsonObject:
    return chat(one) | documents.saved(one)


def watched_chat(one: ChatRecord, state: EmulatorState) -> JsonObject:
    """Return a chat for the page, without its messages: as it is saved, with shared locations and the line's card."""
    card = state.cards.get(one.line) if one.card_shared_at is not None else None
    shares = [state.shares.get((member.handle, one.line)) for member in one.others]
    return saved_chat(one) | {
        "location_asked_at": time_or_none(one.location_asked_at),
        "locations": [documents.shown(share) for share in shares if share is not None],
        "card": documents.shown_or_none(card),
    }


def poll_option(option: PollOptionRecord) -> JsonObject:
    return documents.shown(option) | {"can_be_edited": False}


def poll_state(message: MessageRecord) -> JsonObject:
    assert message.poll is not None
    voters = {voter for option in message.poll.options for voter in option.voters}
    return {"options": [poll_option(option) for option in message.poll.options], "total_voters": len(voters)}


def poll_envelope(message: MessageRecord) -> JsonObject:
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


def attachment_url(public_url: str, attachment: AttachmentRecord) -> str:
    # A client would resolve a path that ends in dots. Half of an emoji, which JSON can express, has no bytes. Starlette finds
    # no route for a path with a line break.
    one_line = attachment.filename.replace("\n", " ")
    name = "file" if one_line in {".", ".."} else quote(one_line, safe="", errors="replace")
    return f"{public_url}/attachments/{attachment.id}/{name}"


def attachment(one: AttachmentRecord, public_url: str) -> JsonObject:
    status = "pending" if one.content is None else "complete"
    return documents.shown(one) | {"status": status, "download_url": attachment_url(public_url, one)}


def payable(one: PaymentRequestRecord | PaymentRecord) -> JsonObject:
    """Return a payment, or a payment request.

    A request that is `authorized` or `declined` is shown as `requested`: the payer can still pay.
    """
    if isinstance(one, PaymentRecord):
        waits = one.status == "awaiting_user_action"
        return documents.shown(one) | {
            "attach_url": f"https://agentcard.example/attach/{one.id}" if waits and one.needs_card else None,
            "approval_url": f"https://agentcard.example/approve/{one.id}" if waits and not one.needs_card else None,
        }
    saved = documents.saved(one)
    status = one.status if one.status in {"succeeded", "canceled", "expired"} else "requested"
    shape = _money(one) | {"status": status, "expires_at": saved["expires_at"], "paid_at": saved["paid_at"]}
    if one.mode == "subscription":
        shape |= {name: saved[name] for name in _OF_SUBSCRIPTIONS} | {"interval": "month", "interval_count": 1}
    return shape


def watched_payment(one: PaymentRequestRecord | PaymentRecord) -> JsonObject:
    """Return a payment or a payment request for the page, with the status that the emulator keeps."""
    return payable(one) | {"status": one.status}


def paid_request(one: PaymentRequestRecord) -> JsonObject:
    """Return a payment request as `payment.*` events show it. They have other statuses."""
    return _money(one) | {"status": {"authorized": "succeeded", "declined": "failed"}.get(one.status, one.status)}


_OF_EACH = ("id", "mode", "rail", "amount", "currency", "description", "created_at", "updated_at")
_OF_SUBSCRIPTIONS = ("price_id", "quantity", "trial_end", "discount")


def _money(one: PaymentRequestRecord) -> JsonObject:
    tail, subscribed, saved = one.id.removeprefix("pr_"), one.mode == "subscription", documents.saved(one)
    shape = {name: saved[name] for name in _OF_EACH} | {
        "object": "payment_request",
        "checkout_url": f"https://zero.linqapp.com/pay/emulator?session=tok_{tail}",
        "metadata": one.metadata or {},
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
