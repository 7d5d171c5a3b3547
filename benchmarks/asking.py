"""Measure the cost of open questions: memory, restart, and the way of an answer.

    uv run --all-packages benchmarks/asking.py --questions 10000 --rounds 5

`memory` and `restart` compare two processes that open a storage and start the bot's app: one with open questions, and
one without. `answer` counts the reads and the commits of a turn that goes on with an answer and asks again, and those of
a turn that only replies. `resume` is the time of the turn after so many answers, with a Linq that answers at once;
`steps` is the same after so many results of `ctx.once`. Of times, the shortest is given: on a busy machine the others
measure the other programs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import structlog
from fakes import NOW, Linq, delivery, text_body

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turn import Turns
from linqbot.linq.events.message import MessageReceived
from linqbot.server.app import create_app, running
from linqbot.storage.sqlite.storage import SQLiteStorage

TARGETS: Final = {
    "memory": "< 5 MiB",
    "restart": "< 20 % more",
    "answer": "1 read more, no commit more",
    "resume after 100 answers": "< 20 ms",
}
READS: Final = ("conversation", "entries", "load", "entry_of", "has_sent", "timer", "scheduled", "recurring", "seen")
COMMITS: Final = ("put", "begin", "settle", "finish", "schedule", "cancel", "fire", "take")
bot = Bot(read=False, typing=False, loop_breaker=False)


@bot.on_message("echo")
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("echo")


@bot.on_message("steps")
async def steps(message: MessageReceived, ctx: Context) -> None:
    for n in range(SETTINGS["steps"]):
        await ctx.once(f"step {n}", lambda key: {"result": "x" * 100})
    await ctx.ask("More?")
    await ctx.reply("Done.")


@bot.on_message
async def ask(message: MessageReceived, ctx: Context) -> None:
    for n in range(SETTINGS["asks"]):
        await ctx.ask(f"Question {n}?")


SETTINGS: Final = {"asks": 100, "steps": 1000}


class Counting(SQLiteStorage):
    """A storage that counts the calls of its methods."""

    def __init__(self, *given: Any, **how: Any) -> None:
        super().__init__(*given, **how)
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in READS and name not in COMMITS:
            return found

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return found(*args, **kwargs)

        return counted


class Took(NamedTuple):
    """The milliseconds of a turn: by the wall's clock, with its waits for the disk, and of CPU in all threads."""

    ms: float
    cpu_ms: float


class Running:
    """A bot without a network, on a storage in a folder."""

    def __init__(self, path: Path) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.storage = Counting(path, clock=self.clock)
        linq = Linq()
        limit = SendRateLimit(self.clock)
        self.turns = Turns(Dispatcher(bot, self.clock), linq.client, self.storage, self.clock, limit)
        self.linq = linq

    async def say(self, text: str, chat: int) -> Took:
        """Deliver a message in the chat of this number, run its turn, and return what the turn took.

        Raises:
            SystemExit: the turn failed.
        """
        self.clock.advance(10)  # far below the rate limit of a chat
        self.linq.calls.clear()
        await self.storage.put(delivery(text_body(text, chat=f"00000000-0000-4000-9000-{chat:012}")))
        (lease,) = await self.storage.take(1, lease_s=1000)
        began, used = time.perf_counter(), time.process_time()
        await self.turns.run(lease)
        took = Took((time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000)
        if letters := await self.storage.dead_letters():
            raise SystemExit(letters[0].error)
        return took


async def fill(path: Path, count: int) -> None:
    """Open so many questions, each in a chat of its own."""
    running_bot = Running(path)
    async with running_bot.storage:
        for n in range(count):
            await running_bot.say("hi", n)


async def start(path: Path) -> None:
    """Start the app on a storage, and print the time and the memory of this process."""
    began = time.perf_counter()
    clock = MovableClock(NOW, frozen=True)
    app = create_app(
        bot,
        client=Client("key"),
        storage=SQLiteStorage(path, clock=clock),
        secrets=["whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="],
        clock=clock,
    )
    async with running(app):
        took_ms = (time.perf_counter() - began) * 1000
        gc.collect()
        status = Path("/proc/self/status").read_text("ascii")  # noqa: ASYNC240 - nothing else runs
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        print(json.dumps({"ms": took_ms, "kib": kib}))


def restarted(path: Path, rounds: int) -> tuple[float, float]:
    """Return the shortest seconds of a whole process that starts the app, and its median memory in MiB."""
    seconds, memory = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--start", str(path)], capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - began)
        memory.append(json.loads(done.stdout.splitlines()[-1])["kib"] / 1024)
    return min(seconds), statistics.median(memory)


async def counts(path: Path) -> tuple[Counter[str], Counter[str]]:
    """Return the calls of the storage in a turn that replies, and in one that goes on with an answer and asks again."""
    running_bot = Running(path)
    async with running_bot.storage as storage:
        await running_bot.say("hi", 1)
        await running_bot.say("echo", 2)
        storage.calls.clear()
        await running_bot.say("echo", 2)
        plain = storage.calls.copy()
        storage.calls.clear()
        await running_bot.say("answer", 1)
        return plain, storage.calls.copy()


async def resumed(path: Path, asks: int, rounds: int) -> list[Took]:
    """Return what the turn took that got the last answer of so many."""
    SETTINGS["asks"] = asks
    times = []
    running_bot = Running(path)
    async with running_bot.storage:
        for n in range(rounds):
            for _ in range(asks):
                await running_bot.say("hi", n)
            times.append(await running_bot.say("hi", n))
    return times


async def stepped(path: Path, count: int, rounds: int) -> list[Took]:
    """Return what the turn took that went on after so many steps."""
    SETTINGS["steps"] = count
    times = []
    running_bot = Running(path)
    async with running_bot.storage:
        for n in range(rounds):
            await running_bot.say("steps", n)
            times.append(await running_bot.say("yes", n))
    return times


def spread(times: list[Took]) -> str:
    """Return the shortest and the median time, and the least CPU."""
    ms = [each.ms for each in times]
    return f"{min(ms):.1f} ms (median {statistics.median(ms):.1f} ms), CPU {min(each.cpu_ms for each in times):.1f} ms"


def total(calls: Counter[str], names: tuple[str, ...]) -> str:
    """Return the sum of the calls with these names, and the calls."""
    made = {name: calls[name] for name in names if calls[name]}
    return f"{sum(made.values())} ({', '.join(f'{name} {count}' for name, count in made.items())})"


def main(argv: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--asks", type=int, default=100)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if options.start is not None:
        asyncio.run(start(options.start))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(fill(folder / "empty.db", 0))
        asyncio.run(fill(folder / "full.db", options.questions))
        empty_s, empty_mib = restarted(folder / "empty.db", options.rounds)
        full_s, full_mib = restarted(folder / "full.db", options.rounds)
        plain, answer = asyncio.run(counts(folder / "counts.db"))
        resume_ms = asyncio.run(resumed(folder / "resume.db", options.asks, options.rounds))
        steps_ms = asyncio.run(stepped(folder / "steps.db", options.steps, options.rounds))
    rows = {
        f"memory of {options.questions} open questions": f"{full_mib - empty_mib:.1f} MiB",
        "restart with them, whole process": f"{full_s:.2f} s, {(full_s / empty_s - 1) * 100:.0f} % more than {empty_s:.2f} s",
        "reads, reply ÷ answer": f"{total(plain, READS)} ÷ {total(answer, READS)}",
        "commits, reply ÷ answer": f"{total(plain, COMMITS)} ÷ {total(answer, COMMITS)}",
        f"resume after {options.asks} answers": spread(resume_ms),
        f"resume after {options.steps} steps": spread(steps_ms),
    }
    print(f"targets: {'; '.join(f'{name} {target}' for name, target in TARGETS.items())}")
    for what, figure in rows.items():
        print(f"{what:42}{figure}")


if __name__ == "__main__":
    main()
