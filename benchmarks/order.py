# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "fastapi", "linq-python>=0.65,<0.66", "standardwebhooks"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# ///
"""Checks that messages which people write around a gap are answered in the order in which they were written.

    uv run benchmarks/order.py --people 60
    uv run benchmarks/order.py --how kill restart --between 1.5 --gap 1 3 20 --save    for the picture that charts.py draws

Each person writes three messages. The emulator delivers them and retries each refused message on its own. In the gap the
bot accepts nothing: it was killed with kill -9, or restarted, or another process locks its database. Prints how many
chats were answered in order. With `--save`, a bot of FastAPI and linq-python has the same gaps.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import crash
import httpx
from crash import Served
from processes import uvicorn
from results import Conditions, save

BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None, loop_breaker=False)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(message.text)
"""
PEER = "FastAPI + linq-python"
READY = {"linqbot": "/readyz", PEER: "/openapi.json"}
"""By bot, a path that is answered once the bot is up."""
TEXTS = ("a", "b", "c")
SAID = {"kill": "killed", "restart": "stopped", "lock": "database locked"}
"""The gaps in words."""


@dataclass
class Result:
    """The result of one run: the answers of each chat, and the seconds from each message to its answer."""

    answers: dict[str, list[str]]
    waits_s: list[float] = field(default_factory=list)

    @property
    def in_order(self) -> int:
        return sum(said == list(TEXTS) for said in self.answers.values())

    @property
    def lost(self) -> int:
        return sum(text not in said for said in self.answers.values() for text in TEXTS)

    @property
    def doubled(self) -> int:
        return sum(max(len(said) - len(set(said)), 0) for said in self.answers.values())


@dataclass
class House:
    """An emulator, a bot that it delivers to, and a client that acts as people."""

    folder: Path
    emulator: Served
    bot: Served
    http: httpx.AsyncClient
    ready: str

    @property
    def database(self) -> Path:
        return self.folder / "crash.db"

    async def text(self, person: str, text: str) -> None:
        await crash.write(self.http, self.emulator.url, person, text)

    async def answers(self) -> dict[str, list[tuple[str, float]]]:
        """Return the answers to each person, each with the seconds since the message with the same text."""
        state = (await self.http.get(f"{self.emulator.url}/emulator/state")).json()
        return {chat["display_name"]: _answers(chat["messages"]) for chat in state["chats"]}


def _answers(messages: list[dict[str, object]]) -> list[tuple[str, float]]:
    asked: dict[str, float] = {}
    said: list[tuple[str, float]] = []
    for message in messages:
        text, at = _text(message), datetime.fromisoformat(str(message["created_at"])).timestamp()
        if message["is_from_me"]:
            said.append((text, at - asked.get(text, at)))
        else:
            asked[text] = at
    return said


def _text(message: dict[str, object]) -> str:
    parts = message["parts"]
    assert isinstance(parts, list)
    return str(parts[0]["value"]).removeprefix("You said: ")


@contextlib.asynccontextmanager
async def house(folder: Path, name: str) -> AsyncIterator[House]:
    async with crash.house(folder, BOT) as (bot, emulator, http):
        secret = await crash.subscribe(http, emulator.url, bot.url, folder)
        if name == PEER:
            await bot.kill()
            bot.command = uvicorn("fastapi_echo:app", int(bot.url.rpartition(":")[2]))
            bot.environ["LINQ_WEBHOOK_SECRET"] = secret
            await bot.start()
        await bot.up(http, READY[name])
        yield House(folder, emulator, bot, http, READY[name])


async def run(
    folder: Path, how: str, people: int, between_s: float, gap_s: float, *, seed: int = 0, name: str = "linqbot"
) -> Result:
    """Let people write before and after one gap.

    Args:
        name: The bot.
        how: `kill`, `restart`, `lock`, or `none` for no gap.
        between_s: Seconds between the messages of a person. The first message comes at a random time within them.
        gap_s: Seconds of the gap, which starts with the first messages.
    """
    dice = random.Random(seed)
    handles = [f"+1415555{n:04}" for n in range(people)]
    async with house(folder, name) as there:
        # A bot without an earlier webhook never fetches missed messages.
        await there.text("+14155559999", "hello")
        await _answered(there, {"+14155559999": 1})
        writing = [
            asyncio.create_task(_write(there, handle, between_s, dice.uniform(0, between_s))) for handle in handles
        ]
        if how != "none":
            await _gap(there, how, gap_s)
        await asyncio.gather(*writing)
        with contextlib.suppress(TimeoutError):  # the missing answers are counted
            await _answered(there, dict.fromkeys(handles, len(TEXTS)))
        found = await there.answers()
    answers = {handle: [text for text, _ in found[handle]] for handle in handles}
    return Result(answers, [wait for handle in handles for _, wait in found[handle]])


async def _write(there: House, handle: str, between_s: float, first_s: float) -> None:
    await asyncio.sleep(first_s)
    for text in TEXTS:
        await there.text(handle, text)
        await asyncio.sleep(between_s)


async def _gap(there: House, how: str, gap_s: float) -> None:
    if how == "lock":
        with contextlib.closing(sqlite3.connect(there.database, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            # The bot waits 5 s for the lock before it refuses a delivery.
            await asyncio.sleep(gap_s + 5)
            db.execute("ROLLBACK")
        return
    await there.bot.kill(signal.SIGKILL if how == "kill" else signal.SIGTERM)
    await asyncio.sleep(gap_s)
    await there.bot.start()
    await there.bot.up(there.http, there.ready)


async def _answered(there: House, counts: dict[str, int]) -> None:
    async with asyncio.timeout(120):
        while True:
            answers = await there.answers()
            if all(len(answers.get(handle, ())) >= count for handle, count in counts.items()):
                await asyncio.sleep(0.2)  # time for a duplicate to arrive
                return
            await asyncio.sleep(0.1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--how", nargs="+", default=["none", "kill", "restart", "lock"])
    parser.add_argument("--between", nargs="+", type=float, default=[0.3, 0.8, 1.5, 5.0])
    parser.add_argument("--gap", nargs="+", type=float, default=[1.0, 3.0, 20.0])
    parser.add_argument("--save", action="store_true", help=f"also run {PEER}, and keep the figures in results/")
    given = parser.parse_args()
    bad, conditions = 0, Conditions.now("linq-python", "fastapi")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    cases = [("none", between, 0.0) for between in given.between if "none" in given.how]
    cases += [case for case in itertools.product(given.how, given.between, given.gap) if case[0] != "none"]
    print("bot                    gap       seconds  between  in order      lost  doubled  median wait")
    for (how, between_s, gap_s), name in itertools.product(cases, READY if given.save else ["linqbot"]):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="linqbot-order-") as folder:
            result = await run(Path(folder), how, given.people, between_s, gap_s, name=name)
        if name == "linqbot":
            bad += (given.people - result.in_order) + result.lost + result.doubled
        wait_s = statistics.median(result.waits_s)
        case = "No gap" if how == "none" else f"{SAID[how].capitalize()} for {gap_s:.0f} s"
        figures.setdefault(f"{case}, {between_s:g} s between the texts", {})[name] = {
            "people": given.people,
            "in_order": result.in_order,
            "lost": result.lost,
            "doubled": result.doubled,
            "median_wait_s": round(wait_s, 2),
        }
        print(
            f"{name:22} {how:9} {gap_s:7.0f}  {between_s:7.1f}  {result.in_order:3} of {given.people:3}  {result.lost:8}  "
            f"{result.doubled:7}  {wait_s * 1000:8.0f} ms   ({time.monotonic() - began:.0f} s)",
            flush=True,
        )
    if given.save:
        save("order", conditions, figures)
    sys.exit(bool(bad))


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    asyncio.run(main())
