"""Truncate the WAL now and then while lines that keep nothing (zero retention) are served.

The text that such a turn deletes is overwritten in the file, but the WAL keeps the older versions of the pages.
Truncating the WAL costs two syncs and copying its content, so it is not done for every turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from linqbot.clock import Clock
from linqbot.errors import StorageError

TRUNCATE_AFTER_S = 60.0
"""Maximum time in seconds for which deleted text stays in the WAL, if no other connection reads from it then."""
BUSY_PAUSE_S = 5.0
"""Seconds before the next attempt when another connection, such as a backup, still reads from the WAL."""


class WalTruncation:
    """Calls `truncate` within a minute after `due`, and again until it succeeds.

    Args:
        truncate: Returns False if the WAL was busy.
    """

    def __init__(self, clock: Clock, truncate: Callable[[], Awaitable[bool]]) -> None:
        self._clock = clock
        self._truncate = truncate
        self._due = asyncio.Event()
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task that waits for `due`."""
        self._due.clear()
        self._task = asyncio.create_task(self._run(), name="linqbot-wal-truncation")

    async def stop(self) -> None:
        """Stop the task. The last connection that is closed removes the WAL."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def due(self) -> None:
        """Note that the WAL holds text that was deleted."""
        if not self._due.is_set():
            self._at = self._clock.now() + TRUNCATE_AFTER_S
            self._due.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            await self._clock.wait_until(self._at)
            self._due.clear()
            done = False
            with contextlib.suppress(StorageError):
                done = await self._truncate()
            if not done:
                self._at = self._clock.now() + BUSY_PAUSE_S
                self._due.set()
