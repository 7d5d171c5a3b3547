"""Changes of chats: opening, joining, leaving, renaming, and typing dots.

The endpoints of the bot (`endpoints/chats`) and the acts of a person (`acts`) both use these functions, so that both
change the state, emit the webhook and update the page in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads, shapes
from linqbot.emulator.model.documents import new_id
from linqbot.emulator.model.message_content import BackgroundRecord, MessageEffect, PartRecord, ReplyReference
from linqbot.emulator.model.records import ChatRecord, Line, Member, MessageRecord, NoticeRecord, PollRecord

TYPING_S = 85.0


def open_chat(world: World, line: Line, people: Sequence[str], service: str) -> ChatRecord:
    """Create a chat of `line` with these people. Emits `chat.created`."""
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


def store_inbound(
    world: World,
    chat: ChatRecord,
    sender: Member,
    parts: Sequence[PartRecord],
    *,
    effect: MessageEffect | None = None,
    reply_to: ReplyReference | None = None,
    sent_at: float | None = None,
    reconciled_at: float | None = None,
    poll: PollRecord | None = None,
) -> MessageRecord:
    """Store a message or a poll of a person. The caller emits the event."""
    now = world.now()
    message = MessageRecord(
        id=new_id(),
        chat_id=chat.id,
        seq=world.state.next_seq(),
        is_from_me=False,
        sender=sender,
        parts=list(parts),
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
    """Change the name of a group. Emits `chat.group_name_updated`; or, by a fault, `chat.group_name_update_failed`."""
    if by.is_me and _fails(world, chat, "group_name", 4001):
        return
    now, old = world.now(), chat.name
    chat.name, chat.updated_at = name or None, now
    if chat.name != old:
        _note(world, chat, "named", by.handle, value=chat.name)
    world.emit("chat.group_name_updated", payloads.group_change(chat, by, old, chat.name, now), chat)
    world.show_chat(chat)


def set_icon(world: World, chat: ChatRecord, by: Member, url: str | None) -> None:
    """Change the icon of a group. Emits `chat.group_icon_updated`; or, by a fault, `chat.group_icon_update_failed`."""
    if by.is_me and _fails(world, chat, "group_icon", 4001):
        return
    now, old = world.now(), chat.icon
    chat.icon, chat.updated_at = url or None, now
    if chat.icon != old:
        _note(world, chat, "icon", by.handle, value=chat.icon)
    world.emit("chat.group_icon_updated", payloads.group_change(chat, by, old, chat.icon, now), chat)
    world.show_chat(chat)


def set_background(world: World, chat: ChatRecord, by: Member, background: BackgroundRecord | None) -> None:
    """Change the background of a chat. Emits `chat.background_updated`, or by a fault `chat.background_update_failed`."""
    if by.is_me and _fails(world, chat, "background", 5002):
        return
    if chat.background != background:
        _note(world, chat, "background", by.handle, value=background.type if background else None)
    chat.background = background
    world.emit("chat.background_updated", payloads.background(chat, by), chat)
    world.show_chat(chat)


def _fails(world: World, chat: ChatRecord, what: str, code: int) -> bool:
    """Return True if a fault prevents a change by the bot. The event about the failure is then emitted."""
    fault, now = world.faults.take("chat", what, chat.id), world.now()
    if fault is not None:
        event = f"chat.{what}_update_failed"
        world.emit(event, payloads.chat_failure(chat, fault.code or code, now), chat)
    return fault is not None


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
