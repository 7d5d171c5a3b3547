"""Two receivers and two workers behind a proxy are restarted one after the other under load: nothing is lost, doubled or misordered.

Each process is restarted once. TEST_ROLLING_ROUNDS=10 restarts each ten times.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from asgi_client import PATH
from crash import Served, fleet, settled
from deploy.proxies import GET, PROXIES, Proxy
from deploy.tools import DEPLOY, tool
from patience import PATIENCE_S, until
from ports import free_port
from postgres_server import empty_storage_url
from served_bot import NOTES, message, noted, post

pytestmark = [pytest.mark.slow, pytest.mark.process]

ROUNDS = int(os.environ.get("TEST_ROLLING_ROUNDS", "1"))
CHATS = 8


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[list[Proxy], list[Served]]]:
    """Run the processes of one bot with each proxy in front of the receivers."""
    roles, storage = ("receive", "receive", "work", "work"), empty_storage_url("rolling")
    environ = {"LINQBOT_TRUSTED_PROXIES": "127.0.0.1", "LINQBOT_ORDER_WAIT_S": "0"}
    async with fleet(folder, NOTES, roles, storage=storage, **environ) as processes:
        with ExitStack() as stack:
            proxies = []
            # Both files have one variable for the address of the bot: Caddy takes a list there, nginx a line for each address.
            for name, between in (("caddy", " "), ("nginx", "; server ")):
                upstreams = between.join(process.url.removeprefix("http://") for process in processes[:2])
                proxies.append(stack.enter_context(PROXIES[name](folder / name, upstreams)))
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
                for process in processes:
                    await process.up(http, "/readyz")
            yield proxies, processes


async def test_rolling_restarts_lose_double_and_misorder_nothing_behind_either_proxy(tmp_path: Path) -> None:
    for name in PROXIES:
        tool(name, get=GET[name])
    stop = asyncio.Event()
    said: dict[str, list[str]] = defaultdict(list)

    async with served(tmp_path) as (proxies, processes), AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())

        async def write(proxy: Proxy, chat: str) -> None:
            linq = await stack.enter_async_context(httpx.AsyncClient(verify=proxy.trust, timeout=PATIENCE_S))
            while not stop.is_set():
                text = str(len(said[chat]))
                body = message(text, chat=chat)
                while (await post(linq, proxy.url, body)).status_code != 200:
                    await asyncio.sleep(0.05)
                said[chat].append(text)
                await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as people:
            for n in range(CHATS):
                people.create_task(write(proxies[n % 2], str(uuid.uuid4())))
            for process in processes * ROUNDS:
                assert await process.kill(signal.SIGTERM) == 0
                await process.start()
                await process.up(http, "/readyz")
            await until(lambda: sum(map(len, said.values())) > 100, every_s=0.1)
            stop.set()
        await settled(http, processes[0].url)
    handled: dict[str, list[str]] = defaultdict(list)
    for chat, text in noted(tmp_path):
        handled[chat].append(text)
    assert handled == said


async def test_receivers_that_were_all_away_are_used_again_within_seconds(tmp_path: Path) -> None:
    tool("nginx", get=GET["nginx"])
    page = (DEPLOY.parent / "docs" / "deploy" / "proxy.md").read_text()
    (upstreams,) = re.findall(r'^export BOT_UPSTREAM="(.*)"$', page, re.MULTILINE)
    ports = [free_port(), free_port()]
    for n, port in enumerate(ports, 1):
        upstreams = upstreams.replace(f"10.0.0.{n}:8000", f"127.0.0.1:{port}")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    with PROXIES["nginx"](tmp_path, upstreams) as proxy:
        transport = httpx.AsyncHTTPTransport(verify=proxy.trust)
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE_S) as linq:
            assert (await linq.post(proxy.url + PATH)).status_code == 503
            async with (
                await asyncio.start_server(accept, "127.0.0.1", ports[0]),
                await asyncio.start_server(accept, "127.0.0.1", ports[1]),
                asyncio.timeout(PATIENCE_S),
            ):
                while (await linq.post(proxy.url + PATH)).status_code != 200:
                    await asyncio.sleep(0.05)
