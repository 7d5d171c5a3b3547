"""The longest wait of a test for what is sure to come: a machine at work on other things may need minutes for a second's work."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

PATIENCE_S = 180.0


async def until(is_so: Callable[[], object], *, every_s: float = 0.001) -> None:
    """Wait for a fact that other tasks, threads or processes bring about. What is asked may be a coroutine."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await found if inspect.isawaitable(found := is_so()) else found):
            await asyncio.sleep(every_s)
