"""After a gap, the first message of a chat waits for earlier messages: once, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import settled

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
    """A transport that delivers webhooks to the app while it runs, and otherwise refuses the connection."""

    app: httpx.ASGITransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.app is None:
            raise httpx.ConnectError("connection refused")
        return await self.app.handle_async_request(request)


class Harness:
    """A bot that can be stopped and started, and the emulator, which retries refused deliveries."""

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
        await settled(1)  # the server reads the time of the last webhook

    async def stop(self) -> None:
        self.way.app = None
        await self.running.__aexit__(None, None, None)
        self.running = None

    def text(self, text: str, *, after_s: float = 2.0) -> None:
        self.clock.advance(after_s)
        self.emulator.do(Write(from_=ANN, to=LINE, parts=[{"type": "text", "value": text}]))

    async def settle(self) -> None:
        async with asyncio.timeout(20):
            idle_checks = 0
            while idle_checks < 5:
                await self.emulator.flush()
                await asyncio.sleep(0.002)
                busy = {each.state for each in await self.storage.waiting()} if self.running else set()
                idle_checks = 0 if busy & {"ready", "leased"} else idle_checks + 1

    async def retries(self, seconds: float = 600.0) -> None:
        """Let Linq retry its deliveries."""
        for _ in range(40):
            self.clock.advance(seconds / 40)
            await self.settle()

    def said(self) -> list[str]:
        (chat,) = self.emulator.snapshot()["chats"]
        return [m["parts"][0]["value"] for m in chat["messages"] if m["is_from_me"]]

    def lists(self) -> int:
        return sum(call["path"].endswith("/messages") and call["method"] == "GET" for call in self.emulator.calls)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    made = Harness(tmp_path)
    async with made.emulator:
        await made.start()
        made.text("first")
        await made.settle()
        yield made
        if made.running is not None:
            await made.stop()


async def test_messages_across_a_restart_are_answered_in_the_order_they_were_sent(harness: Harness) -> None:
    await harness.stop()
    for text in "ab":
        harness.text(text)
        await harness.settle()
    await harness.start()
    harness.text("c")
    await harness.settle()
    assert harness.said() == ["first", "a", "b", "c"]
    await harness.retries()
    assert harness.said() == ["first", "a", "b", "c"]


async def test_without_a_gap_linq_is_not_asked(harness: Harness) -> None:
    for n in range(5):
        harness.text(f"{n}")
        await harness.settle()
    assert harness.lists() == 0


async def test_after_a_gap_linq_is_asked_once_for_each_chat(harness: Harness) -> None:
    await harness.stop()
    await harness.start()
    for n in range(5):
        harness.text(f"{n}")
        await harness.settle()
    assert harness.lists() == 1


async def test_no_chat_waits_after_linq_has_given_up(harness: Harness) -> None:
    await harness.stop()
    await harness.start()
    harness.text("late", after_s=32 * 60)
    await harness.settle()
    assert (harness.said(), harness.lists()) == (["first", "late"], 0)


async def test_if_linq_does_not_answer_the_message_is_handled_anyway(harness: Harness) -> None:
    await harness.stop()
    harness.text("a")
    await harness.settle()
    await harness.start()
    harness.emulator.add_fault(Fault("api", "GET /v3/chats", status=503, times=5))
    harness.text("b")
    await harness.settle()
    await harness.retries()
    assert harness.said() == ["first", "b", "a"]


async def test_no_chat_waits_if_the_setting_is_zero(harness: Harness) -> None:
    await harness.stop()
    harness.text("a")
    await harness.settle()
    harness.settings["order_wait_s"] = 0
    await harness.start()
    harness.text("b")
    await harness.settle()
    await harness.retries()
    assert (harness.said(), harness.lists()) == (["first", "b", "a"], 0)


async def test_a_refused_delivery_opens_a_gap_for_its_chat_only(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = harness.storage.put

    async def refuse(delivery: Any) -> bool:
        raise StorageUnavailable("full")

    monkeypatch.setattr(harness.storage, "put", refuse)
    harness.text("a")
    await harness.settle()
    monkeypatch.setattr(harness.storage, "put", put)
    harness.text("b")
    await harness.settle()
    assert harness.said() == ["first", "a", "b"]
    harness.clock.advance(1)
    harness.emulator.do(Write(from_="+14155550143", to=LINE, parts=[{"type": "text", "value": "from another chat"}]))
    await harness.settle()
    assert harness.lists() == 1


@pytest.mark.parametrize(("gap_s", "said"), [(40 * 60, ["first", "a", "b"]), (2 * 3600, ["first", "late: a", "b"])])
async def test_a_message_that_linq_gave_up_on_is_answered_in_order_if_it_is_recent(
    harness: Harness, gap_s: float, said: list[str]
) -> None:
    await harness.stop()
    harness.text("a")
    await harness.settle()
    await harness.retries(gap_s)
    await harness.start()
    await harness.settle()
    harness.text("b")
    await harness.settle()
    assert harness.said() == said


async def test_a_stop_while_linq_is_asked_releases_the_message(harness: Harness) -> None:
    await harness.stop()
    await harness.start()
    harness.emulator.add_fault(Fault("api", "GET /v3/chats", delay_ms=60_000))
    harness.text("a")
    await asyncio.sleep(0.05)
    await harness.stop()
    await harness.start()
    await harness.settle()
    assert harness.said() == ["first", "a"]
