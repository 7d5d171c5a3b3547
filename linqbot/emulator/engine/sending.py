"""Sending a message: from line, people and content to a message on its way.

`chats.create`, `chats.messages.send`, `messages.create`, voice memos and polls all use these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linqbot.emulator.engine import content, delivery_status, send_policy
from linqbot.emulator.engine.chat_state import set_typing
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import ApiError, existing
from linqbot.emulator.model.message_content import PartRecord
from linqbot.emulator.model.records import ChatRecord, Line, MessageRecord, PollRecord, new_id

_RANK = ("iMessage", "RCS", "SMS")


def line_of_account(world: World, phone_number: str) -> Line:
    """Return a line of the account by its number (R12).

    Raises:
        ApiError: 403, the number is not a line of the account.
    """
    line = world.state.lines.get(phone_number)
    if line is None:
        raise ApiError(403, 2005, "This phone number does not belong to your account")
    return line


def service_for(world: World, line: Line, people: Sequence[str], preferred: str | None) -> tuple[str, bool]:
    """Return the service that a message would use, and whether the message can arrive by it (R32)."""
    best = max((world.state.service_of(handle) for handle in people), key=_RANK.index, default="iMessage")
    if line.line_type == "RCS" and best == "iMessage":
        best = "RCS"
    if preferred == "iMessage":
        return "iMessage", best == "iMessage"
    if preferred == "RCS":
        return ("SMS" if best == "SMS" else "RCS"), True
    return preferred or best, True


def is_inferior(service: str, than: str) -> bool:
    """Return True if `service` is inferior to `than`: SMS to RCS, RCS to iMessage."""
    return _RANK.index(service) > _RANK.index(than)


def repeated(world: World, key: str | None) -> MessageRecord | None:
    """Return the message that was sent with this idempotency key; None if there is none.

    Raises:
        ApiError: 404, the message was sent and deleted since; it is not sent again.
    """
    if not key or key not in world.state.keys:
        return None
    return existing(world.state.messages.get(world.state.keys[key]), "message")


def send(
    world: World,
    chat: ChatRecord,
    asked: Mapping[str, Any],
    *,
    parts: list[PartRecord],
    can_arrive: bool = True,
    service: str | None = None,
    key: str | None = None,
    poll: PollRecord | None = None,
    is_voice_memo: bool = False,
) -> MessageRecord:
    """Put a message of ours into the chat and set it on its way. `send_policy` was asked before.

    Raises:
        ApiError: 404, the message that is answered does not exist, or not in this chat.
    """
    now = world.now()
    message = MessageRecord(
        id=new_id(),
        chat_id=chat.id,
        seq=world.state.next_seq(),
        is_from_me=True,
        sender=chat.me,
        parts=parts,
        status="pending",
        service=service or chat.service,
        created_at=now,
        updated_at=now,
        preferred_service=asked.get("preferred_service"),
        effect=content.effect(asked.get("effect")),
        reply_to=content.reply_to(world, chat, asked.get("reply_to")),
        idempotency_key=key or asked.get("idempotency_key"),
        is_voice_memo=is_voice_memo,
        zero_retention=world.line_of(chat).zero_retention,
        poll=poll,
    )
    world.remember(chat, message)
    chat.updated_at = now
    set_typing(world, chat, chat.line, None)
    delivery_status.begin(world, chat, message, can_arrive=can_arrive)
    world.show_chat(chat)
    world.show_message(message)
    return message


def send_content(
    world: World, chat: ChatRecord, asked: Mapping[str, Any], *, override_optout: bool, key: str | None = None
) -> MessageRecord:
    """Send a MessageContent into an existing chat. If it is refused, nothing has changed.

    Raises:
        ApiError: R13, R30, R34, R40-R42, R49, R61, R70-R75, rate limit.
    """
    send_policy.check_present(chat)
    line, people = world.line_of(chat), sorted(chat.people)
    service, can_arrive = service_for(world, line, people, asked.get("preferred_service"))
    parts = content.parts(world, asked, is_group=chat.is_group, service=service)
    content.reply_to(world, chat, asked.get("reply_to"))
    send_policy.check_send(world, line, people, override_optout=override_optout)
    return send(world, chat, asked, parts=parts, can_arrive=can_arrive, service=service, key=key)
