"""Sending a message: from line, people and content to a message that is delivered, read or failed.

`chats.create`, `chats.messages.send`, `messages.create`, voice memos and polls all use these functions. A message is
sent and delivered within a second of the emulator's clock. The person reads it, or not. SMS confirms nothing, so an SMS
stays `sent`. A message fails if its files have not been uploaded by the time it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linqbot.emulator.engine import chat_state, content, send_policy
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import documents, payloads
from linqbot.emulator.model.answers import ApiError, existing
from linqbot.emulator.model.message_content import MediaPartRecord, MessageEffect, PartRecord, TextPartRecord
from linqbot.emulator.model.records import ChatRecord, Line, MessageRecord, PollRecord

_RANK = ("iMessage", "RCS", "SMS")


def line_of_account(world: World, phone_number: str) -> Line:
    """Return a line of the account by its number (R12)."""
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
    """Put a message of ours into the chat and set it on its way. `send_policy` was asked before."""
    message = chat_state.store(
        world,
        chat,
        chat.me,
        parts,
        service=service,
        preferred_service=asked.get("preferred_service"),
        effect=documents.read(MessageEffect, asked["effect"]) if asked.get("effect") else None,
        reply_to=content.reply_to(world, chat, asked.get("reply_to")),
        idempotency_key=key or asked.get("idempotency_key"),
        is_voice_memo=is_voice_memo,
        poll=poll,
    )
    chat_state.set_typing(world, chat, chat.line, None)
    begin(world, chat, message, can_arrive=can_arrive)
    world.show_chat(chat)
    world.show_message(message)
    return message


def send_content(
    world: World, chat: ChatRecord, asked: Mapping[str, Any], *, override_optout: bool, key: str | None = None
) -> MessageRecord:
    """Send a MessageContent into an existing chat. If it is refused, nothing has changed."""
    send_policy.check_present(chat)
    line, people = world.line_of(chat), sorted(chat.people)
    service, can_arrive = service_for(world, line, people, asked.get("preferred_service"))
    parts = content.parts(world, asked, is_group=chat.is_group, service=service)
    content.reply_to(world, chat, asked.get("reply_to"))
    send_policy.check_send(world, line, people, override_optout=override_optout)
    return send(world, chat, asked, parts=parts, can_arrive=can_arrive, service=service, key=key)


SENT_AFTER_S = 0.25
DELIVERED_AFTER_S = 0.75
FAILED = 4001

_STEPS = ("pending", "sent", "delivered", "read")


def begin(world: World, chat: ChatRecord, message: MessageRecord, *, can_arrive: bool = True) -> None:
    """Schedule the steps of a new outbound message.

    Args:
        can_arrive: False lets the message fail: the person does not have the only service that it may use.
    """
    fault = world.faults.take("message", chat.id, *(member.handle for member in chat.others))
    start = world.now()
    code = (fault.code or FAILED) if fault else FAILED
    if fault or not can_arrive:
        world.timers.at(start + SENT_AFTER_S, lambda at: fail(world, chat, message, code, at))
    else:
        world.timers.at(start + SENT_AFTER_S, lambda at: _leave(world, chat, message, at))
        if message.service != "SMS":
            world.timers.at(start + DELIVERED_AFTER_S, lambda at: reach(world, chat, message, "delivered", at))
    world.settles_at = max(world.settles_at, start + DELIVERED_AFTER_S)


def _leave(world: World, chat: ChatRecord, message: MessageRecord, at: float) -> None:
    """Send a message; fail it if a file was announced and its bytes are not there: there is nothing to send."""
    files = [world.state.attachments.get(file_id) for part in message.parts for file_id in _file_ids(part)]
    if any(one is not None and one.is_awaited for one in files):
        fail(world, chat, message, FAILED, at)
    else:
        reach(world, chat, message, "sent", at)


def _file_ids(part: PartRecord) -> list[str]:
    if isinstance(part, MediaPartRecord):
        return [part.id]
    return [sticker.id for sticker in part.inline_stickers] if isinstance(part, TextPartRecord) else []


def resume(world: World, chat: ChatRecord, message: MessageRecord) -> None:
    """Schedule the steps that are left for a message of a saved state."""
    if message.status == "sent" and message.service != "SMS":
        due = world.now() + DELIVERED_AFTER_S - SENT_AFTER_S
        world.timers.at(due, lambda at: reach(world, chat, message, "delivered", at))
        world.settles_at = max(world.settles_at, due)
    elif message.status in {"pending", "queued"}:
        message.status = "pending"
        begin(world, chat, message)


def reach(world: World, chat: ChatRecord, message: MessageRecord, status: str, at: float) -> None:
    """Raise the status of a message to `status`, with an event for every step. A status that was reached stays."""
    if message.status not in _STEPS:
        return
    steps = _STEPS[_STEPS.index(message.status) + 1 : _STEPS.index(status) + 1]
    if not steps:
        return
    for step in steps:
        message.status = step
        setattr(message, f"{step}_at", at)
        if message.poll:
            world.emit_poll(f"poll.{step}", payloads.poll_state(chat, message), chat)
        else:
            world.emit_message(f"message.{step}", chat, message)
    world.show_message(message)


def fail(world: World, chat: ChatRecord, message: MessageRecord, code: int, at: float) -> None:
    message.status = "failed"
    if message.poll:
        world.emit_poll("poll.failed", payloads.poll_failed(chat, message, code, at), chat)
    else:
        world.emit("message.failed", payloads.failed(chat, message, code, at), chat)
    world.show_message(message)
