"""The status of an outbound message: pending, sent, delivered, read; or failed.

A message is sent and delivered within a second of the emulator's clock. The person reads it, or not. SMS confirms
nothing, so that an SMS stays `sent`. A message fails if its files have not been uploaded by the time it is sent.
"""

from __future__ import annotations

from functools import partial

from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads
from linqbot.emulator.model.message_content import MediaPartRecord, PartRecord, TextPartRecord
from linqbot.emulator.model.records import ChatRecord, MessageRecord

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
            # The data is made now, because the next step changes the message before the event is delivered.
            state = payloads.poll_state(chat, message, zero_retention=world.line_of(chat).zero_retention)
            world.emit(f"poll.{step}", partial(dict, state), chat)
        else:
            world.emit_message(f"message.{step}", chat, message)
    world.show_message(message)


def fail(world: World, chat: ChatRecord, message: MessageRecord, code: int, at: float) -> None:
    """Set a message to `failed`, with an event that has Linq's error code."""
    message.status = "failed"
    if message.poll:
        zero_retention = world.line_of(chat).zero_retention
        world.emit(
            "poll.failed", lambda: payloads.poll_failed(chat, message, code, at, zero_retention=zero_retention), chat
        )
    else:
        world.emit("message.failed", lambda: payloads.failed(chat, message, code, at), chat)
    world.show_message(message)
