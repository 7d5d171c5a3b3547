"""The bot's own changes of the people in a group: their events must start no turn.

Linq does not say who added or removed a person. So the commit that ends a turn stores, for each such call, a timer that
waits for the event. The event's turn finds the timer by its id and deletes it. If the event never comes, the timer fires
after an hour, which only removes it. Other changes name their author, so their events need no timer.

`IncomingCalls` counts the calls of `ctx.incoming()` that a run of a handler has made, with those of the steps that it has
from the record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pydantic_core import to_json

from linqbot.client.call import Call, id_in_path
from linqbot.clock import Clock
from linqbot.events.event import Event
from linqbot.events.parse import EVENT_TYPES as ALL_EVENT_TYPES
from linqbot.storage.timers import Timer, Timers

KIND: Final = "own_change"

EVENT_OF: Final = {
    ("chats.participants", "add"): "participant.added",
    ("chats.participants", "remove"): "participant.removed",
}
"""The type of the event that follows a call, by the resource and the method of the call."""

EVENT_TYPES: Final = frozenset(EVENT_OF.values())

EXPIRY_ID: Final = f"i.{KIND}."
"""Prefix of the ids of the deliveries of such timers, whose event has not come. No webhook has such an id."""

WAIT_S: Final = 3600.0
"""Seconds for which the event of a change is awaited. Linq tries to deliver an event for 30 minutes."""


def timers(made: Iterable[Call], clock: Clock) -> list[Timer]:
    """Return the timers that wait for the events of calls, for the commit that ends their turn."""
    found = []
    for call in made:
        if (event_type := EVENT_OF.get((call.noun, call.verb))) is not None:
            chat_id, handle = id_in_path(call), str((call.body or {})["handle"])
            timer_id = _id(event_type, chat_id, handle)
            # With the handle, so that `linqbot forget` finds the timer.
            payload = to_json({"chat_id": chat_id, "handle": handle})
            found.append(Timer(timer_id, clock.now() + WAIT_S, f"x:{timer_id}", KIND, payload, WAIT_S))
    return found


def are_awaited(handled: Iterable[type[Event]]) -> bool:
    """Return True if the bot takes events of changes of people, so that it must recognize its own.

    Args:
        handled: The event classes that the bot needs.
    """
    return any(issubclass(ALL_EVENT_TYPES[name], each) for name in EVENT_TYPES for each in handled)


async def expected(event: Event, stored: Timers) -> str | None:
    """Return the id of the timer that waits for an event; None if the bot has not caused it.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    handle = getattr(getattr(event, "participant", None), "handle", None)
    if event.type not in EVENT_TYPES or not handle or event.chat_id is None:
        return None
    timer_id = _id(event.type, event.chat_id, handle)
    return None if await stored.timer(timer_id) is None else timer_id


def _id(event_type: str, chat_id: str, handle: str) -> str:
    # A digest, because ids of timers are logged.
    return hashlib.sha256(f"{event_type}|{chat_id}|{handle.casefold()}".encode()).hexdigest()[:32]


_in_step: ContextVar[list[int] | None] = ContextVar("linqbot_incoming_in_step", default=None)


class IncomingCalls:
    """The calls of `ctx.incoming()` of one run, by number. The first run of the turn numbers them from 0.

    A step (`ctx.once`) that calls `incoming` is not made again by the next run, whose handler has the messages from the
    result of the step. So the step's journal entry has the numbers of its calls, and these are not given to others.
    """

    def __init__(self) -> None:
        self._made: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._made

    @property
    def next(self) -> int:
        """The number of the next call: the smallest one that is free."""
        return next(number for number in range(len(self._made) + 1) if number not in self._made)

    def make(self, number: int) -> None:
        """Note a call that has got its messages."""
        self.recall((number,))

    def recall(self, numbers: Sequence[int]) -> None:
        """Note the calls of a step on record."""
        self._made.update(numbers)
        if (in_step := _in_step.get()) is not None:
            in_step.extend(numbers)

    @contextmanager
    def of_step(self) -> Iterator[list[int]]:
        """Collect the numbers of the calls that a step makes, with those of the steps inside of it."""
        around = _in_step.get()
        token = _in_step.set(made := list[int]())
        try:
            yield made
        finally:
            _in_step.reset(token)
            if around is not None:
                around += made
