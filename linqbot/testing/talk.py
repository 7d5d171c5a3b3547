"""`talking`: runs a bot and a phone for the duration of a block."""

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
    """Run a bot against an emulated Linq in this process, and return a person's phone.

    No socket and no file is opened. Time stands still until `phone.advance`. Only work in progress moves the clock,
    without a sleep: the delivery of a message, or the retry of a call. When the block ends without an exception,
    pending work is finished first, and an exception of a handler fails the test.

    The bot's own plugins run: those it defines and those in `Bot(plugins=[…])`. Other installed plugins do not run, so
    that a test has the same result on every machine.

    Args:
        handle: The handle of the phone's owner. `phone.person(…)` returns the phones of other people.
        service: The service of that phone.
        start: The time at the beginning; None is the present time.
        version: The payload version of the webhooks: `2026-02-03` or `2025-01-01`.
        handler_timeout_s: Real seconds that a handler may spend on real work, such as a request of its own, before a
            wait fails.
    Raises:
        BotError: a handler of the bot can never run.
        HandlerFailed: a handler raised, and the test did not expect it.

    Example:
        `async with talking(bot) as phone:`
    """
    async with Stage(bot, start=start, version=version, handler_timeout_s=handler_timeout_s) as stage:
        phone = Phone(stage, handle, LINES[0])
        stage.emulator.state.services[phone.handle] = service
        yield phone


class PhoneFor(Protocol):
    """The type of the fixture `phone_for`, which is `talking` under the fixture's name."""

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
        """Run `bot`, and return a person's phone."""
