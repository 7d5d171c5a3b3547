"""`killed_between_calls`: runs a conversation again and again, and kills the bot once in each run, always at another point.

The bot can be killed before and after each call to Linq and each commit of its storage. Typing indicators and read
receipts have no such points, because they may be lost. Nor have receipts of the bot's messages, unless a handler takes
them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from linqbot.bot.bot import Bot
from linqbot.testing.phone import Phone, Service
from linqbot.testing.stage.stage import Stage
from linqbot.testing.talk import PERSON, first_phone

log = structlog.get_logger("linqbot.testing")

Scenario: TypeAlias = Callable[[Phone], Awaitable[object]]
"""What people do in a test: `async def scenario(phone)`."""

_SQLITE: Final = "sqlite:///"


class _OneCrash:
    """Kills the bot at the point with this number; None only counts the points."""

    def __init__(self, at: int | None) -> None:
        self._at = at
        self.count = 0
        self.killed: str | None = None

    def is_end(self, point: str) -> bool:
        is_here = self.count == self._at
        self.count += 1
        if is_here:
            self.killed = point
        return is_here


async def killed_between_calls(
    bot: Bot,
    scenario: Scenario,
    *,
    handle: str = PERSON,
    service: Service = "iMessage",
    start: datetime | None = None,
    version: str = "2026-02-03",
    handler_timeout_s: float = 30.0,
    storage: str = "memory://",
    copies: int = 1,
) -> AsyncIterator[Phone]:
    """Run a scenario without a crash, and then once for each point at which the bot can be killed.

    In each run the bot is killed at one point and started again on the same storage. When the scenario has ended and
    all its work is done, the phone is yielded: check what the bot must have done, whenever it was killed.

    Args:
        bot: The bot. All runs use the same object.
        scenario: What people do. It may wait for the bot, and check its replies.
        handle, service, start, version, handler_timeout_s, copies: As for `talking`.
        storage: As for `talking`. Each run has a new storage: of `sqlite:///bot.db`, the file `bot-0.db`, `bot-1.db`, ….
            It is deleted if the run succeeds.
    Yields:
        The phone of the first person. `phone.killed` is the point at which the bot was killed.
    Raises:
        Exception: the scenario raised it; a note says where the bot was killed.

    Example:
        `async for phone in killed_between_calls(bot, scenario):`
    """
    at: int | None = None
    points = 0
    while at is None or at < points:
        crash = _OneCrash(at)
        number = 0 if at is None else at + 1
        url = _numbered(storage, number)
        stage = Stage(
            bot,
            start=start,
            version=version,
            handler_timeout_s=handler_timeout_s,
            storage=url,
            copies=copies,
            crash_points=crash,
        )
        async with stage:
            phone = first_phone(stage, handle, service)
            try:
                await scenario(phone)
                await phone.quiet()
            except Exception as error:
                where = f"at point {at} of {points}, {crash.killed}" if crash.killed else "nowhere"
                error.add_note(f"killed_between_calls: the bot was killed {where}.")
                raise
            # pytest shows logs of failed tests only.
            log.info("testing.killed", run=number, at=crash.killed)
            yield phone
        _delete(url)
        if at is None:
            points, at = crash.count, 0
        else:
            at += 1


def _numbered(storage: str, number: int) -> str:
    if not storage.startswith(_SQLITE):
        return storage
    path = Path(storage.removeprefix(_SQLITE))
    return _SQLITE + str(path.with_name(f"{path.stem}-{number}{path.suffix}"))


def _delete(storage: str) -> None:
    if storage.startswith(_SQLITE):
        path = storage.removeprefix(_SQLITE)
        for suffix in ("", "-wal", "-shm", ".lock"):
            Path(path + suffix).unlink(missing_ok=True)
