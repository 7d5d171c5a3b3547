# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "linqbot-agent"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# linqbot-agent = { path = "../plugins/linqbot-agent", editable = true }
# ///
"""Kills `linqbot serve` with SIGKILL at random steps of agents, and counts what was lost, doubled or repeated.

    uv run benchmarks/crash_agent.py --kills 500

People write to the emulator, which delivers and retries. An agent with a scripted model answers each: it asks the model
three times and calls three tools. One tool asks to be called again, another needs the person's approval. The answer has
four messages. The process is killed after a random number of model requests and tool calls.

At the end, every person must have got the question and the four messages, each once and in order. No model request and no
tool call may have been made again after the next step had begun, because then it was on record.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import crash
import httpx

from linqbot.engine.failure import RetryPolicy

BOT: Final = """
import os
from pathlib import Path

from linqbot_agent import LinqAgent, run
from pydantic_ai import Agent, ModelResponse, ModelRetry, RunContext, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

from linqbot import Bot, Context, MessageReceived

ACTS = os.open("acts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
bot = Bot(read=False, typing=False, max_age_s=None, plugins=[LinqAgent(history=0)])


def act(person: str, name: str) -> None:
    os.write(ACTS, f"{os.getpid()} {person} {name}\\n".encode())


def respond(messages, info):
    step = sum(isinstance(message, ModelResponse) for message in messages)
    person = messages[0].parts[-1].content
    act(person, f"request-{step}")
    return ModelResponse(parts=[
        [ToolCallPart("seats", {"hour": 7}, "c1"), ToolCallPart("weather", {}, "c2")],
        [ToolCallPart("book", {"hour": 8}, "c3")],
        [TextPart("One.\\n\\nTwo.\\n\\nThree.\\n\\nFour.")],
    ][step])


agent = Agent(FunctionModel(respond), deps_type=Context)


@agent.tool
async def seats(ctx: RunContext[Context], hour: int) -> str:
    act(ctx.deps.event.text, "seats")
    raise ModelRetry("Try 8.")


@agent.tool
async def weather(ctx: RunContext[Context]) -> str:
    act(ctx.deps.event.text, "weather")
    return "fine"


@agent.tool_plain(requires_approval=True)
async def book(hour: int) -> str:
    act("-", "book")
    return "booked"


@bot.on_message(attempts=25)
async def chat(message: MessageReceived, ctx: Context) -> None:
    # On a slow machine an answer takes long, and "One moment …" would be one message more than are compared.
    await run(agent, ctx, progress=None)
"""
STEPS: Final = {"request-0": 0, "seats": 1, "weather": 1, "request-1": 2, "request-2": 3}
"""The place of each act in the run. An act is on record before one of the next place begins."""
SAID: Final = ["May I book (hour 8)? 👍 or yes, 👎 or no", "One.", "Two.", "Three.", "Four."]
AT_ONCE: Final = 40
PATIENCE_S: Final = 900.0
"""Seconds for which people wait after the last kill. Until then they wait without limit: Linq's retries of a webhook may
all come while the process starts."""
FEWEST_ACTS, MOST_ACTS = 8, 40
"""Acts between two kills. A life that is too short would let the same turns die again and again."""
CRASHES: Final = RetryPolicy().crashes


@dataclass
class Report:
    """The result of a run. `lost`, `doubled`, `disordered` and `repeated` must be empty.

    Attributes:
        given_up: The people one of whose messages is a dead letter, because the process died too often while it was handled
            alone. What they were not sent does not count as lost: it is on record for the operator.
    """

    kills: int = 0
    people: int = 0
    acts: int = 0
    made_again: int = 0
    given_up: set[str] = field(default_factory=set)
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.people} people, {self.acts} requests and tool calls, {self.kills} kills in {self.seconds:.0f} s: "
            f"{len(self.lost)} messages lost, {len(self.doubled)} doubled, {len(self.disordered)} chats out of order, "
            f"{len(self.repeated)} acts on record repeated; {self.made_again} cut-off acts were made again, and "
            f"{len(self.given_up)} people have a dead letter, because of too many crashes"
        )

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered or self.repeated)


class Guests:
    """People who keep writing, approve what they are asked, and wait for the whole answer.

    Attributes:
        said: By handle, what each was sent.
        chats: By handle, the id of the chat.
    """

    def __init__(self, linq: str, http: httpx.AsyncClient) -> None:
        self._linq = linq
        self._http = http
        self._number = 0
        self._over_at: float | None = None
        self.said: dict[str, list[str]] = {}
        self.chats: dict[str, str] = {}

    async def run(self, at_once: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._one_after_another())

    def end(self) -> None:
        """Begin with no more people. Those who wait lose patience after `PATIENCE_S`."""
        self._over_at = time.monotonic()

    async def _one_after_another(self) -> None:
        while self._over_at is None:
            self._number += 1
            handle = f"+1415{self._number:07}"
            self.said[handle] = []
            chat = self.chats[handle] = await self._write(handle, handle)
            if await self._wait(handle, chat, messages=1):
                await self._write(handle, "yes")
                await self._wait(handle, chat, messages=len(SAID))

    async def _write(self, handle: str, text: str) -> str:
        body = {"from": handle, "to": crash.LINE, "parts": [{"type": "text", "value": text}]}
        answer = await self._http.post(f"{self._linq}/emulator/inbound", json=body)
        return str(answer.raise_for_status().json()["chat_id"])

    async def _wait(self, handle: str, chat: str, *, messages: int) -> bool:
        """Wait until a person was sent a number of messages. Return False if the person has lost patience."""
        while len(await self.read(handle, chat)) < messages:
            if self._over_at is not None and time.monotonic() > self._over_at + PATIENCE_S:
                return False
            await asyncio.sleep(0.3)
        return True

    async def read(self, handle: str, chat: str) -> list[str]:
        """Return what a person was sent, in order."""
        answer = await self._http.get(
            f"{self._linq}/v3/chats/{chat}/messages", headers={"authorization": "Bearer crash"}
        )
        messages: list[dict[str, Any]] = answer.raise_for_status().json()["messages"]
        # Linq lists the newest first.
        self.said[handle] = [each["parts"][0]["value"] for each in reversed(messages) if each["is_from_me"]]
        return self.said[handle]


def judge(report: Report, said: dict[str, list[str]], acts: Sequence[str]) -> None:
    """Note in the report what is wrong with what people were sent, and with what was done for them."""
    for handle, texts in said.items():
        if handle not in report.given_up:
            report.lost += [f"{handle}: {text}" for text in SAID if text not in texts]
        report.doubled += [f"{handle}: {text}" for text in set(texts) if texts.count(text) > 1]
        if list(dict.fromkeys(texts)) != [text for text in SAID if text in texts]:
            report.disordered.append(handle)
    reached: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    lives: set[tuple[str, str, str]] = set()
    for line in acts:
        life, person, act = line.split()
        report.acts += 1
        if person == "-":
            continue
        report.made_again += (person, act) in seen
        if (life, person, act) in lives or STEPS[act] < reached.get(person, 0):
            report.repeated.append(f"{person}: {act}")
        seen.add((person, act))
        lives.add((life, person, act))
        reached[person] = max(STEPS[act], reached.get(person, 0))
    report.people = len(said)


def _size(file: Path) -> int:
    return file.stat().st_size


async def _kill_after_acts(
    bot: crash.Served, http: httpx.AsyncClient, acts: Path, kills: int, dice: random.Random, report: Report
) -> None:
    while report.kills < kills:
        until = _size(acts) + 30 * dice.randint(FEWEST_ACTS, MOST_ACTS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                while _size(acts) < until:  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.002)
        await asyncio.sleep(dice.uniform(0, 0.02))
        await bot.kill()
        report.kills += 1
        await bot.start()
        await bot.up(http, "/readyz")
        if sys.stderr.isatty():
            print(f"\r{report.kills}/{kills} kills", end="", file=sys.stderr)


async def _dead_lanes(bot: crash.Served, folder: Path) -> dict[str, int]:
    """Return the lanes of the dead letters, and how often the process died while each was handled."""
    listing = await asyncio.create_subprocess_exec(
        *bot.command[:3],
        "waiting",
        "list",
        "--dead",
        "--limit",
        "1000",
        "--json",
        cwd=folder,
        env=bot.environ,
        stdout=asyncio.subprocess.PIPE,
    )
    rows = json.loads((await listing.communicate())[0])
    return {row["lane"]: row["crashes"] for row in rows}


async def run(kills: int, *, seed: int = 0, at_once: int = AT_ONCE) -> Report:
    """Kill the bot of agents `kills` times while people, `at_once` at a time, write to it."""
    report, started, dice = Report(), time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="linqbot-crash-agent-") as folder:
        place, acts = Path(folder), Path(folder) / "acts"
        acts.touch()
        async with crash.house(place, BOT) as (bot, emulator, http):
            await bot.up(http, "/readyz")
            await crash.subscribe(http, emulator.url, bot.url, place)
            guests = Guests(emulator.url, http)
            writing = asyncio.create_task(guests.run(at_once))
            try:
                await _kill_after_acts(bot, http, acts, kills, dice, report)
            finally:
                guests.end()
            await writing
            await crash.settled(http, bot.url)
            # Read once more: a message may have been sent twice after its person had the whole answer.
            for handle, chat in guests.chats.items():
                await guests.read(handle, chat)
            dead = await _dead_lanes(bot, place)
            report.given_up = {handle for handle, chat in guests.chats.items() if dead.get(f"c:{chat}", 0) >= CRASHES}
        judge(report, guests.said, acts.read_text().splitlines())
    report.seconds = time.monotonic() - started
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    report = asyncio.run(run(given.kills, seed=given.seed))
    print(report)
    for finding in [*report.lost, *report.doubled, *report.disordered, *report.repeated][:20]:
        print(finding)
    sys.exit(not report.is_clean)


if __name__ == "__main__":
    main()
