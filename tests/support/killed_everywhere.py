"""`killed_between_calls` on a storage of the test: a bot is killed at each point of a scenario, and goes on with what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from linqbot_dev.testing.stage.bot_run import CrashPoints
from linqbot_dev.testing.stage.stage import Stage
from linqbot_dev.testing.talk import first_phone

from linqbot import Bot
from linqbot.testing import Phone


async def killed_everywhere(
    bot: Bot, scenario: Callable[[Phone], Awaitable[object]], *, handle: str, storage: Callable[[], str]
) -> AsyncIterator[Phone]:
    """Run a scenario without a crash, and once for each point of a kill, each on a new storage. Yield the first phone each time.

    `storage` returns the URL of a storage. `linqbot.testing.killed_between_calls` uses one in memory.
    """
    kills: list[int | None] = [None]
    for at in kills:
        crash = CrashPoints(at)
        async with Stage(bot, start=None, copies=1, crash_points=crash, storage=storage()) as stage:
            phone = first_phone(stage, handle, None)
            try:
                await scenario(phone)
                await phone.quiet()
            except Exception as error:
                error.add_note(f"The bot was killed {crash.killed or 'nowhere'}.")
                raise
            if at is None:
                kills += crash.numbers()
            yield phone
