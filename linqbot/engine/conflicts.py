"""Turns whose state was changed while they ran: they run again, and those that lost the same value one after the other.

Without the queue, a value that many chats change at the same time would cost a run of every turn for each commit. Turns
that have not lost yet do not wait, so a value that is mostly read costs no more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final, TypeAlias

from linqbot.clock import Clock
from linqbot.errors import StateConflict

WAIT_S: Final = 60.0
"""Maximum seconds that a turn waits for its place. Then it runs all the same, and may lose again."""

_Place: TypeAlias = tuple[str, str]


class StateQueue:
    """The turns that lost a value, by the id of their delivery. In memory only: after a crash, turns just run again."""

    def __init__(self) -> None:
        self._lost: dict[str, _Place] = {}
        self._held: dict[str, _Place] = {}
        self._locks: dict[_Place, asyncio.Lock] = {}
        self._users: Counter[_Place] = Counter()

    @property
    def is_empty(self) -> bool:
        return not (self._lost or self._held or self._locks or self._users)

    def note(self, delivery_id: str, conflict: StateConflict) -> None:
        """Note that a turn lost a value: its next run waits for its place."""
        self._lost[delivery_id] = conflict.scope, conflict.name

    async def enter(self, delivery_id: str, clock: Clock) -> None:
        """Wait until the turns that lost the same value earlier have ended. Return at once for a turn that lost none."""
        place = self._lost.pop(delivery_id, None)
        if place is None:
            return
        lock = self._locks.setdefault(place, asyncio.Lock())
        self._users[place] += 1
        acquiring = asyncio.ensure_future(lock.acquire())
        limit = asyncio.ensure_future(clock.wait_until(clock.now() + WAIT_S))
        try:
            await asyncio.wait((acquiring, limit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            if acquiring.done():
                self._held[delivery_id] = place
            else:
                acquiring.cancel()
                self._drop(place)

    def leave(self, delivery_id: str, *, runs_again: bool) -> None:
        """Let the next turn run, now that a turn has ended. If it does not run again, forget a value that it has lost."""
        if not runs_again:
            self._lost.pop(delivery_id, None)
        if (place := self._held.pop(delivery_id, None)) is not None:
            self._locks[place].release()
            self._drop(place)

    def _drop(self, place: _Place) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            del self._users[place], self._locks[place]
