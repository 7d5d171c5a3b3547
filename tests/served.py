"""A bot's whole app beside the emulator, in this process and without sockets, for tests that look at the app over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app as create_emulator_app
from linqbot.server.app import WEBHOOK_PATH, create_app, running
from linqbot.storage.sqlite.storage import SQLiteStorage

LINE = "+12025550100"
ANN = "+14155550142"


@dataclass
class Served:
    """An app that runs: `http` asks it, `emulator` is Linq."""

    emulator: Emulator
    storage: SQLiteStorage
    http: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=dict)
    """Put on every webhook on its way, as a proxy would."""

    def text(self, text: str, *, from_: str = ANN) -> str:
        """A person writes; returns the chat's id."""
        return str(self.emulator.do(Write(from_=from_, to=LINE, parts=[{"type": "text", "value": text}]))["chat_id"])

    async def quiet(self) -> None:
        """Wait until every delivery was accepted and every turn has ended, receipts included."""
        async with asyncio.timeout(20):
            while True:
                await self.emulator.flush()
                if not await self.storage.depth():
                    return
                await asyncio.sleep(0)

    def replies(self, chat_id: str) -> list[str]:
        chat = next(chat for chat in self.emulator.snapshot()["chats"] if chat["id"] == chat_id)
        return [m["parts"][0]["value"] for m in chat["messages"] if m["is_from_me"]]


@contextlib.asynccontextmanager
async def served(bot: Bot, folder: Path, **how: Any) -> AsyncIterator[Served]:
    """Run `bot`; what is given beside it goes to `create_app`."""
    way = _Way()
    emulator = Emulator(delivery_transport=way)
    subscription = emulator.subscribe(f"http://127.0.0.1:8000{WEBHOOK_PATH}?version=2026-02-03")
    client = Client(
        "token",
        base_url=emulator.public_url + "/api/partner",
        transport=httpx.ASGITransport(app=create_emulator_app(emulator)),
    )
    storage = SQLiteStorage(folder / "bot.db")
    app = create_app(bot, client=client, storage=storage, secrets=[subscription.secret], **how)
    way.transport = httpx.ASGITransport(app=app)
    async with (
        running(app),
        emulator,
        httpx.AsyncClient(transport=way.transport, base_url="http://127.0.0.1:8000") as http,
    ):
        there = Served(emulator, storage, http)
        way.headers = there.headers
        yield there


class _Way(httpx.AsyncBaseTransport):
    """The way of webhooks to the app, which can only be made once the emulator has told its secret."""

    transport: httpx.ASGITransport
    headers: Mapping[str, str]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers.update(self.headers)
        return await self.transport.handle_async_request(request)
