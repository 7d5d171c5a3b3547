"""A turn that has ended leaves no reference cycles, because collecting them would delay every chat."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fakes import NOW, Linq, delivery, settled, text_body

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import MovableClock
from linqbot.events.message import MessageReceived
from linqbot.storage.memory.storage import MemoryStorage
from linqbot.worker.calls.rate_limit import SendRateLimit
from linqbot.worker.turn import Turns
from linqbot.worker.worker import Worker

pytestmark = pytest.mark.anyio

TURNS = 20


@contextmanager
def counting_cycles() -> Iterator[Counter[str]]:
    """Count, by class, the objects of linqbot that only the garbage collector would free."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("linqbot"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def test_turns_leave_nothing_to_the_garbage_collector() -> None:
    clock, linq = MovableClock(NOW, frozen=True), Linq()
    storage = MemoryStorage(clock=clock)
    bot = Bot(read=False, typing=False, groups="all", max_age_s=None)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    worker = Worker(
        Turns(Dispatcher(bot, clock), linq.client, storage, clock, SendRateLimit(clock)), storage, clock, concurrency=4
    )
    worker.start()

    async def text(number: int) -> None:
        await storage.put(delivery(text_body(f"message {number}")))
        while worker.busy or await storage.waiting():
            await settled(1)

    await text(0)
    with counting_cycles() as cycles:
        for number in range(1, TURNS + 1):
            await text(number)
    await worker.stop(1)

    assert len(linq.calls) == TURNS + 1
    assert cycles == {}
