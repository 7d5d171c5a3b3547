"""An alarm that ends a wait when a time has come.

The worker waits after each turn, and nearly always for the same time: the end of the oldest lease. So the alarm stays set
from one wait to the next, and is moved only to an earlier time. If it goes off too early, the worker looks in vain, once,
and sets it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from linqbot.clock import Clock


class AlarmClock:
    """Ends a wait when its clock reaches a time. One task may wait at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None

    def set(self, at: float) -> None:
        """Set the alarm to a Unix time, if it is not set to an earlier one."""
        if self._task is not None and self._at <= at:
            return
        self.cancel()
        self._at = at
        self._task = asyncio.get_running_loop().create_task(self._clock.wait_until(at), name="linqbot alarm")
        self._task.add_done_callback(self._went_off)

    def cancel(self) -> None:
        """Turn the alarm off."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def wait_for(self, work: Awaitable[object]) -> None:
        """Wait until work is done, or until the alarm goes off, which cancels the work."""
        limit = self._limit = asyncio.timeout(None)
        try:
            async with limit:
                await work
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._limit = None

    def _went_off(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        self._task = None
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
