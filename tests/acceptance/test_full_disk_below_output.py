"""Output and a log that cannot be written, because the disk below them is full: `/dev/full` takes nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import httpx
import pytest
from crash import SECRET, received
from patience import PATIENCE_S
from ports import free_port

from linqbot.linq.signatures import sign
from linqbot.storage.sqlite.storage import SQLiteStorage

FULL = Path("/dev/full")
pytestmark = [pytest.mark.process, pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")]

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False)


@bot.on_message
async def fail(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("the log has a line for this")
"""


@pytest.fixture
def full() -> Iterator[TextIO]:
    with FULL.open("w") as file:
        yield file


@pytest.mark.parametrize("command", [("--help",), ("explain", "LQB1002"), ("trigger", "--list")])
def test_a_command_whose_output_cannot_be_written_says_so(full: TextIO, command: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "linqbot", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (1, "The output cannot be written: No space left on device.\n")


@pytest.mark.anyio
async def test_a_bot_whose_log_cannot_be_written_goes_on(tmp_path: Path, full: TextIO) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    port = free_port()
    environ = {
        "LINQ_API_V3_API_KEY": "full",
        "LINQ_API_V3_BASE_URL": "http://127.0.0.1:1",
        "LINQ_WEBHOOK_SECRET": SECRET,
        "LINQBOT_STORAGE": f"sqlite:///{tmp_path / 'bot.db'}",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "linqbot", "serve", "bot.py", "--port", str(port)),
        cwd=tmp_path,
        env=os.environ | environ,
        stdout=full,
        stderr=full,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S) as http:
            await _ready(http, process)
            assert await _post(http, "hi") == 200
            async with asyncio.timeout(PATIENCE_S):
                while await _failures(tmp_path) < 2:
                    await asyncio.sleep(0.1)
    finally:
        process.terminate()
        await process.wait()


async def _ready(http: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert process.returncode is None, f"the bot ended with {process.returncode}"
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def _post(http: httpx.AsyncClient, text: str) -> int:
    body, event_id, now = received("chat", text), str(uuid.uuid4()), int(time.time())
    signature = sign(body, webhook_id=event_id, timestamp=now, secret=SECRET)
    headers = {"webhook-id": event_id, "webhook-timestamp": str(now), "webhook-signature": signature}
    return (await http.post("/webhooks/linq", content=body, headers=headers)).status_code


async def _failures(folder: Path) -> int:
    """Return how often the waiting delivery has failed."""
    async with SQLiteStorage(folder / "bot.db", serving=False) as storage:
        waiting = await storage.waiting()
    return waiting[0].attempts if waiting else 0
