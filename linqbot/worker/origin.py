"""The people and the chat of a turn: kept with what the turn sends and puts off, so that `forget` finds it later."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import to_json

from linqbot.events.event import Event
from linqbot.types.handle import Handle


def origin_of(event: Event) -> bytes | None:
    """Return the people of an event and its chat as JSON; None when the event names no person.

    The people are who did it, to whom it happened, and in a direct chat whom it is with; never a line of ours. Only
    the chat's `is_group` tells whether everything in it belongs to the person.
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
