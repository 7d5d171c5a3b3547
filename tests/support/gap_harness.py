"""A bot that can be stopped and started, and an emulator that retries the deliveries which were refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from app_with_emulator import AppTransport, client_of_linq
from fakes import settled
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from patience import PATIENCE_S
from starlette.applications import Starlette

from linqbot import Bot, Context, MessageReceived
from linqbot.clock import MovableClock
from linqbot.options import Role
from linqbot.server.app import create_app, running
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.storage import SQLiteStorage

LINE, ANN = "+12025550100", "+14155550142"


class Harness:
    """A bot that can be stopped and started, and the emulator, which retries refused deliveries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovableClock(frozen=True)
        self.way = AppTransport()
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

    def new_storage(self) -> Storage:
        return SQLiteStorage(self.folder / "bot.db", clock=self.clock)

    def process(self, role: Role = "all") -> tuple[Starlette, Storage]:
        """Return the app of a process of the bot, and its storage."""
        client = client_of_linq(self.emulator, clock=self.clock, max_retries=0)
        storage = self.new_storage()
        options = {"secrets": [self.secret], "clock": self.clock, "role": role, **self.settings}
        return create_app(self.bot, client=client, storage=storage, **options), storage

    async def start(self, role: Role = "all") -> None:
        app, self.storage = self.process(role)
        self.running = running(app)
        await self.running.__aenter__()
        self.way.app = httpx.ASGITransport(app=app)
        await settled(1)  # the server reads the time of the last webhook

    async def stop(self) -> None:
        self.way.app = None
        await self.running.__aexit__(None, None, None)
        self.running = None

    def text(self, text: str, *, after_s: float = 2.0, sender: str = ANN) -> None:
        self.clock.advance(after_s)
        self.emulator.do(Write(from_=sender, to=LINE, parts=[{"type": "text", "value": text}]))

    async def settle(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            idle_checks = 0
            while idle_checks < 5:
                await self.emulator.flush()
                await asyncio.sleep(0.002)
                busy = {each.state for each in await self.storage.waiting()} if self.running else set()
                idle_checks = 0 if busy & {"ready", "leased"} else idle_checks + 1

    async def settle_after(self, count: int) -> None:
        """Wait until the bot has sent so many messages in the chat, and then until nothing is ready."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.said()) < count:
                await self.settle()
        await self.settle()

    async def retries(self, seconds: float = 600.0) -> None:
        """Let Linq retry its deliveries."""
        for _ in range(40):
            self.clock.advance(seconds / 40)
            await self.settle()

    def said(self, person: str = ANN) -> list[str]:
        (chat,) = (chat for chat in self.emulator.snapshot()["chats"] if person in str(chat))
        return [m["parts"][0]["value"] for m in chat["messages"] if m["is_from_me"]]

    def lists(self) -> int:
        return sum(call["path"].endswith("/messages") and call["method"] == "GET" for call in self.emulator.calls)
