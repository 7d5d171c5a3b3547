"""kill -9 of a real `linqbot serve` in the middle of a broadcast: each person is reached once, and the report is true."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import crash
import pytest
from emulator_control import heard, says
from forked import AsyncForked
from patience import PATIENCE_S

from linqbot.client.client import Client

OWNER = "+14155550142"
PEOPLE = [f"+1415556{n:04}" for n in range(200)]
OPTED_OUT, REFUSED = PEOPLE[10:200:10][:19] + PEOPLE[3:4], PEOPLE[5:200:20]
REACHED = [handle for handle in PEOPLE if handle not in {*OPTED_OUT, *REFUSED}]
BOT = f"""
import os
import signal
from pathlib import Path

from linqbot import Bot, BroadcastDone, Context, MessageReceived, hookimpl

PEOPLE = {PEOPLE!r}


class KilledAtThe80th:
    name = "killed"
    sends = 0

    @hookimpl
    def sent(self, call, answer) -> None:
        # Linq has accepted the message, and the journal does not know it yet: the worst moment.
        if call.name == "chats.create" and answer is not None:
            self.sends += 1
            if self.sends == 80 and not Path("killed").exists():
                Path("killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)


bot = Bot(read=False, typing=False, plugins=[KilledAtThe80th()])


@bot.on_message("go")
async def go(message: MessageReceived, ctx: Context) -> None:
    broadcast = await ctx.bot.broadcast(PEOPLE, "The menu of July is out.", name="july", per_minute=6000)
    await ctx.reply(f"Begun: {{broadcast.people}}")


@bot.on_broadcast_done
async def report(broadcast: BroadcastDone, ctx: Context) -> None:
    await ctx.bot.send(f"Sent: {{broadcast.sent}}", to={OWNER!r})
"""


async def watched(bot: crash.Served, *arguments: str) -> dict[str, Any]:
    """Run `linqbot waiting broadcast july` next to the server, and return its JSON."""
    log = bot.folder / f"watched-{len(arguments)}.json"
    line = ["waiting", "broadcast", "july", "--json", *arguments]
    assert await asyncio.wait_for(AsyncForked(line, bot.folder, bot.environ, log).wait(), PATIENCE_S) == 0
    shown: dict[str, Any] = json.loads(log.read_text())
    return shown


@pytest.mark.process
@pytest.mark.slow
async def test_a_broadcast_that_is_killed_at_its_80th_person_reaches_all_others_once(tmp_path: Path) -> None:
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):
        await bot.up(http, "/readyz")
        await crash.subscribe(http, emulator.url, bot.url, tmp_path)
        async with Client("crash", base_url=f"{emulator.url}/api/partner") as linq:
            for handle in REFUSED:
                await linq.blocked_handles.block(handle=handle)
        for handle in OPTED_OUT:
            await says(http, emulator.url, handle, "STOP")
        limited = {"on": "api", "match": "chats.create", "status": 429, "code": 1007, "retry_after": 1, "times": 1}
        (await http.post(f"{emulator.url}/emulator/faults", json=limited)).raise_for_status()
        await says(http, emulator.url, OWNER, "go")
        assert bot.process is not None
        assert await asyncio.wait_for(bot.process.wait(), PATIENCE_S) == -signal.SIGKILL
        before = await watched(bot)
        assert before["status"] == "running"
        assert before["pending"] >= 80
        await bot.start()
        await bot.up(http, "/readyz")
        after = await watched(bot, "--watch", "--outcome", "refused")
        await crash.settled(http, bot.url)
        said = await heard(http, emulator.url)
    counts = {
        name: after[name] for name in ("people", "sent", "opted_out", "refused", "failed", "cancelled", "pending")
    }
    assert counts == {
        "people": 200,
        "sent": 170,
        "opted_out": 20,
        "refused": 10,
        "failed": 0,
        "cancelled": 0,
        "pending": 0,
    }
    assert [one["handle"] for one in after["recipients"]] == REFUSED
    assert sum(after["reasons"]["refused"].values()) == 10
    assert Counter({handle: len(said.get(handle, ())) for handle in PEOPLE}) == Counter(dict.fromkeys(REACHED, 1))
    assert said[OWNER] == ["Begun: 200", "Sent: 170"]
