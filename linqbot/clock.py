"""Time as an argument: `now` and `wait_until`, injected wherever something depends on the hour.

`SystemClock` is the wall clock. `MovableClock` is for tests, for the emulator and for `linqbot dev`: it can be
advanced or frozen, and whoever waits on it wakes when its time has come, without a sleep. Verification of
signatures never uses a moved clock: the other side's clock does not move with ours.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """What code that depends on time asks for. Times are Unix seconds, as floats."""

    def now(self) -> float:
        """The time, in Unix seconds."""
        ...

    async def wait_until(self, at: float) -> None:
        """Return once `now() >= at`."""
        ...


class SystemClock:
    """The wall clock."""

    def now(self) -> float:
        return time.time()

    async def wait_until(self, at: float) -> None:
        # In steps, and reading the clock again: laptops suspend and clocks are set.
        while (left := at - time.time()) > 0:  # noqa: ASYNC110 - there is no event: time itself is awaited
            await asyncio.sleep(min(left, 60.0))


class MovableClock:
    """A clock that can be advanced and frozen.

    Args:
        start: Unix seconds to begin at; None begins at the wall clock's time.
        frozen: True stands still until `advance`; False runs with the wall clock, plus what was advanced.
    """

    def __init__(self, start: float | None = None, *, frozen: bool = False) -> None:
        self._offset = 0.0 if start is None else start - time.time()
        self._frozen_at: float | None = None
        self._waiters: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        if frozen:
            self._frozen_at = time.time() if start is None else start

    def now(self) -> float:
        return time.time() + self._offset if self._frozen_at is None else self._frozen_at

    @property
    def is_frozen(self) -> bool:
        return self._frozen_at is not None

    def freeze(self) -> None:
        """Stand still from now on."""
        self._frozen_at = self.now()

    def run(self) -> None:
        """Go on from the present reading, with the wall clock."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - time.time()
            self._frozen_at = None
            self._wake()

    def advance(self, seconds: float) -> None:
        """Move ahead and wake whoever's time has come, in the order of their times."""
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += seconds
        self._wake()

    async def wait_until(self, at: float) -> None:
        while self.now() < at:
            entry = (at, next(self._count), asyncio.get_running_loop().create_future())
            heapq.heappush(self._waiters, entry)
            timeout = None if self.is_frozen else at - self.now()
            try:
                await asyncio.wait_for(entry[2], timeout)
            except TimeoutError:
                continue
            finally:
                if entry in self._waiters:
                    self._waiters.remove(entry)
                    heapq.heapify(self._waiters)

    def _wake(self) -> None:
        # A running clock's waiters also re-arm: `freeze` and `run` change how long they must sleep.
        now = self.now()
        while self._waiters and self._waiters[0][0] <= now:
            _, _, future = heapq.heappop(self._waiters)
            if not future.done():
                future.set_result(None)
        if not self.is_frozen:
            for _, _, future in self._waiters:
                if not future.done():
                    future.set_result(None)
