"""A worker that is suspended until another one has taken over its chat says nothing more in it when it goes on."""

from __future__ import annotations

from pathlib import Path

import crash
import crash_fleet
import httpx
import pytest
from patience import PATIENCE_S, until
from ports import free_port
from postgres_server import empty_storage_url

pytestmark = [pytest.mark.slow, pytest.mark.process]

BOT = """
import asyncio
import os
from pathlib import Path

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)
begun = Path("begun").open("a", buffering=1)


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(message.text)
    begun.write(f"{os.getpid()}\\n")
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    # Each process writes something else, as a language model would, so no idempotency key hides a second answer.
    await ctx.send(f"by {os.getpid()}", key=f"{os.getpid()}")
"""


async def test_a_suspended_worker_sends_nothing_after_another_one_has_taken_over(tmp_path: Path) -> None:
    database = empty_storage_url("suspended")
    emulator = crash.Served(tmp_path, "emulator", free_port(), "dev", "--no-bot")
    begun = tmp_path / "begun"

    async def runs(count: int) -> list[str]:
        await until(lambda: begun.exists() and len(begun.read_text().split()) >= count, every_s=0.02)
        return begun.read_text().split()

    async with (
        crash.running(emulator),
        httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http,
        crash.fleet(
            tmp_path, BOT, crash_fleet.ROLES, storage=database, linq=f"{emulator.url}/api/partner"
        ) as processes,
    ):
        await emulator.up(http, "/emulator/state")
        first, second = await crash.chats(http, emulator.url, 2)
        for process in processes:
            await process.up(http, "/readyz")
        await crash.begin(crash.Load(processes[0].url, http, [first], 1, 0))
        (pid,) = await runs(1)
        (owner,) = (each for each in processes if each.process is not None and str(each.process.pid) == pid)
        async with crash_fleet.suspended(owner, database):
            # Another message wakes the other workers.
            await crash.begin(crash.Load(processes[0].url, http, [second], 1, 0))
            others = (await runs(3))[1:]
            assert pid not in others
        (tmp_path / "go").touch()
        await crash.settled(http, processes[0].url)
        await until(lambda: "turn.lease_lost" in owner.log(), every_s=0.02)
        said = await crash.replies(http, emulator.url)
    assert [each[0] for each in (said[first], said[second])] == ["0", "0"]
    assert sorted(each[1] for each in (said[first], said[second])) == sorted(f"by {each}" for each in others)
    assert len(said[first]) == len(said[second]) == 2
