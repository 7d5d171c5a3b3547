"""An export of a person after each feature was used: it holds every row that `forget` then removes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from answers import answers
from postgres_server import empty_storage_url
from pydantic import BaseModel, Field

from linqbot import Bot, Context, Manners, MessageReceived, Posted, Running
from linqbot.storage.backend import Storage
from linqbot.testing import Phone, talking

ANN, OWNER = "+14155550142", "+14155550198"


class Guest(BaseModel):
    name: str = Field("", description="What is your name?")


async def words() -> AsyncIterator[str]:
    yield "One. "
    yield "Two."


async def remember(ctx: Context) -> None:
    (await ctx.state.person(Guest)).name = "Ann"
    (await ctx.state.chat(Guest)).name = "Ann's"


async def fail(ctx: Context) -> None:
    raise ValueError


USES: Final[dict[str, tuple[Callable[[Context], Awaitable[object]], set[str]]]] = {
    "hello": (lambda ctx: ctx.reply("hi"), {"outcome", "journal"}),
    "state": (remember, {"state"}),
    "once": (lambda ctx: ctx.once("count", len), {"journal"}),
    "stream": (lambda ctx: ctx.stream(words()), {"journal"}),
    "history": (lambda ctx: ctx.history(), {"outcome"}),
    "later": (lambda ctx: ctx.send_later("It is later.", after_s=3600), {"timer"}),
    "broadcast": (
        lambda ctx: ctx.bot.broadcast([ANN, OWNER], "News.", name="july", per_minute=0.01),
        {"recipient", "broadcast", "decision"},
    ),
    "consent": (lambda ctx: ctx.bot.record_consent(ANN, given=True, how="said yes"), {"consent"}),
    "give up": (fail, {"dead"}),
    "person": (lambda ctx: ctx.handoff(to=OWNER, say="One moment."), {"hold", "timer"}),
    "mute": (lambda ctx: ctx.mute(), {"hold"}),
    "ask": (lambda ctx: ctx.ask("Which?"), {"conversation", "timer"}),
    "form": (lambda ctx: ctx.form(Guest), {"conversation", "timer"}),
    "post": (lambda ctx: ctx.send("paid"), {"outcome", "journal"}),
}
"""What a handler does with each feature, and the tables in which that stores rows of the person."""


class Kitchen:
    """A bot with every feature that stores something of a person, and its storage."""

    def __init__(self) -> None:
        self.bot = bot = Bot(read=False, typing=False, manners=Manners(per_day=None))
        self.storage: Storage | None = None
        bot.on_start(self._start)

        @bot.on_message(attempts=1)
        async def handle(message: MessageReceived, ctx: Context) -> None:
            await USES[message.text][0](ctx)

        @bot.on_post("order.paid")
        async def posted(post: Posted, ctx: Context) -> None:
            await USES["post"][0](ctx)

    async def _start(self, running: Running) -> None:
        self.storage = running.storage


async def use(phone: Phone, what: str) -> None:
    if what == "post":
        await answers(phone, "hello")
        await phone.post("order.paid", {}, post_id="8")
    else:
        await phone.text(what)
    await phone.errors()
    await phone.advance(5)


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgres", marks=[pytest.mark.process, pytest.mark.slow])])
async def test_an_export_holds_what_each_feature_stores_and_forget_removes_it(backend: str, tmp_path: Path) -> None:
    found: dict[str, set[str]] = {}
    for number, what in enumerate(USES):
        url = f"sqlite:///{tmp_path}/{number}.db" if backend == "sqlite" else empty_storage_url("features")
        kitchen = Kitchen()
        async with talking(kitchen.bot, handle=ANN, storage=url) as phone:
            await use(phone, what)
            assert kitchen.storage is not None
            chats = [str(phone.chat_id)]  # Linq lists it
            exported = await kitchen.storage.export(ANN, chats=chats)
            found[what] = {table for table, rows in exported.rows.items() if rows}
            forgotten = await kitchen.storage.forget(ANN, chats=chats)
            assert (forgotten.rows, forgotten.left) == (exported.counts, ())
            assert not (await kitchen.storage.export(ANN, chats=chats)).counts
    assert {what: tables - found[what] for what, (_, tables) in USES.items() if not tables <= found[what]} == {}
