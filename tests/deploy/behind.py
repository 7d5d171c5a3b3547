"""A bot behind a proxy, which records the messages that reached its handlers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from asgi_client import PATH
from crash import Served
from deploy.proxies import PROXIES, Proxy
from patience import PATIENCE_S, until
from served_bot import NOTES, noted, serving


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
        await until(lambda: len(noted(self._folder)) >= count, every_s=0.05)
        return Counter(word for _, word in noted(self._folder))

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self._folder / "bot.log").read_text().splitlines()
        return [entry for line in lines if line.startswith("{") and (entry := json.loads(line))["event"] == event]


@asynccontextmanager
async def behind(name: str, folder: Path) -> AsyncIterator[Behind]:
    """Serve a bot with a proxy in front of it."""
    async with serving(folder, code=NOTES, LINQBOT_TRUSTED_PROXIES="127.0.0.1") as (served, _):
        with PROXIES[name](folder / name, served.url.removeprefix("http://")) as proxy:
            yield Behind(proxy, served, folder)
