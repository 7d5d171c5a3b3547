"""Chats as rooms: opened, joined, left, renamed, and who is typing in them.

What the bot does to a chat (`chats.py`, `participants.py`) and what a person does (`person.py`) ends here, so that
both leave the same traces: state, webhook, page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads, shapes
from linqbot.emulator.model.records import ChatRecord, Line, Member, MessageRecord, PollRecord, new_id

TYPING_S = 85.0


def open_chat(world: World, line: Line, people: Sequence[str], service: str) -> ChatRecord:
    """A new chat of `line` with these people. Emits `chat.created`."""
    now = world.now()
    me = Member(
        world.state.handle_id(line.phone_number), line.phone_number, service, now, is_me=True, line_type=line.line_type
    )
    others = [Member(world.state.handle_id(handle), handle, service, now) for handle in people]
    chat = ChatRecord(
        id=new_id(),
        line=line.phone_number,
        members=[me, *others],
        is_group=len(others) > 1,
        service=service,
        created_at=now,
        updated_at=now,
        seq=world.state.next_seq(),
        health_at=now,
    )
    world.state.add_chat(chat)
    world.emit("chat.created", lambda: shapes.chat_created(chat), chat)
    world.show_chat(chat)
    return chat


def join(world: World, chat: ChatRecord, handle: str) -> Member:
    """Somebody comes, or comes back. Emits `participant.added`."""
    now = world.now()
    member = chat.member(handle)
    if member is None:
        member = Member(world.state.handle_id(handle), handle, world.state.service_of(handle), now)
        chat.members.append(member)
    member.status, member.left_at, member.joined_at = "active", None, now
    _changed(world, chat)
    world.emit("participant.added", lambda: payloads.participant(chat, member, now, added=True), chat)
    return member


def depart(world: World, chat: ChatRecord, member: Member, status: str) -> None:
    """Somebody goes: `left` by themselves or `removed` by others (R62). Emits `participant.removed`."""
    now = world.now()
    still_typing(world, chat, member.handle, None)
    member.status, member.left_at = status, now
    _changed(world, chat)
    world.emit("participant.removed", lambda: payloads.participant(chat, member, now, added=False), chat)


def _changed(world: World, chat: ChatRecord) -> None:
    chat.reusable = False
    chat.updated_at = world.now()
    world.show_chat(chat)


def take_in(
    world: World,
    chat: ChatRecord,
    sender: Member,
    parts: list[dict[str, Any]],
    *,
    effect: dict[str, Any] | None = None,
    reply_to: dict[str, Any] | None = None,
    sent_at: float | None = None,
    reconciled_at: float | None = None,
    poll: PollRecord | None = None,
) -> MessageRecord:
    """Something a person wrote is in the chat now. Emits nothing: what it is, its caller knows."""
    now = world.now()
    message = MessageRecord(
        id=new_id(),
        chat_id=chat.id,
        seq=world.state.next_seq(),
        is_from_me=False,
        sender=sender,
        parts=parts,
        status="received",
        service=chat.service,
        created_at=now,
        updated_at=now,
        effect=effect,
        reply_to=reply_to,
        sent_at=now if sent_at is None else sent_at,
        reconciled_at=reconciled_at,
        poll=poll,
        zero_retention=world.line_of(chat).zero_retention,
    )
    world.remember(chat, message)
    chat.updated_at = now
    return message


def rename(world: World, chat: ChatRecord, by: Member, name: str | None) -> None:
    """Emits `chat.group_name_updated`; or, by a fault, `chat.group_name_update_failed`."""
    if by.is_me and _fails(world, chat, "group_name", 4001):
        return
    now, old = world.now(), chat.name
    chat.name, chat.updated_at = name or None, now
    world.emit("chat.group_name_updated", lambda: payloads.group_change(chat, by, old, chat.name, now), chat)
    world.show_chat(chat)


def set_icon(world: World, chat: ChatRecord, by: Member, url: str | None) -> None:
    """Emits `chat.group_icon_updated`; or, by a fault, `chat.group_icon_update_failed`."""
    if by.is_me and _fails(world, chat, "group_icon", 4001):
        return
    now, old = world.now(), chat.icon
    chat.icon, chat.updated_at = url or None, now
    world.emit("chat.group_icon_updated", lambda: payloads.group_change(chat, by, old, chat.icon, now), chat)
    world.show_chat(chat)


def set_background(world: World, chat: ChatRecord, background: dict[str, Any] | None) -> None:
    """Emits `chat.background_updated`; or, by a fault, `chat.background_update_failed`."""
    if _fails(world, chat, "background", 5002):
        return
    chat.background = background
    world.emit("chat.background_updated", lambda: payloads.background(chat, chat.me), chat)
    world.show_chat(chat)


def _fails(world: World, chat: ChatRecord, what: str, code: int) -> bool:
    """Whether a fault keeps a change of ours from happening; then the event that says so is out."""
    fault, now = world.faults.take("chat", what, chat.id), world.now()
    if fault is not None:
        event = f"chat.{what}_update_failed"
        world.emit(event, lambda: payloads.chat_failure(chat, fault.code or code, now), chat)
    return fault is not None


def still_typing(world: World, chat: ChatRecord, handle: str, until: float | None) -> bool:
    """Show somebody typing until a time, or no longer (None). Returns whether that changed anything."""
    was = handle in chat.typing
    if until is None:
        chat.typing.pop(handle, None)
        if was:
            world.show_typing(chat, handle, "stopped")
        return was
    chat.typing[handle] = until
    world.timers.at(until, lambda at: _expire(world, chat, handle, at))
    if not was:
        world.show_typing(chat, handle, "started")
    return not was


def _expire(world: World, chat: ChatRecord, handle: str, at: float) -> None:
    if chat.typing.get(handle, at + 1) <= at:
        still_typing(world, chat, handle, None)
