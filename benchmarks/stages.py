# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "aiohttp", "fastapi", "linq-python>=0.65,<0.66", "slack-bolt", "standardwebhooks"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# ///
"""Measures each stage of an event's way alone: CPU time and, with valgrind, instructions.

    uv run benchmarks/stages.py                       µs for every stage
    uv run benchmarks/stages.py --instructions        also thousands of instructions; takes minutes, needs valgrind
    uv run benchmarks/stages.py parse finish          some stages
    uv run benchmarks/stages.py --rounds 5 --save     for the picture that charts.py draws

CPU times depend on the machine and on its other work. The number of instructions hardly does, so it can be compared
between two commits on a busy machine. It does not show what waiting and cache misses cost.

The stages use the code that the server uses, with a real SQLite file. Writes share commits as in the server: 16 are in
flight at once. `echo` is the whole way, in a real `linqbot serve`, with sockets and the disk. The rows after it are the
same echo on other frameworks, which store nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fake_api import FakeApi
from loader import ClosedLoop
from ports import free_port
from processes import PLAIN, Cores, Program, Served, cpu_s, linq_environ, run, serving, slack_environ
from pydantic_core import to_json
from results import Conditions, rounded, save
from signed import LINE, SECRET, Deliveries, linq
from versus import BOTS

import linqbot
from linqbot import Context, MessageReceived
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import SystemClock
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turns import Turns
from linqbot.features.catalog import catalogue
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.parse import parse
from linqbot.linq.signatures import Secret, verify
from linqbot.plugins.registry import Plugins
from linqbot.storage.inbox import Ack, Commit, Lease
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage

IN_FLIGHT: Final = 16
COUNT: Final = 4000
VALGRIND_COUNT: Final = 300
SLOWED_DOWN: Final = "FastAPI + linq-python, tuned"
"""Left out: with many connections its client costs more than as documented, while 64 turns are in flight."""
_SAME_HASHES: Final = {"PYTHONHASHSEED": "0"}
"""With random hashes, the instructions of two starts of Python differ by millions."""
_MEASURE: Final = "--measure"
_PREPARE: Final = "--prepare"


@dataclass(frozen=True, slots=True)
class Request:
    """One webhook: the headers that are verified, its body, and the delivery that the server makes of it."""

    headers: dict[str, str]
    body: bytes
    delivery: Delivery


def requests(count: int, *, chats: int = 2000) -> list[Request]:
    """Return signed webhooks, decoded as the server decodes them."""
    source: Deliveries = linq(chats=chats)
    made = []
    for _ in range(count):
        head, body = next(source).request.split(b"\r\n\r\n", 1)
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        headers = {name: value for name, value in lines if name.startswith("webhook-")}
        made.append(Request(headers, body, _delivery(headers["webhook-id"], body)))
    return made


def _delivery(webhook_id: str, body: bytes) -> Delivery:
    return Delivery.from_webhook(body, webhook_id=webhook_id, received_at=time.time(), signed_id=True)


Timed = Callable[[], Awaitable[None]]
"""The work that is measured; everything before it is preparation."""


async def _verify(count: int, _: AsyncExitStack) -> Timed:
    every, secrets, now = requests(count), [Secret.parse(SECRET)], time.time()

    async def work() -> None:
        for request in every:
            verify(request.headers, request.body, secrets, now=now)

    return work


async def _deliver(count: int, _: AsyncExitStack) -> Timed:
    every = requests(count)

    async def work() -> None:
        for request in every:
            _delivery(request.headers["webhook-id"], request.body)

    return work


async def _parse(count: int, _: AsyncExitStack) -> Timed:
    every = requests(count)

    async def work() -> None:
        for request in every:
            parse(request.delivery)

    return work


async def _handle(count: int, _: AsyncExitStack) -> Timed:
    """The turn alone: parsing, dispatch, handler, reply, journal; with storage in memory and an API that costs nothing."""
    leases = [Lease(request.delivery, number) for number, request in enumerate(requests(count))]
    clock = SystemClock()
    storage = MemoryStorage(clock=clock)
    bot = linqbot.Bot(read=False, typing=False)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    async def accepted(call: Call) -> ApiResponse:
        return ApiResponse(202, {"chat_id": call.path.split("/")[3], "message": {"id": "m", "parts": []}})

    async def stored(*_: object) -> None:
        return

    storage.begin = storage.finish = stored  # type: ignore[method-assign,assignment]
    client = Client("key").wrapped(lambda _: accepted)
    turns = Turns(Dispatcher(bot, clock, plugins=Plugins()), client, storage, clock, SendRateLimit(clock), catalogue)

    async def work() -> None:
        for lease in leases:
            await asyncio.create_task(turns.run(lease))

    return work


async def _storage(stack: AsyncExitStack) -> SQLiteStorage:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="linqbot-stages-"))
    return await stack.enter_async_context(SQLiteStorage(Path(folder) / "stages.db"))


async def _all(calls: Sequence[Awaitable[object]]) -> None:
    for start in range(0, len(calls), IN_FLIGHT):
        await asyncio.gather(*calls[start : start + IN_FLIGHT])


async def _put(count: int, stack: AsyncExitStack) -> Timed:
    storage, every = await _storage(stack), requests(count)

    async def work() -> None:
        await _all([storage.put(request.delivery) for request in every])

    return work


async def _begin(count: int, stack: AsyncExitStack) -> Timed:
    storage, every = await _storage(stack), requests(count)

    async def work() -> None:
        await _all([storage.begin(_entry(request.delivery.id)) for request in every])

    return work


async def _finish(count: int, stack: AsyncExitStack) -> Timed:
    storage, every = await _storage(stack), requests(count, chats=count)
    await _all([storage.put(request.delivery) for request in every])
    await _all([storage.begin(_entry(request.delivery.id)) for request in every])
    leases = await storage.take(count, lease_s=600)
    assert len(leases) == count

    async def work() -> None:
        await _all(
            [
                storage.finish(lease, Commit(Ack(), [_entry(lease.delivery.id, is_done=True)], has_all_entries=True))
                for lease in leases
            ]
        )

    return work


def _entry(turn: str, *, is_done: bool = False) -> JournalEntry:
    call = {"noun": "chats.messages", "verb": "send", "method": "POST", "path": "/v3/chats/c/messages"}
    body = {"message": {"parts": [{"type": "text", "value": "You said: hello"}], "idempotency_key": "lb" + "a" * 30}}
    return JournalEntry(
        turn=turn,
        replay=0,
        slot="0",
        key=f"lb{turn}",
        safety="keyed",
        call=to_json({**call, "safety": "keyed", "body": body, "query": [], "headers": {}, "key_in": ["message"]}),
        status="accepted" if is_done else "attempting",
        first_at=time.time(),
        answer=to_json({"chat_id": "c", "message": {"id": turn, "parts": body["message"]["parts"]}})
        if is_done
        else None,
        message_id=turn if is_done else None,
        origin=to_json({"handles": [LINE], "chat_id": "c", "is_group": False}),
    )


STAGES: Final[dict[str, Callable[[int, AsyncExitStack], Awaitable[Timed]]]] = {
    "verify": _verify,
    "delivery": _deliver,
    "put": _put,
    "parse": _parse,
    "turn": _handle,
    "begin": _begin,
    "finish": _finish,
}
"""The stages that run in this process. `turn` includes `parse`."""


async def measured(stage: str, count: int, *, works: bool = True) -> float:
    """Run a stage in this process. Return the CPU seconds of its work, over all threads.

    Args:
        works: False only prepares the work.
    """
    async with AsyncExitStack() as stack:
        work = await STAGES[stage](count, stack)
        before = time.process_time()
        if works:
            await work()
        return time.process_time() - before


ECHOES: Final = {"echo" if bot is PLAIN else bot.name: bot for bot in BOTS if bot.is_here and bot.name != SLOWED_DOWN}
"""The bots that run in a process of their own, by the names of their rows."""


async def echo_cpu_s(bot: Program, cores: Cores, count: int, *, prefix: Sequence[str] = ()) -> tuple[float, str]:
    """Let a real server answer `count` messages. Return the CPU seconds it used for them, and its log."""
    folder = Path(tempfile.mkdtemp(prefix="linqbot-stages-"))
    try:
        port = free_port()
        async with FakeApi() as api:
            environ = linq_environ(api.port, folder / "stages.db") | slack_environ(api.port)
            environ |= _SAME_HASHES
            command = [*prefix, *bot.command(port)]
            async with serving(Served(command, port=port, folder=folder, environ=environ), cores) as served:
                load = ClosedLoop(port, bot.send(chats=2000), in_flight=IN_FLIGHT, replies=api)
                if not prefix:
                    await load.run(turns=IN_FLIGHT * 4)
                before = cpu_s(served.pid)
                await load.run(turns=count)
                used = cpu_s(served.pid) - before
        return used, (folder / f"{port}.log").read_text(errors="replace")
    finally:
        shutil.rmtree(folder)


def instructions(stage: str, cores: Cores) -> float:
    """Return the instructions of one operation: the difference of two runs, one with the preparation alone.

    The whole way has no preparation to leave out: there the other run does a third of the work.
    """
    if bot := ECHOES.get(stage):
        few, many = (_instructions_of_echo(bot, count, cores) for count in (VALGRIND_COUNT, 3 * VALGRIND_COUNT))
        return (many - few) / (2 * VALGRIND_COUNT)
    prepared, done = (_instructions_of_stage(stage, how) for how in (_PREPARE, _MEASURE))
    return (done - prepared) / VALGRIND_COUNT


_VALGRIND: Final = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")


def _instructions_of_echo(bot: Program, count: int, cores: Cores) -> int:
    return _refs(run(echo_cpu_s(bot, cores, count, prefix=_VALGRIND))[1])


def _instructions_of_stage(stage: str, how: str) -> int:
    command = [*_VALGRIND, sys.executable, __file__, how, stage, str(VALGRIND_COUNT)]
    environ = os.environ | _SAME_HASHES
    return _refs(subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stderr)


def _refs(log: str) -> int:
    found = re.search(r"I\s+refs:\s+([\d,]+)", log)
    if found is None:
        raise SystemExit(f"valgrind printed no number of instructions:\n{log[-2000:]}")
    return int(found[1].replace(",", ""))


def main(arguments: Sequence[str] | None = None) -> None:
    every = [*STAGES, *ECHOES]
    parser = argparse.ArgumentParser(description="Measure each stage of an event's way alone.")
    parser.add_argument("stages", nargs="*", default=every, help=f"some of: {', '.join(every)}")
    parser.add_argument("--count", type=int, default=COUNT, help="operations of each stage")
    parser.add_argument("--instructions", action="store_true", help="also count instructions, with valgrind")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all stages; the medians are printed")
    parser.add_argument("--save", action="store_true", help="keep the figures in results/")
    given = parser.parse_args(arguments)
    if unknown := set(given.stages) - set(every):
        parser.error(f"there is no stage {', '.join(sorted(unknown))}. There are: {', '.join(every)}")
    if given.instructions and shutil.which("valgrind") is None:
        parser.error("--instructions needs valgrind on the PATH (Debian: apt-get install valgrind)")
    cores, conditions = Cores(), Conditions.now("linq-python", "fastapi", "slack-bolt")
    cpu_us: dict[str, list[float]] = {stage: [] for stage in given.stages}
    with cores.ours():
        for stage in given.stages * given.rounds:
            bot = ECHOES.get(stage)
            used_s = run(echo_cpu_s(bot, cores, given.count))[0] if bot else run(measured(stage, given.count))
            cpu_us[stage].append(used_s / given.count * 1e6)
        print("| stage | µs of CPU |" + (" thousand instructions |" if given.instructions else ""))
        print("|---|---|" + ("---|" if given.instructions else ""))
        for stage, values in cpu_us.items():
            row = f"| {stage} | {statistics.median(values):.1f} |"
            if given.instructions:
                row += f" {instructions(stage, cores) / 1000:.0f} |"
            print(row, flush=True)
    if given.save:
        save("stages", conditions, {stage: rounded(values) for stage, values in cpu_us.items()})


if __name__ == "__main__":
    if sys.argv[1:2] in ([_MEASURE], [_PREPARE]):
        run(measured(sys.argv[2], int(sys.argv[3]), works=sys.argv[1] == _MEASURE))
    else:
        main()
