"""`talking`: runs a bot and a phone for the duration of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol, get_args

from linqbot.bot.bot import Bot
from linqbot.emulator.emulator import LINES
from linqbot.errors import BotError
from linqbot.testing import arguments
from linqbot.testing.phone import Phone, Service
from linqbot.testing.stage.stage import Stage

PERSON = "+14155550142"


@asynccontextmanager
async def talking(
    bot: Bot,
    *,
    handle: str = PERSON,
    service: Service = "iMessage",
    start: datetime | None = None,
    version: str = "2026-02-03",
    handler_timeout_s: float = 30.0,
    storage: str = "memory://",
    copies: int = 1,
) -> AsyncIterator[Phone]:
    """Run a bot against an emulated Linq in this process, and return a person's phone.

    No socket is opened, and no file unless `storage` names one. Time stands still until `phone.advance`. Only work in
    progress moves the clock, without a sleep: the delivery of a message, or the retry of a call. When the block ends
    without an exception, pending work is finished first, and an exception of a handler fails the test.

    The bot's own plugins run: those it defines and those in `Bot(plugins=[…])`. Other installed plugins do not run, so
    that a test has the same result on every machine.

    Args:
        handle: The handle of the phone's owner. `phone.person(…)` returns the phones of other people.
        service: The service of that phone.
        start: The time at the beginning; None is the present time.
        version: The payload version of the webhooks: `2026-02-03` or `2025-01-01`.
        handler_timeout_s: Real seconds that a handler may spend on real work, such as a request of its own, before a
            wait fails.
        storage: The URL of the bot's storage: `memory://`, or a file, such as `sqlite:///bot.db`.
        copies: How often each webhook is delivered. Linq may deliver one more than once, and a bot must not notice.
    Raises:
        BotError: a handler of the bot can never run, or `bot` is no Bot.
        ConfigError: there is no such storage, or it cannot be opened; or the event loop is not asyncio's.
        HandlerFailed: a handler raised, and the test did not expect it.
        ValueError: an argument cannot be: `copies` below 1, a `start` without a time zone, an unknown service.

    Example:
        `async with talking(bot) as phone:`
    """
    __tracebackhide__ = True
    if not isinstance(bot, Bot):
        shown = f"the class {bot.__name__}" if isinstance(bot, type) else type(bot).__name__
        raise BotError(f"talking(…) takes a Bot, not {shown}.")
    stage = Stage(
        bot, start=start, version=version, handler_timeout_s=handler_timeout_s, storage=storage, copies=copies
    )
    async with stage:
        yield first_phone(stage, handle, service)


def first_phone(stage: Stage, handle: str, service: Service) -> Phone:
    """Return the phone of a test's first person.

    Raises:
        ValueError: there is no such service.
    """
    arguments.one_of("service", service, get_args(Service))
    phone = Phone(stage, handle, LINES[0])
    stage.emulator.state.services[phone.handle] = service
    return phone


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
        handler_timeout_s: float = 30.0,
        storage: str = "memory://",
        copies: int = 1,
    ) -> AbstractAsyncContextManager[Phone]:
        """Run `bot`, and return a person's phone."""
