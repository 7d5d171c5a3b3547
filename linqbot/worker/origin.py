"""The origin of a turn: its people and its chat. It is stored with the turn's calls, so that `linqbot forget` finds them."""

from __future__ import annotations

from pydantic_core import to_json

from linqbot.events.event import Event
from linqbot.types.chat import Chat
from linqbot.types.handle import Handle


def origin_of(event: Event) -> bytes | None:
    """Return the people and the chat of an event as JSON; None if the event names no person.

    The people are the one who caused the event, the one it happened to, and in a direct chat the one the chat is with;
    never a line of ours. `is_group` is included, because only in a direct chat does everything belong to the person.
    """
    handles = _handles(event)
    handles.discard(event.line)
    if not handles:
        return None
    return to_json({"handles": sorted(handles), "chat_id": event.chat_id, "is_group": event.is_group})


def _handles(event: Event) -> set[str | None]:
    fields = vars(event)
    actor, chat, participant = fields["actor"], fields.get("chat"), fields.get("participant")
    handles: set[str | None] = {actor} if actor and not event.is_own else set()
    people = [] if participant is None else [participant]
    if event.is_group is False and isinstance(chat, Chat):
        people += chat.handles
    for person in people:
        if isinstance(person, Handle) and person.handle and not person.is_me:
            handles.add(person.handle)
    return handles
