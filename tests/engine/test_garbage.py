"""A turn that has ended leaves no reference cycles, because collecting them would delay every chat."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from engine_turns import run_worker
from fakes import NOW, Linq, delivery, settled, text_body
from reference_cycles import counting_cycles

from linqbot import Bot, Context, Event, MessageReceived, hookimpl
from linqbot.bot.router import Next
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.clock import MovableClock
from linqbot.storage.sqlite.memory import MemoryStorage

TURNS = 20


class Around:
    """A plugin with middleware around everything, and a value that holds the context."""

    name = "around"

    @hookimpl
    def register_middleware(self) -> list[Callable[[Next], Next]]:
        def wrap(handle: Next) -> Next:
            async def handled(event: Event, ctx: Context) -> None:
                await handle(event, ctx)

            return handled

        return [wrap]

    @hookimpl
    def register_outbound(self) -> list[Callable[[Run], Run]]:
        def wrap(run: Run) -> Run:
            async def called(call: Call) -> ApiResponse:
                return await run(call)

            return called

        return [wrap]

    @hookimpl
    def register_context(self) -> dict[str, Callable[[Event, Context], Any]]:
        return {self.name: lambda _, ctx: [ctx]}


class Photo:
    """An object that a handler has in memory."""


@pytest.mark.parametrize("has_step", [False, True], ids=["no step", "a step"])
@pytest.mark.parametrize("plugins", [[], [Around()]], ids=["no plugin", "a plugin"])
async def test_turns_leave_nothing_to_the_garbage_collector(plugins: list[object], has_step: bool) -> None:
    clock, linq = MovableClock(NOW, frozen=True), Linq()
    storage = MemoryStorage(clock=clock)
    bot = Bot(read=False, typing=False, plugins=plugins)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        assert list(ctx.plugins.values()) == [[ctx]] * len(plugins)
        if has_step:
            await ctx.once("note", str)
        await ctx.reply(message.text)

    async with run_worker(bot, linq, storage, clock) as worker:

        async def text(number: int) -> None:
            await storage.put(delivery(text_body(f"message {number}")))
            while worker.busy or await storage.waiting():
                await settled(1)

        await text(0)
        with counting_cycles() as cycles:
            for number in range(1, TURNS + 1):
                await text(number)

    assert len(linq.calls) == TURNS + 1
    assert cycles == {}


async def test_what_a_failed_handler_had_in_memory_is_free_after_its_turn() -> None:
    clock = MovableClock(NOW, frozen=True)
    storage = MemoryStorage(clock=clock)
    bot = Bot(read=False, typing=False)
    photos: list[weakref.ref[Photo]] = []

    @bot.on_message(attempts=2)
    async def look(message: MessageReceived, ctx: Context) -> None:
        photo = Photo()
        photos.append(weakref.ref(photo))
        raise ValueError(message.text)

    async with run_worker(bot, Linq(), storage, clock) as worker:
        gc.disable()
        try:
            await storage.put(delivery(text_body("soup")))
            await settled()
            while worker.busy:
                await settled(1)
            assert [photo() for photo in photos] == [None]
        finally:
            gc.enable()
