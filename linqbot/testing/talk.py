"""`talking`: a bot and a phone, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol

from linqbot.bot.bot import Bot
from linqbot.emulator.emulator import LINES
from linqbot.testing.phone import Phone, Service
from linqbot.testing.stage import Stage

PERSON = "+14155550142"


@asynccontextmanager
async def talking(
    bot: Bot,
    *,
    handle: str = PERSON,
    service: Service = "iMessage",
    start: datetime | None = None,
    version: str = "2026-02-03",
    handler_timeout_s: float = 5.0,
) -> AsyncIterator[Phone]:
    """Run a bot against an emulated Linq in this process, and hand over a person's phone.

    Nothing is opened but memory: no socket, no file. Time stands still until `phone.advance`; what is under way, a
    message's delivery or the repetition of a call, takes its moment of that time without a sleep. When the block ends
    well, everything is let end, and what a handler raised meanwhile fails the test.

    The bot's plugins take part: those it brings and those it names, `Bot(plugins=[…])`. What else is installed does
    not, so that a test tells the same on every machine.

    Args:
        handle: Whose phone it is; `phone.person(…)` has more.
        service: What that phone speaks.
        start: What time it is at first; None is now.
        version: Which payloads the webhooks carry: `2026-02-03` or `2025-01-01`.
        handler_timeout_s: Real seconds a handler may work on something real, such as a request of its own, before a wait
            gives up.
    Raises:
        BotError: a handler of the bot can never run.
        HandlerFailed: a handler raised, and no test expected it.

    Example:
        `async with talking(bot) as phone:`
    """
    async with Stage(bot, start=start, version=version, handler_timeout_s=handler_timeout_s) as stage:
        phone = Phone(stage, handle, LINES[0])
        stage.emulator.state.services[phone.handle] = service
        yield phone


class PhoneFor(Protocol):
    """The type of the fixture `phone_for`: `talking`, under the name a test asks for it by."""

    def __call__(
        self,
        bot: Bot,
        *,
        handle: str = PERSON,
        service: Service = "iMessage",
        start: datetime | None = None,
        version: str = "2026-02-03",
        handler_timeout_s: float = 5.0,
    ) -> AbstractAsyncContextManager[Phone]:
        """Run `bot`, and hand over a person's phone."""
