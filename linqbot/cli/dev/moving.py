"""Moving the clocks of emulator and bot forward, so that everything on the way happens at its time.

A jump would be wrong: a send that was scheduled for the first of seven days would be six days late, and would not be made.
So the clocks stop at each time at which either side has something to do, and go on when it is done.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.records import iso
from linqbot.emulator.runner import Moved

BUSY_S = 30.0
"""Seconds of real time that the bot may work at one time of the clock."""

LONGEST_S = 60.0
"""Seconds of real time for one move. A bot that schedules a send each minute makes 10,080 of them in a week."""

LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Work:
    """The work of the bot.

    Attributes:
        is_busy: A turn runs, or could run now.
        next_at: The time at which a retry or a scheduled send is due next, in Unix seconds; None if there is none.
    """

    is_busy: bool
    next_at: float | None


class ClockFollower(Protocol):
    """The bot, as far as a move needs to know it."""

    async def work(self) -> Work:
        """Return its work now."""
        ...

    async def follow_clock(self) -> None:
        """Give it the emulator's clock."""
        ...


async def move(emulator: Emulator, bot: ClockFollower, at: float, *, is_over: Callable[[], bool]) -> Moved:
    """Move the clocks to a time in Unix seconds.

    Args:
        is_over: Returns True when the state was replaced, so that the move must not go on.
    """
    end = time.monotonic() + LONGEST_S
    while (now := emulator.clock.now()) < at:
        work = await _settled(emulator, bot, is_over)
        if is_over():
            return Moved("The state was reset or restarted meanwhile.")
        if work is None:
            return Moved(f"A handler has been at work for {BUSY_S:g} s, so the clock stays at {iso(now)}.")
        if time.monotonic() > end:
            return Moved(
                f"So much happened on the way that it took {LONGEST_S:g} s. The clock stays at {iso(now)}; move it again."
            )
        now = emulator.clock.now()
        times = (at, work.next_at, emulator.world.timers.next_due)
        step = min(due for due in times if due is not None and due > now) if at > now else now
        _advance(emulator, step)
        await bot.follow_clock()
    await _settled(emulator, bot, is_over)
    return Moved()


def _advance(emulator: Emulator, to: float) -> None:
    # Timers that are due at `to` must be due afterwards, and a sum of floats may fall short of it by the last bit.
    while (now := emulator.clock.now()) < to:
        emulator.advance(max(to - now, math.ulp(to)))


async def _settled(emulator: Emulator, bot: ClockFollower, is_over: Callable[[], bool]) -> Work | None:
    """Wait until all webhooks are answered and the bot has nothing to do now.

    Returns:
        The next work of the bot; None if it takes too long, or if the move must not go on.
    """
    end = time.monotonic() + BUSY_S
    calm = 0
    while True:
        # Twice: a turn may end between the two looks and cause a webhook, or the other way round.
        try:
            async with asyncio.timeout(BUSY_S):
                await emulator.world.deliveries.settled()
        except TimeoutError:
            return None
        work = await bot.work()
        calm = 0 if work.is_busy else calm + 1
        if calm == 2:
            return work
        if time.monotonic() > end or is_over():
            return None
        await asyncio.sleep(LOOK_S)
