"""Sending a message: from line, people and content to a message that is delivered, read or failed, or to a refusal.

`chats.create`, `chats.messages.send`, `messages.create`, voice memos and polls all use these functions. A message is
sent and delivered within a second of the emulator's clock. The person reads it, or not. SMS confirms nothing, so an SMS
stays `sent`. A message fails if its files have not been uploaded by the time it is sent.

Checked before: opt-out, blocked handles, flagged lines, sandbox and rate limit (R13, R15, R61, R69-R75). The addresses of
files are passed on as they are: the emulator fetches none (R29, R38, R66), because it connects only to receivers of webhooks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from linqbot.linq.rules.message import is_opt_out
from linqbot.linq.types.message import Effect
from linqbot_dev.emulator.engine import chat_state, content
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, payloads
from linqbot_dev.emulator.model.answers import ApiError, conflict, existing, too_many
from linqbot_dev.emulator.model.message_content import MediaPartRecord, PartRecord, TextPartRecord
from linqbot_dev.emulator.model.records import ChatRecord, Line, MessageRecord, PollRecord

MESSAGES_PER_PAIR = 30
SANDBOX_MESSAGES_A_DAY = 100
PAIR_WINDOW_S = 60.0


def note_text(world: World, chat: ChatRecord, handle: str, text: str) -> None:
    """Note the text that a person wrote (R69, R72, R73).

    An opt-out word in a direct chat stops messages to this person. Any later text allows them again.
    """
    state = world.state
    if is_opt_out(text):
        if not chat.is_group:
            state.opted_out.add(handle)
            _set_health(world, chat, "OPTED_OUT")
            world.show_conditions()
    elif handle in state.opted_out:
        set_opt_out(world, handle, is_out=False)


def set_opt_out(world: World, handle: str, *, is_out: bool) -> None:
    before, after = ("HEALTHY", "OPTED_OUT") if is_out else ("OPTED_OUT", "HEALTHY")
    if is_out:
        world.state.opted_out.add(handle)
    else:
        world.state.opted_out.discard(handle)
    for chat in world.state.chats.values():
        if not chat.is_group and chat.health == before and handle in chat.people:
            _set_health(world, chat, after)
    world.show_conditions()


def _set_health(world: World, chat: ChatRecord, status: str) -> None:
    chat.health = status
    chat.health_at = world.now()
    world.show_chat(chat)


def check_present(chat: ChatRecord) -> None:
    """Check that our line has not left the chat (R61)."""
    if chat.has_left:
        raise conflict("Your phone number has left this chat")


def check_line(line: Line) -> None:
    """Check that a line may send (R13). Reading is always allowed."""
    if not line.can_send:
        raise ApiError(403, 2027, "This phone number cannot send messages at present")


def check_able(world: World, chat: ChatRecord) -> None:
    """Check that our line may do something in a chat: it has not left the chat and is not flagged (R13, R61)."""
    check_present(chat)
    check_line(world.line_of(chat))


def check_send(world: World, line: Line, people: Collection[str], *, override_optout: bool) -> None:
    """Check that a message to these people may be sent now, and count the message (R13, R15, R70, R71, R74, R75).

    Args:
        override_optout: True sends although the recipient has opted out.
    """
    check_line(line)
    state = world.state
    if people and all(handle in state.blocked for handle in people):
        raise ApiError(403, 2026, "The recipient is blocked")
    if len(people) == 1 and not override_optout and not state.opted_out.isdisjoint(people):
        raise ApiError(403, 2024, "The recipient has opted out of messages")
    if state.is_sandbox:
        _check_sandbox(world, people)
    _check_rate(world, line, people)


def _check_sandbox(world: World, people: Collection[str]) -> None:
    """Check that the people have written first, and that fewer than 100 messages were sent since midnight UTC (R15)."""
    state, now = world.state, world.now()
    wrote = {one.sender.handle for one in state.messages.values() if not one.is_from_me}
    if not wrote.issuperset(people):
        raise ApiError(403, 2008, "In a sandbox, the recipient must write first")
    day = int(now // 86400)
    count = state.sandbox_day[1] if state.sandbox_day[0] == day else 0
    if count >= SANDBOX_MESSAGES_A_DAY:
        raise too_many("A sandbox sends a hundred messages a day", (day + 1) * 86400 - now)
    state.sandbox_day = (day, count + 1)


def _check_rate(world: World, line: Line, people: Collection[str]) -> None:
    now = world.now()
    pairs = [world.state.sends[line.phone_number, handle] for handle in people]
    for sends in pairs:
        while sends and sends[0] <= now - PAIR_WINDOW_S:
            sends.popleft()
        if len(sends) >= MESSAGES_PER_PAIR:
            raise too_many("Too many messages to this recipient", sends[0] + PAIR_WINDOW_S - now)
    for sends in pairs:
        sends.append(now)
    line.used_at = now


_RANK = ("iMessage", "RCS", "SMS")


def _rank(service: str) -> int:
    """Return the place of a service, the best first. One that is not known is last: a chat with such a phone is on it."""
    return _RANK.index(service) if service in _RANK else len(_RANK)


def line_of_account(world: World, phone_number: str) -> Line:
    """Return a line of the account by its number (R12)."""
    line = world.state.lines.get(phone_number)
    if line is None:
        raise ApiError(403, 2005, "This phone number does not belong to your account")
    return line


def best_service(world: World, line: Line, people: Collection[str]) -> str:
    """Return the best service that the line and all of these people have."""
    best = max((world.state.service_of(handle) for handle in people), key=_rank, default="iMessage")
    return "RCS" if line.line_type == "RCS" and best == "iMessage" else best


def is_inferior(service: str, than: str) -> bool:
    """Return True if `service` is inferior to `than`: SMS to RCS, RCS to iMessage."""
    return _rank(service) > _rank(than)


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
    service: str | None = None,
    poll: PollRecord | None = None,
    is_voice_memo: bool = False,
) -> MessageRecord:
    """Put a message of ours into the chat and set it on its way. `check_send` was asked before."""
    message = chat_state.store(
        world,
        chat,
        chat.me,
        parts,
        service=service,
        preferred_service=asked.get("preferred_service"),
        effect=documents.read(Effect, asked["effect"]) if asked.get("effect") else None,
        reply_to=content.reply_to(world, chat, asked.get("reply_to")),
        idempotency_key=asked.get("idempotency_key"),
        is_voice_memo=is_voice_memo,
        poll=poll,
    )
    chat_state.set_typing(world, chat, chat.line, None)
    begin(world, chat, message)
    world.show_chat(chat)
    world.show_message(message)
    return message


def send_content(
    world: World,
    to: ChatRecord | tuple[Line, list[str]],
    asked: Mapping[str, Any],
    *,
    override_optout: bool,
) -> MessageRecord:
    """Send a MessageContent into a chat, or open a chat with it. If it is refused, nothing has changed.

    Args:
        to: The chat; or the line and the people of the chat to open.
    """
    chat: ChatRecord | None = None
    if isinstance(to, ChatRecord):
        check_present(to)
        chat, line, people, is_group = to, world.line_of(to), sorted(to.people), to.is_group
    else:
        line, people = to
        is_group = len(people) > 1
    best, preferred = best_service(world, line, people), asked.get("preferred_service")
    wanted = preferred if preferred in _RANK else best
    service = "SMS" if wanted == "RCS" and best == "SMS" else wanted  # R32
    parts = content.parts(world, asked, is_group=is_group, service=service)
    content.reply_to(world, chat, asked.get("reply_to"))
    check_send(world, line, people, override_optout=override_optout)
    chat = chat or chat_state.open_chat(world, line, people, service)
    return send(world, chat, asked, parts=parts, service=service)


SENT_AFTER_S = 0.25
DELIVERED_AFTER_S = 0.75
FAILED = 4001

_STEPS = ("pending", "sent", "delivered", "read")


def begin(world: World, chat: ChatRecord, message: MessageRecord) -> None:
    """Schedule the steps of a new outbound message."""
    needs_imessage = message.preferred_service == "iMessage"  # which Linq never replaces by another service (R32)
    can_arrive = not needs_imessage or best_service(world, world.line_of(chat), chat.people) == "iMessage"
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
            world.emit(f"poll.{step}", payloads.poll_state(chat, message), chat)
        else:
            world.emit_message(f"message.{step}", chat, message)
    world.show_message(message)


def fail(world: World, chat: ChatRecord, message: MessageRecord, code: int, at: float) -> None:
    message.status = "failed"
    if message.poll:
        world.emit("poll.failed", payloads.poll_failed(chat, message, code, at), chat)
    else:
        world.emit("message.failed", payloads.failed(chat, message, code, at), chat)
    world.show_message(message)
