"""Two receivers and two workers behind a proxy are restarted one after the other under load: nothing is lost, doubled or misordered.

Each process is restarted once. TEST_ROLLING_ROUNDS=10 restarts each ten times.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from crash import SECRET, Served
from deploy.deliveries import PATH, message, signed
from deploy.proxies import GET, PROXIES, Proxy
from deploy.tools import tool
from ports import free_port
from postgres_server import empty_storage_url

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.process]

ROUNDS = int(os.environ.get("TEST_ROLLING_ROUNDS", "1"))
CHATS = 8
BOT = """
import asyncio
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
handled = Path("handled").open("a", buffering=1)


@bot.on_message
async def note(message: MessageReceived, ctx: Context) -> None:
    await asyncio.sleep(0.01)
    handled.write(f"{message.chat.id} {message.text}\\n")
"""


@asynccontextmanager
async def served(folder: Path, name: str) -> AsyncIterator[tuple[Proxy, list[Served]]]:
    """Run the processes of one bot with a proxy in front of the receivers."""
    (folder / "bot.py").write_text(BOT)
    (folder / name).mkdir()
    environ = {
        "LINQ_API_V3_API_KEY": "key",
        "LINQ_API_V3_BASE_URL": "http://127.0.0.1:1",
        "LINQ_WEBHOOK_SECRET": SECRET,
        "LINQBOT_STORAGE": empty_storage_url("rolling"),
        "LINQBOT_TRUSTED_PROXIES": "127.0.0.1",
        "LINQBOT_ORDER_WAIT_S": "0",
    }
    ports = [free_port() for _ in range(4)]
    processes = [
        Served(folder, f"{role}-{port}", port, "serve", "bot.py", "--role", role, **environ)
        for role, port in zip(("receive", "receive", "work", "work"), ports, strict=True)
    ]
    # Both files have one variable for the address of the bot: Caddy takes a list there, nginx a line for each address.
    between = " " if name == "caddy" else "; server "
    upstreams = between.join(f"127.0.0.1:{port}" for port in ports[:2])
    with PROXIES[name](folder / name, upstreams) as proxy:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                for process in processes:
                    await process.start()
                for process in processes:
                    await process.up(http, "/readyz")
            yield proxy, processes
        finally:
            for process in processes:
                await process.close()


@pytest.mark.parametrize("name", PROXIES)
async def test_rolling_restarts_lose_double_and_misorder_nothing(name: str, tmp_path: Path) -> None:
    tool(name, get=GET[name])
    stop = asyncio.Event()
    said: dict[str, list[str]] = defaultdict(list)

    async with served(tmp_path, name) as (proxy, processes):
        transport = httpx.AsyncHTTPTransport(verify=proxy.trust)
        async with httpx.AsyncClient(transport=transport, timeout=30) as linq, httpx.AsyncClient() as http:

            async def write(chat: str) -> None:
                while not stop.is_set():
                    text = str(len(said[chat]))
                    body = message(text, chat=chat)
                    while (await linq.post(proxy.url + PATH, content=body, headers=signed(body))).status_code != 200:
                        await asyncio.sleep(0.05)
                    said[chat].append(text)

            async with asyncio.TaskGroup() as people:
                for _ in range(CHATS):
                    people.create_task(write(str(uuid.uuid4())))
                for process in processes * ROUNDS:
                    assert await process.kill(signal.SIGTERM) == 0
                    await process.start()
                    await process.up(http, "/readyz")
                stop.set()
            async with asyncio.timeout(60):
                while (await http.get(processes[0].url + "/readyz")).json()["waiting"]:
                    await asyncio.sleep(0.05)
    handled: dict[str, list[str]] = defaultdict(list)
    for line in (tmp_path / "handled").read_text().splitlines():
        chat, text = line.split()
        handled[chat].append(text)
    assert sum(map(len, said.values())) > 100
    assert handled == said
