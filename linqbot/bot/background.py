"""Background tasks, which no turn waits for and which may be lost: read receipts and typing dots.

A background task never delays a turn, and its errors never reach a handler. Each call has one attempt, of at most
`HINT_S` seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Final

from linqbot.bot.branch import leave_turn

HINT_S: Final = 3.0
"""Seconds that Linq may take for a read receipt or a change of the typing dots."""


class BackgroundTasks:
    """The background tasks of one bot."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task for `work` that does not belong to the current turn."""
        context = copy_context()
        context.run(leave_turn)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Cancel the tasks that still run, and wait until they have ended."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
