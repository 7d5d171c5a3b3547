"""What happens later on the emulator's clock: receipts, retries, the end of a typing bubble."""

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
"""Called with the time it was due, so that a far jump of the clock still leaves sensible times behind."""


@dataclass(order=True, slots=True)
class ClockTimer:
    due: float
    order: int
    action: Action = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class ClockTimers:
    """Actions in the order of their times. `run` fires them as the clock goes, `run_due` after it was moved."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._heap: list[ClockTimer] = []
        self._order = itertools.count()
        self._sooner = asyncio.Event()

    def at(self, due: float, action: Action) -> ClockTimer:
        timer = ClockTimer(due, next(self._order), action)
        heapq.heappush(self._heap, timer)
        if self._heap[0] is timer:
            self._sooner.set()
        return timer

    def clear(self) -> None:
        self._heap.clear()

    def run_due(self) -> None:
        """Fire everything whose time has come, also what those actions schedule in turn."""
        while self._heap and self._heap[0].due <= self._clock.now():
            timer = heapq.heappop(self._heap)
            if timer.cancelled:
                continue
            try:
                timer.action(timer.due)
            except Exception:
                # One broken action must not stop the clock for all that come after it.
                log.exception("timer.crashed")

    async def run(self) -> None:
        """Fire timers until cancelled."""
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
