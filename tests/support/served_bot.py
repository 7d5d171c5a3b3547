"""A bot that `linqbot` serves without a Linq, and signed deliveries as Linq sends them."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from crash import SECRET, Served, received, running
from patience import PATIENCE_S
from ports import free_port

from linqbot.linq.signatures import sign

PATH = "/webhooks/linq"
NO_LINQ = {"LINQ_API_V3_API_KEY": "key", "LINQ_API_V3_BASE_URL": "http://127.0.0.1:1", "LINQ_WEBHOOK_SECRET": SECRET}
"""The environment of a bot that reaches no Linq."""


def message(text: str, *, chat: str | None = None) -> bytes:
    """Return the body of a `message.received`, by default of a new chat."""
    return received(chat or str(uuid.uuid4()), text)


def signed(body: bytes, secret: str = SECRET, *, age_s: int = 0) -> dict[str, str]:
    """Return the headers of a delivery with this body."""
    webhook_id, at = str(uuid.uuid4()), int(time.time()) - age_s
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(body, webhook_id=webhook_id, timestamp=at, secret=secret),
    }


async def post(http: httpx.AsyncClient, bot: str, body: bytes, **headers: str) -> httpx.Response:
    """Sign a body and post it to the bot at this address."""
    return await http.post(bot + PATH, content=body, headers=signed(body) | headers)


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
