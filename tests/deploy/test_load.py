"""A bot behind a proxy under load: slow clients delay no delivery, and restarts lose nothing."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import crash
import httpx
import pytest
from asgi_client import PATH
from deploy.proxies import DOMAIN, GET, behind, nginx
from deploy.tools import tool
from patience import PATIENCE_S
from served_bot import message, post
from socket_activation import with_listening_socket

pytestmark = [pytest.mark.slow, pytest.mark.process]

HEAD = f"POST {PATH} HTTP/1.1\r\nhost: {DOMAIN}\r\ncontent-type: application/json\r\n".encode()
SLOW = [b"", HEAD, HEAD[:20], HEAD + b"content-length: 900\r\n\r\n" + b"{" * 400]
ELSEWHERE = "127.0.0.66"
"""The address of slow clients. A proxy may limit each address, and Linq's is another."""

RESTARTS = 2
DELIVERIES = 200


@pytest.fixture
def many_files() -> None:
    """Raise the limit of open files, so that this process and its proxy can open a thousand sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 8192:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_slow_sockets_delay_no_healthy_delivery(proxy_name: str, tmp_path: Path) -> None:
    async with behind(proxy_name, tmp_path) as bot, bot.client() as linq:
        with ExitStack() as slow:
            for n in range(1000):
                slow.enter_context(bot.proxy.connect(SLOW[n % len(SLOW)], source=ELSEWHERE))

            async def some(first: int) -> None:
                for n in range(first, 200, 4):
                    body = message(f"healthy{n}")
                    answer = await post(linq, bot.proxy.url, body)
                    assert answer.status_code == 200  # at the first attempt, within the client's 30 s

            await asyncio.gather(*(some(first) for first in range(4)))
            assert await bot.handled(200) == {f"healthy{n}": 1 for n in range(200)}


async def test_with_systemds_socket_rolling_restarts_under_load_lose_nothing_and_refuse_almost_nothing(
    tmp_path: Path,
) -> None:
    tool("nginx", get=GET["nginx"])
    statuses: Counter[int] = Counter()

    async def note(answer: httpx.Response) -> None:
        statuses[answer.status_code] += 1

    async with crash.house(tmp_path, crash.BOT) as (bot, emulator, http):
        ids = await crash.chats(http, emulator.url, 40)
        await bot.up(http, "/readyz")
        with nginx(tmp_path / "nginx", bot.url.removeprefix("http://")) as proxy:
            async with _held(bot):
                await bot.up(http, "/readyz")
                hooks = {"response": [note]}
                async with httpx.AsyncClient(
                    verify=proxy.trust, timeout=PATIENCE_S, trust_env=False, event_hooks=hooks
                ) as linq:
                    load = crash.Load(proxy.url, linq, ids, DELIVERIES, seed=0)
                    arriving = crash.begin(load)
                    for restart in range(1, RESTARTS + 1):
                        while statuses[200] < restart * DELIVERIES // 5 and not arriving.done():
                            await asyncio.sleep(0.01)
                        assert await bot.kill(signal.SIGTERM) == 0
                        await bot.start()
                        await bot.up(http, "/readyz")
                    await arriving
                await crash.settled(http, bot.url)
                report = crash.Report(DELIVERIES, kills=RESTARTS)
                await crash.judge(report, load, bot, emulator, http)
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)
    assert set(statuses) <= {200, 503}
    # A kept connection may be closed while a request is on its way: at most one request for each connection and restart.
    # Later clients wait. Without the socket, nginx answers thousands of attempts with 503.
    assert statuses[503] <= RESTARTS * crash.CHATS_AT_ONCE


@asynccontextmanager
async def _held(bot: crash.Served) -> AsyncIterator[None]:
    """Listen in place of the bot, as systemd does, and start the bot with this socket from now on."""
    await bot.kill()
    with socket.create_server(("127.0.0.1", int(bot.url.rpartition(":")[2])), backlog=2048) as held:
        bot.command = with_listening_socket(bot.command, held)
        bot.pass_fds = [held.fileno()]
        await bot.start()
        yield
        await bot.kill()
