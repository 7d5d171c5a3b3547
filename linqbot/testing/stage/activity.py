"""Counts the work between the phone and the bot, so that a test knows when nothing more will happen.

A test must learn this without sleeping and without polling. So the bot's three connections to the world, its storage,
its clock and its client, report to `Activity` when work begins and ends. Work is identified by its turn: a context
variable that is set when the worker leases a delivery, and that every task of the turn inherits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from linqbot.clock import MovableClock

Who: TypeAlias = object
"""The identity of one piece of work: a lease's token for a turn, else any object."""

turn: ContextVar[Who | None] = ContextVar("linqbot_turn", default=None)
"""The work that the running code belongs to; None for code that runs all the time, such as the worker itself."""


class Activity:
    """Counts the work in progress, and wakes waiting tests when work begins to wait or ends."""

    def __init__(self) -> None:
        self._at_work: Counter[Who] = Counter()
        self._sharing: set[Who | None] = set()
        self._waits: list[tuple[float, Who | None]] = []
        self._changed = asyncio.Event()

    def begin(self, who: Who) -> None:
        """Count one more piece of work of `who`."""
        self._at_work[who] += 1

    def end(self, who: Who) -> None:
        """Count one piece of work of `who` less, and wake the waiting test."""
        self._at_work[who] -= 1
        if self._at_work[who] <= 0:
            del self._at_work[who]
            self._sharing.discard(who)
        self.notify()

    def share(self) -> None:
        """Note that the running turn has read a value that all chats share."""
        self._sharing.add(turn.get())

    def is_sharing(self, who: Who) -> bool:
        """Return True if a turn has read a value that all chats share."""
        return who in self._sharing

    def notify(self) -> None:
        """Wake the test that waits for a change."""
        self._changed.set()

    @contextmanager
    def waiting(self, until: float) -> Iterator[None]:
        """Record that the code inside waits for a time, in Unix seconds."""
        wait = (until, turn.get())
        self._waits.append(wait)
        self.notify()
        try:
            yield
        finally:
            self._waits.remove(wait)

    def is_still(self, now: float) -> bool:
        """Return True if all work in progress waits for a time that has not come."""
        waiting = {who for until, who in self._waits if until > now}
        return all(who in waiting for who in self._at_work)

    def times(self, *, of_work: bool) -> list[float]:
        """Return the times that are waited for; `of_work` leaves out code that belongs to no turn."""
        return [until for until, who in self._waits if who is not None or not of_work]

    def forget_work(self) -> None:
        """Count no work any more: the bot was killed, and what it did has ended without a report."""
        self._at_work.clear()
        self._sharing.clear()
        self.notify()

    def clear(self) -> None:
        """Forget the changes so far. The caller looks at the state after this call, so it misses none."""
        self._changed.clear()

    async def changed(self) -> None:
        """Wait for a change since the last `clear`."""
        await self._changed.wait()


class WatchedClock(MovableClock):
    """The one clock of bot and emulator. It stands still until the test moves it.

    Args:
        start: Unix seconds; None is the present time.
    """

    def __init__(self, activity: Activity, start: float | None = None) -> None:
        super().__init__(start, frozen=True)
        self._activity = activity

    async def wait_until(self, at: float) -> None:
        """Wait for a time, in Unix seconds, and report the wait."""
        if at > self.now():
            with self._activity.waiting(at):
                await super().wait_until(at)
