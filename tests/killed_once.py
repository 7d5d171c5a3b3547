"""A real bot that is killed at one point of a chat, and started again. Its code kills it at what the file `point` says."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import crash
import httpx


async def killed_once(
    bot: crash.Served, http: httpx.AsyncClient, folder: Path, chat: str, point: object, *, messages: int = 1
) -> None:
    """Deliver messages of a chat to a bot that dies at a point, and start the bot again.

    Only one chat is under way: an event that crashes the process five times would be dead-lettered.
    """
    await bot.up(http, "/readyz")
    await crash.settled(http, bot.url)
    (folder / "point").write_text(str(point))
    arriving = crash.begin(crash.Load(bot.url, http, [chat], messages, seed=0))
    assert bot.process is not None
    async with asyncio.timeout(30):
        assert await bot.process.wait() == -signal.SIGKILL, f"it did not die: {point}"
    await bot.start()
    await arriving
