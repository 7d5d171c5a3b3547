"""`talking` runs a bot and a phone for the duration of a block. `killed_between_calls` does so once for each point of a kill.

The bot can be killed before and after each call to Linq and each commit of its storage. Typing indicators and read
receipts have no such points, because they may be lost. Nor have receipts of the bot's messages and new chats, unless a
handler takes them. Of two points between which nothing happens one is enough.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol, TypeAlias

import structlog

from linqbot.bot.bot import Bot
from linqbot.errors import BotError
from linqbot_dev.emulator.declared_world import DeclaredWorld
from linqbot_dev.testing.phone import Phone, Service
from linqbot_dev.testing.stage.bot_run import CrashPoints
from linqbot_dev.testing.stage.stage import Stage

log = structlog.get_logger("linqbot.testing")


@asynccontextmanager
async def talking(
    bot: Bot,
    *,
    handle: str | None = None,
    service: Service | str | None = None,
    world: DeclaredWorld | None = None,
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
        handle: The handle of the phone's owner; None is the first person of `world`, or +14155550142. `phone.person(…)`
            returns the phones of other people.
        service: The service of that phone; None is what `world` says, or iMessage.
        world: The people, groups and lines that are there at the beginning; None is two lines.
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
        bot,
        world=world,
        start=start,
        version=version,
        handler_timeout_s=handler_timeout_s,
        storage=storage,
        copies=copies,
    )
    async with stage:
        yield first_phone(stage, handle, service)


def first_phone(stage: Stage, handle: str | None, service: Service | str | None) -> Phone:
    """Return the phone of a test's first person. Raises ValueError if there is no such service."""
    world = stage.emulator.declared
    if handle is None:
        handle = world.owner
    return Phone(stage, handle, world.lines[0].phone_number).person(handle, service=service)


class PhoneFor(Protocol):
    """The type of the fixture `phone_for`, which is `talking` under the fixture's name."""

    def __call__(
        self,
        bot: Bot,
        *,
        handle: str | None = None,
        service: Service | str | None = None,
        world: DeclaredWorld | None = None,
        start: datetime | None = None,
        version: str = "2026-02-03",
        handler_timeout_s: float = 30.0,
        storage: str = "memory://",
        copies: int = 1,
    ) -> AbstractAsyncContextManager[Phone]: ...


Scenario: TypeAlias = Callable[[Phone], Awaitable[object]]
"""What people do in a test: `async def scenario(phone)`."""


async def killed_between_calls(
    bot: Bot,
    scenario: Scenario,
    *,
    handle: str | None = None,
    service: Service | str | None = None,
    world: DeclaredWorld | None = None,
    start: datetime | None = None,
    copies: int = 1,
) -> AsyncIterator[Phone]:
    """Run a scenario without a crash, and then once for each point at which the bot can be killed.

    In each run the bot is killed at one point and started again on the same storage. When the scenario has ended and
    all its work is done, the phone is yielded: check what the bot must have done, whenever it was killed. What the phone
    does from then on has no points.

    Args:
        bot: The bot. All runs use the same object.
        scenario: What people do. It may wait for the bot, and check its replies.
        handle, service, world, start, copies: As for `talking`.
    Yields:
        The phone of the first person. `phone.killed` is the point at which the bot was killed.
    Raises:
        Exception: the scenario raised it; a note says where the bot was killed.

    Example:
        `async for phone in killed_between_calls(bot, scenario):`
    """
    kills: list[int | None] = [None]
    for run, at in enumerate(kills):
        crash = CrashPoints(at)
        async with Stage(bot, world=world, start=start, copies=copies, crash_points=crash) as stage:
            phone = first_phone(stage, handle, service)
            try:
                await scenario(phone)
                await phone.quiet()
            except Exception as error:
                where = f"at point {run} of {len(kills) - 1}, {crash.killed}" if crash.killed else "nowhere"
                error.add_note(f"killed_between_calls: the bot was killed {where}.")
                raise
            # pytest shows logs of failed tests only.
            log.info("testing.killed", run=run, at=crash.killed)
            if at is None:
                kills += crash.numbers()
            yield phone
