"""A bot that `linqbot` serves without a Linq, and posts of deliveries that are signed as Linq signs them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from asgi_client import PATH, signed
from crash import SECRET, Served, received, running
from patience import PATIENCE_S
from ports import free_port

NO_LINQ = {"LINQ_API_V3_API_KEY": "key", "LINQ_API_V3_BASE_URL": "http://127.0.0.1:1", "LINQ_WEBHOOK_SECRET": SECRET}
"""The environment of a bot that reaches no Linq."""
NOTES = """
import asyncio
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
handled = Path("handled").open("a", buffering=1)


@bot.on_message
async def note(message: MessageReceived, ctx: Context) -> None:
    await asyncio.sleep(0.01)  # a process may be stopped meanwhile
    while Path("blocked").exists():
        await asyncio.sleep(0.02)
    handled.write(f"{message.chat.id} {message.text.split()[0]}\\n")
"""
"""A bot that notes the chat and the first word of each message, unless there is a file `blocked`."""


def noted(folder: Path) -> list[list[str]]:
    """Return the chat and the first word of each message that the bot in this folder has handled."""
    file = folder / "handled"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def message(text: str, *, chat: str | None = None) -> bytes:
    """Return the body of a `message.received`, by default of a new chat."""
    return received(chat or str(uuid.uuid4()), text)


async def post(
    http: httpx.AsyncClient, bot: str, body: bytes, *, secret: str = SECRET, **headers: str
) -> httpx.Response:
    """Sign a body and post it to the bot at this address."""
    return await http.post(bot + PATH, content=body, headers=signed(body, secret=secret) | headers)


async def deliver(http: httpx.AsyncClient, bot: str, chat: str, text: str, **headers: str) -> None:
    """Post a message of a chat, which the bot must accept."""
    assert (await post(http, bot, message(text, chat=chat), **headers)).status_code == 200


@asynccontextmanager
async def serving(
    folder: Path,
    *words: str,
    code: str = "from linqbot import Bot\nbot = Bot()\n",
    port: int = 0,
    health: str = "/readyz",
    **environ: str,
) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    """Serve a bot that reaches no Linq, until its health check answers. Yield it with a client for it."""
    (folder / "bot.py").write_text(code)
    served = Served(folder, "bot", port or free_port(), *(words or ("serve", "bot.py")), **NO_LINQ | environ)
    async with running(served), httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        await served.up(http, health)
        yield served, http
