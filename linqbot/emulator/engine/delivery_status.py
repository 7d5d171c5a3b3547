"""What becomes of an outbound message: pending, sent, delivered, read; or failed.

By itself a message is sent and delivered within a second of the emulator's clock; reading is up to the person.
SMS confirms nothing, so there it stays `sent`.
"""

from __future__ import annotations

from functools import partial

from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads
from linqbot.emulator.model.records import ChatRecord, MessageRecord

SENT_AFTER_S = 0.25
DELIVERED_AFTER_S = 0.75
FAILED = 4001

_STEPS = ("pending", "sent", "delivered", "read")


def begin(world: World, chat: ChatRecord, message: MessageRecord, *, can_arrive: bool = True) -> None:
    """Set a new outbound message on its way.

    Args:
        can_arrive: False fails it: the person does not have the only service it may use.
    """
    fault = world.faults.take("message", chat.id, *(member.handle for member in chat.others))
    start = world.now()
    code = (fault.code or FAILED) if fault else FAILED
    if fault or not can_arrive:
        world.timers.at(start + SENT_AFTER_S, lambda at: fail(world, chat, message, code, at))
    else:
        world.timers.at(start + SENT_AFTER_S, lambda at: reach(world, chat, message, "sent", at))
        if message.service != "SMS":
            world.timers.at(start + DELIVERED_AFTER_S, lambda at: reach(world, chat, message, "delivered", at))
    world.settles_at = max(world.settles_at, start + DELIVERED_AFTER_S)


def reach(world: World, chat: ChatRecord, message: MessageRecord, status: str, at: float) -> None:
    """Bring a message up to `status`, through every step before it; one that is there already stays."""
    if message.status not in _STEPS:
        return
    steps = _STEPS[_STEPS.index(message.status) + 1 : _STEPS.index(status) + 1]
    if not steps:
        return
    for step in steps:
        message.status = step
        setattr(message, f"{step}_at", at)
        if message.poll:
            # Rendered at once: the next step changes the message before another could be asked.
            state = payloads.poll_state(chat, message, zero_retention=world.line_of(chat).zero_retention)
            world.emit(f"poll.{step}", partial(dict, state), chat)
        else:
            world.emit_message(f"message.{step}", chat, message)
    world.show_message(message)


def fail(world: World, chat: ChatRecord, message: MessageRecord, code: int, at: float) -> None:
    message.status = "failed"
    if message.poll:
        quiet = world.line_of(chat).zero_retention
        world.emit("poll.failed", lambda: payloads.poll_failed(chat, message, code, at, zero_retention=quiet), chat)
    else:
        world.emit("message.failed", lambda: payloads.failed(chat, message, code, at), chat)
    world.show_message(message)
