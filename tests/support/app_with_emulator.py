"""A bot's whole app with an emulator, in this process and without sockets, for tests that use the app over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app as create_emulator_app
from patience import PATIENCE_S

from linqbot import Bot, Client
from linqbot.server.app import WEBHOOK_PATH, create_app, running
from linqbot.storage.sqlite.storage import SQLiteStorage

LINE = "+12025550100"
ANN = "+14155550142"


@dataclass
class RunningApp:
    """A running app: `http` is a client of the app, `emulator` is Linq."""

    emulator: Emulator
    storage: SQLiteStorage
    http: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=dict)
    """Headers added to every webhook, as a proxy would add them."""

    def text(self, text: str, *, from_: str = ANN) -> str:
        """Let a person write. Return the id of the chat."""
        return str(self.emulator.do(Write(from_=from_, to=LINE, parts=[{"type": "text", "value": text}]))["chat_id"])

    async def answers(self, text: str) -> list[str]:
        """Let a person write. Return all that the bot has said in the chat when every turn has ended."""
        chat_id = self.text(text)
        await self.quiet()
        return self.replies(chat_id)

    async def quiet(self) -> None:
        """Wait until every delivery was accepted and every turn has ended, including those of receipts."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.emulator.flush()
                if not await self.storage.depth():
                    return
                await asyncio.sleep(0)

    def messages(self, chat_id: str) -> list[dict[str, Any]]:
        return next(list(chat["messages"]) for chat in self.emulator.snapshot()["chats"] if chat["id"] == chat_id)

    def replies(self, chat_id: str) -> list[str]:
        return [m["parts"][0]["value"] for m in self.messages(chat_id) if m["is_from_me"]]


class AppTransport(httpx.AsyncBaseTransport):
    """Delivers webhooks to an app, once it is set: it needs the secret of the emulator's subscription. Before, it refuses them."""

    app: httpx.ASGITransport | None = None
    headers: Mapping[str, str] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.app is None:
            raise httpx.ConnectError("connection refused")
        request.headers.update(self.headers)
        return await self.app.handle_async_request(request)


def client_of_linq(emulator: Emulator, **options: Any) -> Client:
    """Return a client whose calls reach the emulator without a socket."""
    transport = httpx.ASGITransport(app=create_emulator_app(emulator))
    return Client("token", base_url=emulator.public_url + "/api/partner", transport=transport, **options)


@contextlib.asynccontextmanager
async def run_app(bot: Bot, folder: Path, *, version: str = "2026-02-03", **options: Any) -> AsyncIterator[RunningApp]:
    """Run `bot`. The emulator's webhooks have the payloads of this version; the options are passed to `create_app`."""
    transport = AppTransport()
    emulator = Emulator(delivery_transport=transport)
    subscription = emulator.subscribe(f"http://127.0.0.1:8000{WEBHOOK_PATH}?version={version}")
    storage = SQLiteStorage(folder / "bot.db")
    app = create_app(bot, client=client_of_linq(emulator), storage=storage, secrets=[subscription.secret], **options)
    transport.app = httpx.ASGITransport(app=app)
    async with (
        running(app),
        emulator,
        httpx.AsyncClient(transport=transport.app, base_url="http://127.0.0.1:8000") as http,
    ):
        running_app = RunningApp(emulator, storage, http)
        transport.headers = running_app.headers
        yield running_app
