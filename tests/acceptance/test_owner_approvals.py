"""Two processes on PostgreSQL ask an owner in her own chat, and one of them is killed at each of many steps of two approvals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import crash
import httpx
import pytest
from killed_once import DYING
from patience import PATIENCE_S
from ports import free_port
from postgres_server import empty_storage_url

pytestmark = [pytest.mark.slow, pytest.mark.process]

APPROVALS = (
    DYING
    + """
from linqbot import regex
from linqbot_postgres.storage import PostgresStorage

dying(PostgresStorage, "put", "take", "begin", "settle", "note_opening", "gather", "fire", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message(regex("refund .+"))
async def refund(message: MessageReceived, ctx: Context) -> None:
    _, owner = message.text.split()
    agreed = await ctx.ask("May I?", yes="like", who=owner, meanwhile="I have asked.")
    await ctx.reply(f"decided: {agreed}")


@bot.on_message
async def other(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"heard {message.text}")
"""
)
EVERY, LAST = 9, 130
"""Of the first 130 steps of a process in which it has the approvals, it dies at every ninth."""


class People:
    """The people of the emulator: they write to the bot, and read what it says."""

    def __init__(self, http: httpx.AsyncClient, emulator: str) -> None:
        self._http = http
        self._emulator = emulator

    async def write(self, person: str, text: str) -> None:
        await crash.write(self._http, self._emulator, person, text)

    async def said_to(self, person: str) -> list[str]:
        state = (await self._http.get(f"{self._emulator}/emulator/state")).json()
        return [
            message["parts"][0]["value"]
            for chat in state["chats"]
            for message in chat["messages"]
            if message["is_from_me"] and any(each["handle"] == person for each in chat["handles"])
        ]

    async def reads(self, person: str, count: int) -> list[str]:
        """Return what the bot has said to a person, once these are so many messages."""
        async with asyncio.timeout(PATIENCE_S):
            while len(said := await self.said_to(person)) < count:
                await asyncio.sleep(0.02)
        return said


@contextlib.asynccontextmanager
async def kept_alive(processes: list[crash.Served]) -> AsyncIterator[list[int]]:
    """Start each process again that has died, and yield the list of what they ended with."""
    ends: list[int] = []

    async def keep(process: crash.Served) -> None:
        while True:
            assert process.process is not None
            ends.append(await process.process.wait())
            await process.start()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keep(each)) for each in processes]
        yield ends
        for task in tasks:
            task.cancel()


async def test_killed_at_many_steps_the_right_guest_gets_each_answer_and_none_approves(tmp_path: Path) -> None:
    emulator = crash.Served(tmp_path, "emulator", free_port(), "dev", "--no-bot")
    async with (
        crash.running(emulator),
        httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http,
        crash.fleet(
            tmp_path,
            APPROVALS,
            ["all", "all"],
            storage=empty_storage_url("approvals"),
            linq=f"{emulator.url}/api/partner",
        ) as processes,
    ):
        await emulator.up(http, "/emulator/state")
        for process in processes:
            await process.up(http, "/readyz")
        await crash.subscribe(http, emulator.url, processes[0].url, tmp_path)
        await crash.send_first_message(http, emulator.url)
        people = People(http, emulator.url)
        async with kept_alive(processes) as ends:
            for n in range(1, LAST, EVERY):
                (tmp_path / "point").write_text(f"any {n}")
                await approve_two(people, n)
    assert len(ends) > LAST // EVERY // 2, f"too few kills to tell anything: {ends}"
    assert set(ends) == {-signal.SIGKILL}


async def approve_two(people: People, n: int) -> None:
    ann, bob, owner = (f"+1415{who}{n:06}" for who in (1, 2, 3))
    for guest in (ann, bob):
        await people.write(guest, f"refund {owner}")
    await people.reads(owner, 1)
    await asyncio.gather(people.write(owner, "yes"), people.write(ann, "yes"), people.write(bob, "yes"))
    asked = await people.reads(owner, 2)
    await people.write(owner, "no")
    guests = {f"For {ann}: May I?": ann, f"For {bob}: May I?": bob}
    assert sorted(asked) == sorted(guests), (n, asked)
    for question, decided in zip(asked, (True, False), strict=True):
        said = await people.reads(guests[question], 3)
        assert sorted(said) == ["I have asked.", f"decided: {decided}", "heard yes"], (n, question, said)
    assert await people.said_to(owner) == asked, n
