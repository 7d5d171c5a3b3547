"""Work that is done next to the turns and may be lost: read receipts and typing dots.

It never holds a turn, and its errors are never a handler's. Each piece has one attempt, of a few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Final

from linqbot.bot.branch import leave_turn

HINT_S: Final = 3.0
"""Seconds that a read receipt or a change of the dots may take at Linq."""


class BackgroundTasks:
    """The tasks of one bot that no turn waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in a task of its own, outside of the turn that asks for it."""
        context = copy_context()
        context.run(leave_turn)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Cancel what still runs."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
