"""Deliveries as Linq sends them, and a bot behind a proxy, which records the messages that reached its handlers."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
from crash import SECRET, Served
from deploy.proxies import PROXIES, Proxy
from patience import PATIENCE_S
from ports import free_port

from linqbot.linq.signatures import sign

PATH = "/webhooks/linq"
BOT = """
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
handled = Path("handled").open("a", buffering=1)


@bot.on_message
async def note(message: MessageReceived, ctx: Context) -> None:
    handled.write(message.text.split()[0] + "\\n")
"""


class Behind:
    """A running bot behind a proxy."""

    def __init__(self, proxy: Proxy, served: Served, folder: Path) -> None:
        self.proxy = proxy
        self.served = served
        self._folder = folder

    @property
    def webhook(self) -> str:
        return self.proxy.url + PATH

    def client(self, *, source: str = "127.0.0.1", http2: bool = False) -> httpx.AsyncClient:
        """Return a client that trusts the proxy's certificate, at an address of the loopback network."""
        transport = httpx.AsyncHTTPTransport(verify=self.proxy.trust, local_address=source, http2=http2)
        return httpx.AsyncClient(transport=transport, timeout=PATIENCE_S)

    async def handled(self, count: int) -> Counter[str]:
        """Wait until `count` messages reached the handler. Return their first words."""
        file = self._folder / "handled"
        with anyio.fail_after(30):
            while not file.exists() or len(file.read_text().split()) < count:
                await anyio.sleep(0.05)
        return Counter(file.read_text().split())

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self._folder / "bot.log").read_text().splitlines()
        return [entry for line in lines if line.startswith("{") and (entry := json.loads(line))["event"] == event]


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
    linq = {"LINQ_API_V3_API_KEY": "key", "LINQ_API_V3_BASE_URL": "http://127.0.0.1:1", "LINQ_WEBHOOK_SECRET": SECRET}
    served = Served(folder, "bot", port or free_port(), *(words or ("serve", "bot.py")), **linq | environ)
    await served.start()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
            await served.up(http, health)
            yield served, http
    finally:
        await served.close()


@asynccontextmanager
async def behind(name: str, folder: Path) -> AsyncIterator[Behind]:
    """Serve a bot with a proxy in front of it."""
    (folder / name).mkdir()
    async with serving(folder, code=BOT, LINQBOT_TRUSTED_PROXIES="127.0.0.1") as (served, _):
        with PROXIES[name](folder / name, served.url.removeprefix("http://")) as proxy:
            yield Behind(proxy, served, folder)


def message(text: str, *, chat: str | None = None) -> bytes:
    """Return the body of a `message.received`."""
    line = {"id": str(uuid.uuid4()), "handle": "+12025550100", "service": "iMessage", "is_me": True}
    person = {"id": str(uuid.uuid4()), "handle": "+14155550142", "service": "iMessage", "is_me": False}
    data = {
        "id": str(uuid.uuid4()),
        "chat": {"id": chat or str(uuid.uuid4()), "is_group": False, "owner_handle": line},
        "direction": "inbound",
        "sender_handle": person,
        "parts": [{"type": "text", "value": text}],
        "service": "iMessage",
    }
    event = {"api_version": "v3", "webhook_version": "2026-02-03", "event_type": "message.received"}
    return json.dumps(event | {"event_id": str(uuid.uuid4()), "data": data}, ensure_ascii=False).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a delivery with this body."""
    webhook_id, now = str(uuid.uuid4()), int(time.time())
    signature = sign(body, webhook_id=webhook_id, timestamp=now, secret=secret)
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature,
    }
