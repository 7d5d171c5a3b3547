"""The front door of a real `linqbot serve`: slow, endless and too many clients, a full disk.

Memory is read from /proc, so these run on Linux.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from crash import Served, settled
from patience import PATIENCE_S
from served_bot import NOTES, message, noted, post, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc and sets limits with prlimit"),
    pytest.mark.process,
]

MIB = 1 << 20


class Door:
    """A served bot, and a sender of webhooks in place of Linq."""

    def __init__(self, folder: Path, served: Served, http: httpx.AsyncClient) -> None:
        self.folder = folder
        self._served = served
        self._http = http

    @property
    def pid(self) -> int:
        assert self._served.process is not None
        return self._served.process.pid

    @property
    def url(self) -> str:
        return self._served.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def deliver(self, text: str, chat: str = "9d3c7a34-51ab-4c59-8b57-0c2f2ff0f0aa") -> httpx.Response:
        """Sign and send one delivery, as Linq does."""
        return await post(self._http, self.url, message(text, chat=chat))

    async def ready(self) -> tuple[int, str]:
        """Return the status of `/readyz`, as for a load balancer, and the reason."""
        answer = await self._http.get(f"{self.url}/readyz")
        return answer.status_code, answer.json().get("reason", "")

    async def idle(self) -> None:
        """Wait until all accepted deliveries are handled."""
        await settled(self._http, self.url)

    def handled(self) -> Counter[str]:
        return Counter(word for _, word in noted(self.folder))

    def memory(self, kind: str = "VmRSS") -> int:
        """Return the memory of the server in bytes: now, or with `VmHWM` the maximum so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind))

    def connect(self, sent: bytes = b"") -> socket.socket:
        with ExitStack() as unless_sent:
            client = unless_sent.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S))
            client.sendall(sent)
            unless_sent.pop_all()
        return client


@asynccontextmanager
async def front_door(folder: Path, *, files: int | None = None) -> AsyncIterator[Door]:
    """Serve a bot with a limit of open files, and assert that it stops cleanly at the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with AsyncExitStack() as stack:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))  # the soft limit, inherited at start
        try:
            served, http = await stack.enter_async_context(serving(folder, code=NOTES))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        yield Door(folder, served, http)
        assert await served.kill(signal.SIGTERM) == 0, served.log()


def is_closed(client: socket.socket) -> bool:
    """Return True if the server has closed the connection. Assert that it did so without an answer, or with 503."""
    try:
        said = client.recv(4096)
    except ConnectionResetError:
        return True
    return said == b"" or said.startswith(b"HTTP/1.1 503")


HEAD = b"POST /webhooks/linq HTTP/1.1\r\nhost: bot\r\ncontent-type: application/json\r\n"
WHOLE_HEAD = HEAD + b"content-length: 900\r\n\r\n"
SLOW = [b"", HEAD, HEAD[:20], WHOLE_HEAD, WHOLE_HEAD + b"{" * 400]


@pytest.fixture
def many_files() -> None:
    """Raise the limit of open files, so that this process can hold a thousand sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_slow_sockets_do_not_slow_healthy_deliveries(tmp_path: Path) -> None:
    for name in ("roomy", "cramped"):
        (tmp_path / name).mkdir()
    async with front_door(tmp_path / "roomy") as roomy, front_door(tmp_path / "cramped", files=400) as cramped:
        await asyncio.gather(_with_slow_sockets(roomy), _with_slow_sockets(cramped))


async def _with_slow_sockets(door: Door) -> None:
    alone = await _healthy(door, "alone", 100)
    before = door.memory()
    with ExitStack() as opened:
        slow = [opened.enter_context(door.connect(SLOW[n % len(SLOW)])) for n in range(1000)]
        # The answer on a new connection: the server has accepted those before it, and closes no more to make room for them.
        # A delivery of which only the head has arrived then would have been one of these.
        async with httpx.AsyncClient() as new:
            (await new.get(f"{door.url}/livez")).raise_for_status()
        crowded = await _healthy(door, "crowded", 300)
        grown = door.memory("VmHWM") - before
        assert grown < 64 * MIB
        print(f"{door.folder.name}: median {1000 * alone:.1f} ms alone, {1000 * crowded:.1f} ms with 1000 slow sockets")
        print(f"{door.folder.name}: {grown / MIB:.1f} MiB more memory at most")
        assert all(await asyncio.gather(*(asyncio.to_thread(is_closed, client) for client in slow)))
    await door.idle()
    assert door.handled() == {
        f"{name}{n}": 1 for name, count in (("alone", 100), ("crowded", 300)) for n in range(count)
    }


async def _healthy(door: Door, name: str, count: int) -> float:
    """Deliver, four at a time. Assert that each gets 200 at the first attempt, and return the median of the seconds."""
    took: list[float] = []

    async def some(numbers: range) -> None:
        for n in numbers:
            started = time.perf_counter()
            answer = await door.deliver(f"{name}{n}", chat=str(uuid.uuid4()))
            assert answer.status_code == 200
            took.append(time.perf_counter() - started)

    await asyncio.gather(*(some(range(first, count, 4)) for first in range(4)))
    return statistics.median(took)


async def test_an_endless_body_is_cut_off_after_a_megabyte_with_flat_memory(tmp_path: Path) -> None:
    async with front_door(tmp_path) as door:
        await _healthy(door, "before", 50)
        before = door.memory()
        for _ in range(5):
            sent = await asyncio.to_thread(_send_chunks, door, 64 * MIB)
            # The bytes beyond a megabyte are in the buffers of the sockets.
            assert sent < 32 * MIB
        grown = door.memory("VmHWM") - before
        assert grown < 8 * MIB
        print(f"endless bodies: {grown / MIB:.1f} MiB more memory at most")
        assert (await door.deliver("after")).status_code == 200


def _send_chunks(door: Door, size: int) -> int:
    """Send a chunked body until the server refuses more. Return the number of bytes sent."""
    chunk = b"10000\r\n" + b"x" * (1 << 16) + b"\r\n"
    sent = 0
    with door.connect(HEAD + b"transfer-encoding: chunked\r\n\r\n") as client:
        try:
            while sent < size:
                client.sendall(chunk)
                sent += 1 << 16
        except (BrokenPipeError, ConnectionResetError):
            pass
    return sent


async def test_a_full_disk_is_answered_503_until_there_is_room_again(tmp_path: Path) -> None:
    async with front_door(tmp_path) as door:
        accepted = [f"before{n}" for n in range(20)]
        for text in accepted:
            assert (await door.deliver(text)).status_code == 200
        _, hard = resource.prlimit(door.pid, resource.RLIMIT_FSIZE)
        full = (tmp_path / "linqbot.db-wal").stat().st_size
        resource.prlimit(door.pid, resource.RLIMIT_FSIZE, (full, hard))
        before, refused = door.memory(), 0
        for n in range(300):
            answer = await door.deliver(f"full{n}", chat=str(uuid.uuid4()))
            assert answer.status_code in {200, 503}
            if answer.status_code == 200:
                accepted.append(f"full{n}")  # the file still had free pages
            else:
                assert int(answer.headers["retry-after"]) > 0
                refused += 1
        assert refused > 200
        assert (await door.deliver("still full")).status_code == 503
        status, reason = await door.ready()
        assert (status, "linqbot.db cannot be read or written" in reason) == (503, True)
        assert door.memory("VmHWM") - before < 16 * MIB
        resource.prlimit(door.pid, resource.RLIMIT_FSIZE, (hard, hard))
        async with asyncio.timeout(PATIENCE_S):
            # A bot that is not ready gets no deliveries, so it must find out itself that there is room.
            while (await door.ready())[0] != 200:
                await asyncio.sleep(0.1)
        for n in range(20):
            assert (await door.deliver(f"after{n}")).status_code == 200
            accepted.append(f"after{n}")
        await door.idle()
        assert door.handled() == dict.fromkeys(accepted, 1)
