"""The `data` of each webhook event, in both payload versions: each function has the name of its event."""

from __future__ import annotations

from typing import Any

from linqbot_dev.emulator.model import documents, shapes
from linqbot_dev.emulator.model.answers import JsonObject
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.message_content import AppCardPartRecord, PartRecord, TextPartRecord, shown_part
from linqbot_dev.emulator.model.records import (
    ChatRecord,
    ConnectionRecord,
    Member,
    MessageRecord,
    PaymentRecord,
    PaymentRequestRecord,
    ReactionRecord,
    Share,
    SubscriptionRecord,
)

CURRENT = "2026-02-03"
OLD = "2025-01-01"
VERSIONS = (CURRENT, OLD)

_CAPTIONS = ("caption", "subcaption", "trailing_caption", "trailing_subcaption")


def message(chat: ChatRecord, one: MessageRecord) -> JsonObject:
    saved = documents.saved(one)
    return {name: saved[name] for name in _MESSAGE if name in saved} | {
        "chat": chat_ref(chat),
        "direction": "outbound" if one.is_from_me else "inbound",
        "sender_handle": saved["from_handle"],
        "parts": [_part(part) for part in one.parts],
    }


_STEPS = ("sent_at", "delivered_at", "read_at")
_OF_BOTH = ("service", "preferred_service", "idempotency_key")
_MESSAGE = ("id", "effect", "reply_to", "reconciled_at", *_OF_BOTH, *_STEPS)


def old_message(chat: ChatRecord, one: MessageRecord, event_type: str) -> JsonObject:
    saved, inbound = documents.saved(one), not one.is_from_me
    inner = {name: saved[name] for name in ("id", "created_at", *_STEPS)} | {
        "parts": [_old_part(part) for part in one.parts],
        "is_delivered": one.delivered_at is not None,
        "is_read": one.read_at is not None,
        "updated_at": iso(max(one.updated_at, one.sent_at or 0, one.delivered_at or 0, one.read_at or 0)),
    }
    inner |= {name: saved[name] for name in ("effect", "reply_to") if saved[name]}
    data = {name: saved[name] for name in ("is_from_me", "from_handle", *_OF_BOTH)} | {
        "chat_id": chat.id,
        "is_group": chat.is_group,
        "from": one.sender.handle,
        "recipient_phone": chat.line if inbound else None,
        "recipient_handle": documents.shown(chat.me) if inbound else None,
        "received_at": saved["sent_at"] if inbound else None,
        "message": inner,
    }
    if event_type in {"message.delivered", "message.read"}:
        stamp = event_type.removeprefix("message.") + "_at"
        data |= {"message_id": one.id, stamp: inner[stamp]}
    return data


def withheld(data: JsonObject) -> JsonObject:
    """Return the data of an event as a line with zero retention has it: marked, and without content of our own."""
    data |= {"zero_retention": True}
    if data["direction"] == "outbound":
        if "parts" in data:
            data["parts"] = []
        if "part" in data:
            data["part"]["text"] = ""
        for option in data.get("added_options") or data.get("poll", {}).get("options", ()):
            option["text"] = ""
    return data


def _part(part: PartRecord) -> JsonObject:
    shape = shown_part(part)
    if isinstance(part, AppCardPartRecord):
        shape["layout"] = {key: shape["layout"][key] for key in _CAPTIONS}
    return shape


def _old_part(part: PartRecord) -> JsonObject:
    if isinstance(part, TextPartRecord):
        return {"type": part.type, "value": part.value, "text_decorations": part.text_decorations}
    return _part(part)


def chat_ref(chat: ChatRecord, *, with_health: bool = True) -> JsonObject:
    ref: JsonObject = {"id": chat.id, "is_group": chat.is_group, "owner_handle": documents.shown(chat.me)}
    return ref | {"health_status": shapes.health(chat)} if with_health else ref


def failed(chat: ChatRecord, one: MessageRecord, code: int, at: float) -> JsonObject:
    return {
        "chat_id": chat.id,
        "message_id": one.id,
        "code": code,
        "reason": "Message delivery failed",
        "failed_at": iso(at),
        "service": one.service,
        "preferred_service": one.preferred_service,
        "detail_code": code,
    }


def edited(chat: ChatRecord, one: MessageRecord, index: int, at: float) -> JsonObject:
    part = one.parts[index]
    assert isinstance(part, TextPartRecord)
    return {
        "id": one.id,
        "chat": chat_ref(chat),
        "direction": "outbound" if one.is_from_me else "inbound",
        "sender_handle": documents.shown(one.sender),
        "edited_at": iso(at),
        "part": {"index": index, "text": part.value},
    }


def reaction(one: MessageRecord, it: ReactionRecord, at: float) -> JsonObject:
    return {
        "chat_id": one.chat_id,
        "message_id": one.id,
        "part_index": it.part_index,
        "reaction_id": it.id,
        "reaction_type": it.type,
        "custom_emoji": it.custom_emoji,
        "sticker": documents.shown_or_none(it.sticker),
        "is_from_me": it.by.is_me,
        "from": it.by.handle,
        "from_handle": documents.shown(it.by),
        "service": one.service,
        "reacted_at": iso(at),
    }


def _of_poll(chat: ChatRecord, one: MessageRecord, by: Member) -> JsonObject:
    return {
        "chat": chat_ref(chat, with_health=False),
        "message_id": one.id,
        "direction": "outbound" if by.is_me else "inbound",
        "service": one.service,
        "sender_handle": documents.shown(by),
    }


def _whole_poll(chat: ChatRecord, one: MessageRecord) -> JsonObject:
    assert one.poll is not None
    times = {"created_at": iso(one.created_at), "updated_at": iso(one.poll.updated_at)}
    return _of_poll(chat, one, one.sender) | {"poll": shapes.poll_state(one)} | times


def poll_state(chat: ChatRecord, one: MessageRecord) -> JsonObject:
    saved = documents.saved(one)
    return _whole_poll(chat, one) | {name: saved[name] for name in _STEPS}


def poll_failed(chat: ChatRecord, one: MessageRecord, code: int, at: float) -> JsonObject:
    return _of_poll(chat, one, one.sender) | {
        "poll": shapes.poll_state(one),
        "error": {"code": code, "message": "Poll delivery failed"},
        "failed_at": iso(at),
        "sender_handle": None,
    }


def poll_received(chat: ChatRecord, one: MessageRecord) -> JsonObject:
    return _whole_poll(chat, one) | {"received_at": iso(one.created_at)}


def poll_updated(chat: ChatRecord, one: MessageRecord, first: int) -> JsonObject:
    """Return the data of `poll.updated`, with the options from `first` on. The sender is always our line."""
    assert one.poll is not None
    return _of_poll(chat, one, one.poll.options[first].creator) | {
        "added_options": [shapes.poll_option(option) for option in one.poll.options[first:]],
        "sender_handle": documents.shown(chat.me),
    }


def poll_vote(chat: ChatRecord, one: MessageRecord, voter: Member, option_id: str) -> JsonObject:
    return _of_poll(chat, one, voter) | {"option_id": option_id}


def background(chat: ChatRecord, by: Member) -> JsonObject:
    return {
        "chat": chat_ref(chat, with_health=False),
        "actor_handle": documents.shown(by),
        "background": documents.shown_or_none(chat.background),
    }


def location(chat: ChatRecord, share: Share, **end: str | None) -> JsonObject:
    """Return the data of `location.sharing.started` with `ends_at`, and of `.stopped` with `ended_at`."""
    began_at = iso(share.began_at)
    return {"chat_id": chat.id, "shared_by": share.handle, "shared_with": share.line, "began_at": began_at, **end}


def typing(chat: ChatRecord, actor: Member) -> JsonObject:
    return {"chat_id": chat.id, "actor_handle": documents.shown(actor)}


def participant(chat: ChatRecord, member: Member, at: float, *, added: bool) -> JsonObject:
    return {
        "chat_id": chat.id,
        "handle": member.handle,
        "participant": documents.shown(member),
        "added_at" if added else "removed_at": iso(at),
    }


def group_change(chat: ChatRecord, by: Member, old: str | None, new: str | None, at: float) -> JsonObject:
    return {
        "chat_id": chat.id,
        "old_value": old,
        "new_value": new,
        "changed_by_handle": documents.shown(by),
        "updated_at": iso(at),
    }


def account(summary: str, at: float, **what_changed: Any) -> JsonObject:
    """Return the data of an event about the account, for a change made through the API."""
    return {"summary": summary, "occurred_at": iso(at), "actor": {"type": "api"}, "origin": "api", **what_changed}


def by_team(summary: str, at: float, **what_changed: Any) -> JsonObject:
    """Return the data of an event about the account, for a change by the team on Linq's dashboard."""
    who = {"type": "team_member", "id": _TEAM_MEMBER, "name": "Emulator", "email": "team@emulator.example"}
    return account(summary, at, **what_changed) | {"actor": who, "origin": "dashboard"}


_TEAM_MEMBER = "00000000-0000-4000-8000-000000000001"


def chat_failure(chat: ChatRecord, code: int, at: float) -> JsonObject:
    return {"chat_id": chat.id, "error_code": code, "failed_at": iso(at)}


def contact_received(handle: str, line: str, first_name: str, last_name: str, media_url: str | None) -> JsonObject:
    names = {"first_name": first_name, "last_name": last_name}
    return {"sender_handle": handle, "owner_handle": line, **names, "media_url": media_url}


def payable(one: PaymentRequestRecord | PaymentRecord) -> JsonObject:
    """Return the data of `payment.*`. Linq documents only one shape for these events: that of a request."""
    if isinstance(one, PaymentRequestRecord):
        return shapes.paid_request(one)
    same = {name: getattr(one, name) for name in _OF_PAYMENTS_TOO}
    request = PaymentRequestRecord(mode="payment", rail="natural", amount=one.amount_cents, **same)
    return shapes.paid_request(request) | {"object": "payment"}


_OF_PAYMENTS_TOO = ("id", "currency", "status", "created_at", "updated_at", "description", "metadata")
"""The fields that a payment and a request have under one name."""


def connection(one: ConnectionRecord, at: float) -> JsonObject:
    """Return the data of `connection.*`.

    Linq documents the shape of a payment request for it; the customer is in `metadata`.
    """
    status = "succeeded" if one.status == "connected" else "canceled"
    metadata = {"handle": one.handle}
    request = PaymentRequestRecord(one.id, "payment", "stripe", 0, "usd", status, one.created_at, at, metadata=metadata)
    return shapes.paid_request(request) | {"object": "connection"}


def subscription_ref(subscription: SubscriptionRecord) -> JsonObject:
    # Linq leaves out the query, which may hold credentials.
    return {"id": subscription.id, "target_url": subscription.target_url.partition("?")[0]}
