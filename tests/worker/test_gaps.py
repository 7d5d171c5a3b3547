"""After a gap the first message of a chat waits for what was written before it, and only then, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.faults import Fault
from linqbot.emulator.web.app import create_app as create_emulator_app
from linqbot.errors import StorageUnavailable
from linqbot.events.message import MessageReceived
from linqbot.server.app import create_app, running
from linqbot.storage.sqlite.storage import SQLiteStorage

pytestmark = pytest.mark.anyio

LINE, ANN = "+12025550100", "+14155550142"


class Way(httpx.AsyncBaseTransport):
    """Webhooks go to the app while it runs; else nobody listens."""

    app: httpx.ASGITransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.app is None:
            raise httpx.ConnectError("nobody listens")
        return await self.app.handle_async_request(request)


class House:
    """A bot that can be stopped and started, and the emulator, which delivers again what was refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovableClock(frozen=True)
        self.way = Way()
        self.emulator = Emulator(clock=self.clock, delivery_transport=self.way)
        target = "http://127.0.0.1:8000/webhooks/linq?version=2026-02-03"
        self.secret = self.emulator.subscribe(target, ["message.received"]).secret
        self.bot = Bot(read=False, typing=False)
        self.settings: dict[str, Any] = {"drain_s": 0}
        self.running: Any = None

        @self.bot.on_message
        async def echo(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(message.text)

        @self.bot.on_message(late=True)
        async def history(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(f"late: {message.text}")

    async def start(self) -> None:
        transport = httpx.ASGITransport(app=create_emulator_app(self.emulator))
        url = self.emulator.public_url + "/api/partner"
        client = Client("token", base_url=url, transport=transport, clock=self.clock, max_retries=0)
        storage = SQLiteStorage(self.folder / "bot.db", clock=self.clock)
        app = create_app(
            self.bot, client=client, storage=storage, secrets=[self.secret], clock=self.clock, **self.settings
        )
        self.storage = storage
        self.running = running(app)
        await self.running.__aenter__()
        self.way.app = httpx.ASGITransport(app=app)
        await asyncio.sleep(0)  # looks how long it was silent

    async def stop(self) -> None:
        self.way.app = None
        await self.running.__aexit__(None, None, None)
        self.running = None

    def text(self, text: str, *, after_s: float = 2.0) -> None:
        self.clock.advance(after_s)
        self.emulator.do(Write(from_=ANN, to=LINE, parts=[{"type": "text", "value": text}]))

    async def settle(self) -> None:
        async with asyncio.timeout(20):
            quiet = 0
            while quiet < 5:
                await self.emulator.flush()
                await asyncio.sleep(0.002)
                busy = {each.state for each in await self.storage.waiting()} if self.running else set()
                quiet = 0 if busy & {"ready", "leased"} else quiet + 1

    async def retries(self, seconds: float = 600.0) -> None:
        """Let Linq deliver again what it still has."""
        for _ in range(40):
            self.clock.advance(seconds / 40)
            await self.settle()

    def said(self) -> list[str]:
        (chat,) = self.emulator.snapshot()["chats"]
        return [m["parts"][0]["value"] for m in chat["messages"] if m["is_from_me"]]

    def lists(self) -> int:
        return sum(call["path"].endswith("/messages") and call["method"] == "GET" for call in self.emulator.calls)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.emulator:
        await made.start()
        made.text("first")
        await made.settle()
        yield made
        if made.running is not None:
            await made.stop()


async def test_messages_across_a_restart_are_answered_as_they_were_written(house: House) -> None:
    await house.stop()
    for text in "ab":
        house.text(text)
        await house.settle()
    await house.start()
    house.text("c")
    await house.settle()
    assert house.said() == ["first", "a", "b", "c"]
    await house.retries()
    assert house.said() == ["first", "a", "b", "c"]


async def test_without_a_gap_linq_is_asked_nothing(house: House) -> None:
    for n in range(5):
        house.text(f"{n}")
        await house.settle()
    assert house.lists() == 0


async def test_a_chat_is_looked_at_once_after_a_gap(house: House) -> None:
    await house.stop()
    await house.start()
    for n in range(5):
        house.text(f"{n}")
        await house.settle()
    assert house.lists() == 1


async def test_once_linq_has_given_up_nobody_waits_any_more(house: House) -> None:
    await house.stop()
    await house.start()
    house.text("late", after_s=32 * 60)
    await house.settle()
    assert (house.said(), house.lists()) == (["first", "late"], 0)


async def test_if_linq_does_not_answer_the_chat_goes_on(house: House) -> None:
    await house.stop()
    house.text("a")
    await house.settle()
    await house.start()
    house.emulator.add_fault(Fault("api", "GET /v3/chats", status=503, times=5))
    house.text("b")
    await house.settle()
    await house.retries()
    assert house.said() == ["first", "b", "a"]


async def test_nobody_waits_if_the_setting_says_so(house: House) -> None:
    await house.stop()
    house.text("a")
    await house.settle()
    house.settings["order_wait_s"] = 0
    await house.start()
    house.text("b")
    await house.settle()
    await house.retries()
    assert (house.said(), house.lists()) == (["first", "b", "a"], 0)


async def test_a_delivery_that_was_refused_opens_a_gap_for_its_chat_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = house.storage.put

    async def refuse(delivery: Any) -> bool:
        raise StorageUnavailable("full")

    monkeypatch.setattr(house.storage, "put", refuse)
    house.text("a")
    await house.settle()
    monkeypatch.setattr(house.storage, "put", put)
    house.text("b")
    await house.settle()
    assert house.said() == ["first", "a", "b"]
    house.clock.advance(1)
    house.emulator.do(Write(from_="+14155550143", to=LINE, parts=[{"type": "text", "value": "from another chat"}]))
    await house.settle()
    assert house.lists() == 1


@pytest.mark.parametrize(("gap_s", "said"), [(40 * 60, ["first", "a", "b"]), (2 * 3600, ["first", "late: a", "b"])])
async def test_what_linq_gave_up_on_is_answered_in_its_place_while_it_is_young(
    house: House, gap_s: float, said: list[str]
) -> None:
    await house.stop()
    house.text("a")
    await house.settle()
    await house.retries(gap_s)
    await house.start()
    await house.settle()
    house.text("b")
    await house.settle()
    assert house.said() == said


async def test_a_stop_while_linq_is_asked_gives_the_message_back(house: House) -> None:
    await house.stop()
    await house.start()
    house.emulator.add_fault(Fault("api", "GET /v3/chats", delay_ms=60_000))
    house.text("a")
    await asyncio.sleep(0.05)
    await house.stop()
    await house.start()
    await house.settle()
    assert house.said() == ["first", "a"]
