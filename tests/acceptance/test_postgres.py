"""`linqbot serve` on a storage in PostgreSQL, whose server is restarted under load."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crash
import pytest
from patience import PATIENCE_S
from postgres_server import start

pytestmark = [pytest.mark.process, pytest.mark.slow]

RESTARTS = 2


@pytest.fixture
def server() -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="linqbot-pg-") as folder:
        server = start(Path(folder) / "data")
        yield server
        server.cleanup()


async def test_a_restart_of_the_server_loses_and_repeats_nothing(server: Any, tmp_path: Path) -> None:
    async with crash.house(tmp_path, crash.BOT, storage=server.get_uri()) as (bot, emulator, http):
        chats = await crash.chats(http, emulator.url, 8)
        await bot.up(http, "/readyz")
        load = crash.Load(bot.url, http, chats, 120, seed=0)
        arriving = crash.begin(load)
        for _ in range(RESTARTS):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.stop)
            # Answered while the server is away: with 503, so that Linq delivers again.
            async with asyncio.timeout(PATIENCE_S):
                while (ready := await http.get(f"{bot.url}/readyz")).status_code != 503:
                    await asyncio.sleep(0.05)
            assert "cannot be reached" in ready.text
            await asyncio.to_thread(server.start)
            await bot.up(http, "/readyz")
        await arriving
        await crash.settled(http, bot.url)
        said = await crash.replies(http, emulator.url)
        report = crash.Report(120)
        for chat, numbers in load.said.items():
            # After a refusal the bot asks Linq for missed messages, and finds the first one of each chat.
            crash.compare(report, chat, numbers, [text for text in said[chat] if text != "start"])
        assert bot.process is not None
        assert bot.process.returncode is None
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)
    assert load.posts > 120
