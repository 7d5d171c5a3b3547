"""Write the state of a world as a JSON object; see `statefile/__init__.py` for its form."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from linqbot.emulator.engine.world import World
from linqbot.emulator.model import content_shapes, shapes
from linqbot.emulator.model.records import (
    AttachmentRecord,
    ChatRecord,
    ConnectionRecord,
    MessageRecord,
    PaymentRecord,
    PaymentRequestRecord,
    iso,
)


def dump(world: World, *, with_files: bool = True) -> dict[str, Any]:
    """Return the state as a JSON object. It holds signing secrets.

    Args:
        with_files: False leaves out the contents of files.
    """
    state = world.state
    return {
        "phone_numbers": [
            shapes.line(one) | {"status": one.status, "zero_retention": one.zero_retention}
            for one in state.lines.values()
        ],
        "chats": [_dump_chat(one) for one in state.chats.values()],
        "messages": [_dump_message(one) for chat in state.chats.values() for one in chat.messages],
        "attachments": [_dump_attachment(world, one, with_file=with_files) for one in state.attachments.values()],
        "webhook_subscriptions": [
            shapes.subscription(one) | {"signing_secret": one.secret} for one in state.subscriptions.values()
        ],
        "contact_cards": [
            shapes.contact_card(one) | {"id": one.id, "is_given": one.is_given} for one in state.cards.values()
        ],
        "blocked_handles": [shapes.blocked_handle(one) for one in state.blocked.values()],
        "payment_requests": [_plain(one) for one in state.payment_requests.values()],
        "payments": [_plain(one) for one in state.payments.values()],
        "connections": [_plain(one) for one in state.connections.values()],
        "providers": dict(state.providers),
        "payment_keys": dict(state.payment_keys),
        "sandbox": state.is_sandbox,
        "keeps_s": state.keeps_s,
        "opted_out": sorted(state.opted_out),
        "services": dict(state.services),
        "idempotency_keys": dict(state.keys),
    }


def _plain(one: PaymentRequestRecord | PaymentRecord | ConnectionRecord) -> dict[str, Any]:
    """Return a record with all its fields: the API's shapes of payments hide fields that the emulator needs."""
    return {name: iso(value) if name.endswith("_at") and value else value for name, value in asdict(one).items()}


def _dump_chat(chat: ChatRecord) -> dict[str, Any]:
    return shapes.chat(chat) | {
        "name": chat.name,
        "reusable": chat.reusable,
        "background": content_shapes.plain(chat.background),
        "card_shared_at": shapes.time_or_none(chat.card_shared_at),
        "notices": [shapes.watched_notice(one) for one in chat.notices],
    }


def _dump_message(message: MessageRecord) -> dict[str, Any]:
    ours: dict[str, Any] = {
        "edits": message.edits,
        "earlier": shapes.earlier_texts(message),
        "idempotency_key": message.idempotency_key,
        "is_voice_memo": message.is_voice_memo,
        "zero_retention": message.zero_retention,
        "parts": shapes.watched_parts(message),
    }
    if message.poll:
        reactions = [shapes.watched_reaction(one) for one in message.reactions]
        ours["poll"] = shapes.poll_envelope(message) | {"reactions": reactions}
    return shapes.message(message) | ours


def _dump_attachment(world: World, one: AttachmentRecord, *, with_file: bool) -> dict[str, Any]:
    content = None if one.content is None or not with_file else base64.b64encode(one.content).decode()
    return shapes.attachment(one, world.public_url) | {
        "data_base64": content,
        # Without its contents an uploaded file would look as if it were not uploaded yet.
        "upload_token": one.upload_token if with_file or one.is_awaited else None,
        "expires_at": iso(one.expires_at),
    }
