"""Slow work of a handler, which a test lets end: messages that come meanwhile overlap with its turn."""

from __future__ import annotations

import asyncio


class Work:
    """Awaited by a handler: sets `begun`, and goes on when the test sets `end`."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        await self.end.wait()
