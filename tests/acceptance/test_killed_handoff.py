"""kill -9 of a real `linqbot serve` at each fourth message of a handoff: what both people write arrives once, and in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import crash
import pytest
from emulator_control import heard, says

ANN, OWNER = "+14155550142", "+14155550143"
TEXTS = 8
BOT = f"""
import os
import signal
from pathlib import Path

from linqbot import Bot, Context, MessageReceived, hookimpl


class KilledAtEachFourth:
    name = "killed"

    @hookimpl
    def sent(self, call, answer, from_journal) -> None:
        # Linq has accepted the message, and the journal does not know it yet: the worst moment.
        if call.safety != "keyed" or answer is None or from_journal:
            return
        with Path("sent").open("a") as file:
            file.write(".")
        if Path("sent").stat().st_size % 4 == 0:
            os.kill(os.getpid(), signal.SIGKILL)


bot = Bot(read=False, typing=False, loop_breaker=False, plugins=[KilledAtEachFourth()])


@bot.on_message("human", during_ask=True)
async def human(message: MessageReceived, ctx: Context) -> None:
    await ctx.handoff(to={OWNER!r}, say="Dana answers you here.", name="Ann")


@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"Booked: {{await ctx.ask('Which day?')}}.")


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {{message.text}}")
"""


async def start_again(bot: crash.Served) -> int:
    """Start the bot again whenever it is killed, and return the number of times, once the task is cancelled."""
    kills = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            assert bot.process is not None
            assert await bot.process.wait() == -signal.SIGKILL
            kills += 1
            await bot.start()
    return kills


@pytest.mark.process
@pytest.mark.slow
async def test_each_text_of_a_handoff_arrives_once_and_in_order(tmp_path: Path) -> None:
    async with crash.house(tmp_path, BOT) as (bot, emulator, http):

        async def until(handle: str, text: str) -> None:
            # What Linq could not deliver while the bot started again, it delivers a minute or two later.
            async with asyncio.timeout(400):
                while text not in (await heard(http, emulator.url)).get(handle, ()):
                    await asyncio.sleep(0.3)

        await bot.up(http, "/readyz")
        await crash.subscribe(http, emulator.url, bot.url, tmp_path)
        supervisor = asyncio.create_task(start_again(bot))
        await says(http, emulator.url, ANN, "book")
        await until(ANN, "Which day?")
        await says(http, emulator.url, ANN, "human")
        await until(ANN, "Dana answers you here.")
        for n in range(TEXTS):
            await says(http, emulator.url, ANN, f"ann {n}")
            await says(http, emulator.url, OWNER, f"dana {n}")
        await until(ANN, f"dana {TEXTS - 1}")
        await until(OWNER, f"Ann: ann {TEXTS - 1}")
        await says(http, emulator.url, OWNER, "#done")
        await until(OWNER, "The bot answers Ann again.")
        await says(http, emulator.url, ANN, "Friday")
        await until(ANN, "Booked: Friday.")
        supervisor.cancel()
        kills, found = await supervisor, await heard(http, emulator.url)
    dana = [f"dana {n}" for n in range(TEXTS)]
    assert found[ANN] == [
        "Which day?", "Dana answers you here.", *dana, "You are talking to the bot again.", "Booked: Friday.",
    ]  # fmt: skip
    intro, before, *rest = found[OWNER]
    assert intro.startswith("Ann would like to talk to a person.")
    assert before == "Ann: book\n🤖: Which day?\nAnn: human"
    assert rest == [*(f"Ann: ann {n}" for n in range(TEXTS)), "The bot answers Ann again."]
    assert kills >= TEXTS // 2
