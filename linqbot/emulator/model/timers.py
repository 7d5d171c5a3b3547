"""Actions at later times on the emulator's clock: receipts, retries, the end of typing dots."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from linqbot.clock import MovableClock

log = logging.getLogger("linqbot.emulator")

Action: TypeAlias = Callable[[float], None]
"""Called with the time at which it was due, so that a far jump of the clock still produces the right times."""


@dataclass(order=True, slots=True)
class ClockTimer:
    """An action and the time at which it is due, in Unix seconds. `order` keeps actions of one time in sequence."""

    due: float
    order: int
    action: Action = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Cancel the action. Cancelling again has no effect."""
        self.cancelled = True


class ClockTimers:
    """Actions in the order of their times.

    `run` executes them while the clock runs; `run_due` executes those that are due after the clock was moved.
    """

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._heap: list[ClockTimer] = []
        self._order = itertools.count()
        self._sooner = asyncio.Event()

    def at(self, due: float, action: Action) -> ClockTimer:
        """Schedule an action for a time in Unix seconds."""
        timer = ClockTimer(due, next(self._order), action)
        heapq.heappush(self._heap, timer)
        if self._heap[0] is timer:
            self._sooner.set()
        return timer

    @property
    def next_due(self) -> float | None:
        """The time of the earliest action, in Unix seconds; None if there is none."""
        while self._heap and self._heap[0].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0].due if self._heap else None

    def clear(self) -> None:
        """Remove all actions."""
        self._heap.clear()

    def run_due(self) -> None:
        """Execute all actions that are due, including those that an executed action schedules."""
        while self._heap and self._heap[0].due <= self._clock.now():
            timer = heapq.heappop(self._heap)
            if timer.cancelled:
                continue
            try:
                timer.action(timer.due)
            except Exception:
                # An action that fails must not prevent the actions after it.
                log.exception("timer.crashed")

    async def run(self) -> None:
        """Execute actions when they are due, until cancelled."""
        while True:
            self._sooner.clear()
            self.run_due()
            waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._sooner.wait())]
            if self._heap:
                waits.append(asyncio.create_task(self._clock.wait_until(self._heap[0].due)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
