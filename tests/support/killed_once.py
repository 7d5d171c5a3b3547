"""A real bot that is killed at one point of a chat, and started again. Its code kills it at what the file `point` says."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import crash
import httpx
from patience import PATIENCE_S

DYING = """
import os
import signal
from collections import Counter
from pathlib import Path

from linqbot import Bot, Context, MessageReceived
from linqbot.client.sender import Sender

POINT = Path("point")
passed = Counter()


def reached(point: str) -> None:
    \"\"\"Die here, if this is the point; once: the next process finds no mark and lives, and so does one that runs next to it.\"\"\"
    try:
        wanted = POINT.read_text()
        passed.update([(wanted, point), (wanted, "any")])
        if wanted in (f"{point} {passed[wanted, point]}", f"any {passed[wanted, 'any']}"):
            POINT.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    except FileNotFoundError:
        return


def dying(kind: type, *names: str) -> None:
    \"\"\"Let methods of a class reach a point before and after each call, but not after one that finds nothing to do.\"\"\"
    for name in names:
        setattr(kind, name, dying_method(name, getattr(kind, name)))


def dying_method(name, done):
    async def step(self, *args, **kwargs):
        reached("before " + name)
        result = await done(self, *args, **kwargs)
        if result != []:
            reached("after " + name)
        return result

    return step


dying(Sender, "run")
"""
"""The beginning of the code of a bot that dies at a point. Its author calls `reached` and `dying` at further ones."""


async def killed_once(
    bot: crash.Served, http: httpx.AsyncClient, folder: Path, chat: str, point: str, *, messages: int = 1
) -> None:
    """Deliver messages of a chat to a bot that dies at a point, and start the bot again.

    Only one chat is under way: an event that crashes the process five times would be dead-lettered.

    Args:
        point: The name of a point and a number: the process dies when it reaches the point for so many times. `any 3` is the
            third point of all.
    """
    await bot.up(http, "/readyz")
    await crash.settled(http, bot.url)
    (folder / "point").write_text(point)
    arriving = crash.begin(crash.Load(bot.url, http, [chat], messages, seed=0))
    assert bot.process is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await bot.process.wait() == -signal.SIGKILL, f"it did not die: {point}"
    await bot.start()
    await arriving
