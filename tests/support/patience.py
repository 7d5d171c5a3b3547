"""The longest wait of a test for what is sure to come: a machine at work on other things may need minutes for a second's work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE_S = 180.0


async def until(is_so: Callable[[], object]) -> None:
    """Wait for a fact that other tasks, threads or processes bring about."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.001)
