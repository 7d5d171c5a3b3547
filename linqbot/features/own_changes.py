"""The bot's own changes of the people in a group: their events must start no turn.

Linq does not say who added or removed a person. So the commit that ends a turn stores, for each such call, a timer that
waits for the event. The event's turn finds the timer by its id and deletes it. If the event never comes, the timer fires
after an hour, which only removes it. Other changes name their author, so their events need no timer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

from pydantic_core import to_json

from linqbot.client.call import Call, id_in_path
from linqbot.clock import Clock
from linqbot.engine.turn import Turn
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import EVENT_TYPES as ALL_EVENT_TYPES
from linqbot.linq.handles import person_key
from linqbot.storage.inbox import Commit
from linqbot.storage.timers import Timer

KIND: Final = "own_change"

EVENT_OF: Final = {
    "chats.participants.add": "participant.added",
    "chats.participants.remove": "participant.removed",
}
"""The type of the event that follows a call, by the name of the call."""

EVENT_TYPES: Final = frozenset(EVENT_OF.values())

WAIT_S: Final = 3600.0
"""Seconds for which the event of a change is awaited. Linq tries to deliver an event for 30 minutes."""


def timers(made: Iterable[Call], clock: Clock) -> list[Timer]:
    """Return the timers that wait for the events of calls, for the commit that ends their turn."""
    found = []
    for call in made:
        if (event_type := EVENT_OF.get(call.name)) is not None:
            chat_id, handle = id_in_path(call), str((call.body or {})["handle"])
            timer_id = _id(event_type, chat_id, handle)
            # With the handle, so that `linqbot person forget` finds the timer.
            payload = to_json({"chat_id": chat_id, "handle": handle})
            found.append(Timer(timer_id, clock.now() + WAIT_S, f"x:{timer_id}", KIND, payload))
    return found


def are_awaited(handled: Collection[type[Event]]) -> bool:
    """Return True if the bot takes events of changes of people, so that it must recognize its own."""
    # Their module has all their other bases. It is imported only if a handler takes an event of it.
    bases = [each for each in handled if each.__module__ == "linqbot.linq.events.chat"]
    return Event in handled or any(issubclass(ALL_EVENT_TYPES[name], each) for name in EVENT_TYPES for each in bases)


def _id(event_type: str, chat_id: str, handle: str) -> str:
    # A digest, because ids of timers are logged.
    return hashlib.sha256(f"{event_type}|{chat_id}|{person_key(handle)}".encode()).hexdigest()[:32]


class OwnChanges(TurnFeature):
    """Recognizes the bot's own changes, if a handler takes such events."""

    async def begin(self, turn: Turn) -> None:
        event = turn.event
        handle = getattr(getattr(event, "participant", None), "handle", None)
        if event.type not in EVENT_TYPES or not handle or event.chat_id is None:
            return
        timer_id = _id(event.type, event.chat_id, handle)
        if await self._turns.storage.timer(timer_id) is not None:
            turn.journal.cancelled.append(timer_id)
            turn.event = event.model_copy(update={"by_me": True})

    def end(self, turn: Turn, commit: Commit) -> None:
        if turn.is_running:
            commit.timers += timers(turn.journal.made, self._turns.clock)
