"""Changes of chats: opening, joining, leaving, renaming, typing dots. The bot's endpoints and people's acts both use these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import payloads, shapes
from linqbot_dev.emulator.model.documents import new_id
from linqbot_dev.emulator.model.message_content import BackgroundRecord, PartRecord
from linqbot_dev.emulator.model.records import ChatRecord, Line, Member, MessageRecord, NoticeRecord

TYPING_S = 85.0


def open_chat(world: World, line: Line, people: Sequence[str], service: str) -> ChatRecord:
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
    world.emit("chat.created", shapes.chat_created(chat), chat)
    world.show_chat(chat)
    return chat


def join(world: World, chat: ChatRecord, handle: str, *, by: str) -> Member:
    """Add a member, also one that has left. Emits `participant.added`.

    Args:
        by: The handle of the member that adds it; the same handle joins by itself.
    """
    now = world.now()
    member = chat.member(handle)
    if member is None:
        member = Member(world.state.handle_id(handle), handle, world.state.service_of(handle), now)
        chat.members.append(member)
    member.status, member.left_at, member.joined_at = "active", None, now
    _note(world, chat, "joined" if by == handle else "added", by, handle=handle)
    _changed(world, chat)
    world.emit("participant.added", payloads.participant(chat, member, now, added=True), chat)
    return member


def depart(world: World, chat: ChatRecord, member: Member, *, by: str) -> None:
    """Mark a member as `left`, or as `removed` if `by` is the handle of another (R62). Emits `participant.removed`."""
    now = world.now()
    set_typing(world, chat, member.handle, None)
    member.status, member.left_at = "left" if by == member.handle else "removed", now
    _note(world, chat, member.status, by, handle=member.handle)
    _changed(world, chat)
    world.emit("participant.removed", payloads.participant(chat, member, now, added=False), chat)


def _note(
    world: World, chat: ChatRecord, kind: str, by: str, *, handle: str | None = None, value: str | None = None
) -> None:
    after = chat.messages[-1].id if chat.messages else None
    chat.notices.append(NoticeRecord(kind, world.now(), by, handle, value, after))


def _changed(world: World, chat: ChatRecord) -> None:
    chat.reusable = False
    chat.updated_at = world.now()
    world.show_chat(chat)


def store(
    world: World,
    chat: ChatRecord,
    sender: Member,
    parts: Sequence[PartRecord],
    *,
    service: str | None = None,
    **more: Any,
) -> MessageRecord:
    """Store a new message or poll of ours or of a person. The caller emits the event, or sets it on its way.

    Args:
        more: Other fields of the record.
    """
    now = world.now()
    arrived = {} if sender.is_me else {"sent_at": now}
    message = MessageRecord(
        id=new_id(),
        chat_id=chat.id,
        seq=world.state.next_seq(),
        is_from_me=sender.is_me,
        sender=sender,
        parts=list(parts),
        status="pending" if sender.is_me else "received",
        service=service or chat.service,
        created_at=now,
        updated_at=now,
        zero_retention=world.line_of(chat).zero_retention,
        **arrived | more,
    )
    world.state.add_message(chat, message)
    chat.updated_at = now
    return message


_LOOKS = {
    "name": ("group_name", "named", 4001),
    "icon": ("group_icon", "icon", 4001),
    "background": ("background", "background", 5002),
}


def set_look(
    world: World,
    chat: ChatRecord,
    by: Member,
    what: Literal["name", "icon", "background"],
    value: str | BackgroundRecord | None,
) -> None:
    """Change the look of a chat, unless it has it. Emits `chat.…_updated`; or, by a fault, `chat.…_update_failed`."""
    name, notice, code = _LOOKS[what]
    now, old, new = world.now(), getattr(chat, what), value or None
    if new == old:
        return
    if by.is_me and (fault := world.faults.take("chat", name, chat.id)) is not None:
        world.emit(f"chat.{name}_update_failed", payloads.chat_failure(chat, fault.code or code, now), chat)
        return
    setattr(chat, what, new)
    _note(world, chat, notice, by.handle, value=new.type if isinstance(new, BackgroundRecord) else new)
    if what == "background":
        data = payloads.background(chat, by)
    else:
        chat.updated_at = now
        data = payloads.group_change(chat, by, old, getattr(chat, what), now)
    world.emit(f"chat.{name}_updated", data, chat)
    world.show_chat(chat)


def set_typing(world: World, chat: ChatRecord, handle: str, until: float | None) -> bool:
    """Show a member as typing until a time, in Unix seconds; None hides the dots.

    Returns:
        True if this changed what the phone shows.
    """
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
        set_typing(world, chat, handle, None)
