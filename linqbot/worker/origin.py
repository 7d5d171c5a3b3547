"""The origin of a turn: its people and its chat. It is stored with the turn's calls, so that `linqbot forget` finds them."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import to_json

from linqbot.events.event import Event
from linqbot.types.handle import Handle


def origin_of(event: Event) -> bytes | None:
    """Return the people and the chat of an event as JSON; None if the event names no person.

    The people are the one who caused the event, the one it happened to, and in a direct chat the one the chat is with;
    never a line of ours. `is_group` is included, because only in a direct chat does everything belong to the person.
    """
    handles = sorted({handle for handle in _handles(event) if handle and handle != event.line})
    if not handles:
        return None
    return to_json({"handles": handles, "chat_id": event.chat_id, "is_group": event.is_group})


def _handles(event: Event) -> Iterator[str | None]:
    if not event.is_own:
        yield event.actor
    fields = vars(event)
    people = [fields.get("participant")]
    if event.is_group is False:
        people += getattr(fields.get("chat"), "handles", ())
    for person in people:
        if isinstance(person, Handle) and not person.is_me:
            yield person.handle
