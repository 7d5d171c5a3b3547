# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "aiohttp", "fastapi", "linq-python>=0.65,<0.66", "slack-bolt", "standardwebhooks"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# ///
"""Measures the speed of `linqbot serve` as ratios to other programs that do the same in the same minute.

    uv run benchmarks/speed.py                      everything; five minutes
    uv run benchmarks/speed.py ack echo             a part: ack, echo, state, slow-api, latency, start, memory

Every figure is a ratio to a peer in the same round: the median of all rounds, with the smallest and the largest. Machines
differ, and so does one machine an hour later. The server under measurement has its own core; the loader and the fake API
share another. Peers are in `peers/`.

The loader is Python and limits the other frameworks, so the ratios of `echo` are too high: a neutral load generator in C
measured 5.1 to 5.7 for FastAPI + linq-python and 1.25 to 1.64 for slack-bolt. Use `echo` to compare two versions of
linqbot.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from fake_api import FakeApi
from loader import ClosedLoop, Connection, Paced
from processes import (
    BOLT,
    BY_HAND,
    LOADER_BUSY,
    PLAIN,
    Cores,
    Program,
    Served,
    cpu_s,
    fsync_ms,
    machine_busy_s,
    ours_s,
    rss_mib,
    run,
)
from signed import Deliveries, linq

IN_FLIGHT = 64
CHATS = 2000
T = TypeVar("T")


BARE = Program("bare ASGI", "bare:app")
SILENT = Program("linqbot, no handler", "silent")
MANNERED = Program("linqbot, read and typing on", "mannered")
REMEMBERING = Program("linqbot, changes state in each turn", "remembering")
COUNTING = Program("linqbot, changes the bot's state in each turn", "counting")
SLOW = Program("linqbot, slow handlers", "slow")


@dataclass(frozen=True)
class Sample:
    """One measurement of a program.

    Attributes:
        server_us: CPU time of the server for each turn, in µs, over all its threads.
        loader: Share of its core that the loader used. Near 1, the loader is what was measured.
    """

    per_s: float
    server_us: float
    loader: float


@dataclass
class Figure:
    """A row of the table: our value divided by theirs, once for each round."""

    name: str
    unit: str
    ours: list[float]
    theirs: list[float]
    target: str = ""
    meets: Callable[[float], bool] | None = None

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        # On an overloaded machine a peer may have done nothing at all; do not divide by zero.
        return [ours / theirs if theirs else math.inf for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        ratio = statistics.median(self.ratios)
        met = "" if self.meets is None else ("yes" if self.meets(ratio) else "NO")
        return [self.name, _spread(self.ratios), self.target, met, _spread(self.ours), _spread(self.theirs), self.unit]


@dataclass
class Bench:
    """The place and length of the measurements, and their results.

    Attributes:
        seconds: Length of one sample; the warm-up takes half a second or less.
        delay_s: Seconds that the slow API takes for an answer.
        turns, chats: Size of the measurement of memory.
        noise_allowed: Share of the machine that other processes may use during a sample.
        noise: The share that they used, for each sample that was kept.
        disturbed: Number of samples that were discarded because the share was higher.
    """

    folder: Path
    cores: Cores
    rounds: int = 3
    seconds: float = 3.0
    delay_s: float = 0.05
    turns: int = 100_000
    chats: int = 10_000
    noise_allowed: float = 0.05
    figures: list[Figure] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    noise: list[float] = field(default_factory=list)
    disturbed: int = 0
    notes: list[str] = field(default_factory=list)

    async def undisturbed(self, take: Callable[[], Awaitable[T]]) -> T:
        """Take a sample, and repeat it if other processes used the machine. The programs that it starts must end within it."""
        for left in reversed(range(3)):
            started, before = time.perf_counter(), machine_busy_s() - ours_s()
            taken = await take()
            others = (machine_busy_s() - ours_s() - before) / (time.perf_counter() - started)
            others /= os.cpu_count() or 1
            if not others > self.noise_allowed or not left:
                break
            self.disturbed += 1
            await asyncio.sleep(self.seconds)
        self.noise.append(max(others, 0.0))
        return taken

    async def rate(
        self, program: Program, api: FakeApi, *, in_flight: int = IN_FLIGHT, replies: bool = True, row: str = ""
    ) -> float:
        """Measure turns per second with `in_flight` turns in flight; without `replies`, acks per second."""
        sample = await self.undisturbed(lambda: self._sample(program, api, in_flight, api if replies else None))
        self.samples.setdefault(row or program.name, []).append(sample)
        return sample.per_s

    async def _sample(self, program: Program, api: FakeApi, in_flight: int, replies: FakeApi | None) -> Sample:
        deliveries = program.send(chats=CHATS)
        async with program.serving(api.port, self.folder, self.cores) as served:
            load = ClosedLoop(served.port, deliveries, in_flight=in_flight, replies=replies)
            warm = await load.run(seconds=min(0.5, self.seconds))
            deliveries.prepare(round(warm.per_s * self.seconds * 1.5))
            server, loader = cpu_s(served.pid), time.process_time()
            with _no_collections():
                done = await load.run(seconds=self.seconds)
            # The last turns end after the measured time; they are too few to matter.
            server, loader = cpu_s(served.pid) - server, time.process_time() - loader
        return Sample(done.per_s, server_us=server / max(done.turns, 1) * 1e6, loader=loader / done.seconds)


async def ack(bench: Bench) -> None:
    """Compare deliveries that are verified, stored and acked with an app that only answers 200."""
    ours: list[float] = []
    theirs: list[float] = []
    async with FakeApi() as api:
        for _ in range(bench.rounds):
            theirs.append(await bench.rate(BARE, api, replies=False))
            ours.append(await bench.rate(SILENT, api, replies=False))
    bench.figures.append(
        Figure("ack ÷ bare ASGI", "acks/s", ours, theirs, "≥ 0.20, towards 0.29", lambda ratio: ratio >= 0.20)
    )


async def echo(bench: Bench) -> None:
    """Compare whole turns, from the webhook to the reply at the API, with bots that store nothing."""
    programs = [program for program in (PLAIN, BY_HAND, BOLT, MANNERED) if program.is_here]
    bench.notes += [f"{program.name} is not installed." for program in (BY_HAND, BOLT) if not program.is_here]
    found: dict[Program, list[float]] = {program: [] for program in programs}
    async with FakeApi() as api:
        for _ in range(bench.rounds):
            for program in programs:
                found[program].append(await bench.rate(program, api))
    for peer, target, meets in (
        (BY_HAND, "≥ 5, towards 12", lambda ratio: ratio >= 5),
        (BOLT, "≥ 1.5, towards 3", lambda ratio: ratio >= 1.5),
    ):
        if peer in found:
            name = f"echo ÷ {peer.name}"
            bench.figures.append(Figure(name, "turns/s", found[PLAIN], found[peer], target, meets))
            bench.figures.append(Figure(f"{name}, read and typing on", "turns/s", found[MANNERED], found[peer]))


async def state(bench: Bench) -> None:
    """Compare an echo that changes state in each turn with one that has no state."""
    programs = (PLAIN, REMEMBERING, COUNTING)
    found: dict[Program, list[float]] = {program: [] for program in programs}
    async with FakeApi() as api:
        for _ in range(bench.rounds):
            for program in programs:
                found[program].append(await bench.rate(program, api))
    name = "echo that changes the person's state ÷ echo"
    bench.figures.append(Figure(name, "turns/s", found[REMEMBERING], found[PLAIN], "≥ 0.8", lambda ratio: ratio >= 0.8))
    name = f"echo that changes the bot's state, {IN_FLIGHT} chats at once ÷ echo"
    bench.figures.append(Figure(name, "turns/s", found[COUNTING], found[PLAIN]))


async def slow_api(bench: Bench) -> None:
    """Compare turns per second with a slow API and with an instant API."""
    ours: list[float] = []
    theirs: list[float] = []
    shown = f"API of {bench.delay_s * 1000:.0f} ms"
    async with FakeApi() as instant, FakeApi(delay_s=bench.delay_s) as slow:
        for _ in range(bench.rounds):
            theirs.append(await bench.rate(PLAIN, instant, in_flight=256, row="linqbot, 256 in flight"))
            ours.append(await bench.rate(PLAIN, slow, in_flight=256, row=f"linqbot, 256 in flight, {shown}"))
    bench.figures.append(
        Figure(f"echo, 256 in flight, {shown} ÷ instant", "turns/s", ours, theirs, "≥ 0.5", lambda ratio: ratio >= 0.5)
    )


async def latency(bench: Bench) -> None:
    """Compare the time of an ack while every handler is busy and while none is, both at 200 deliveries a second."""
    busy: list[float] = []
    idle: list[float] = []
    async with FakeApi() as api:
        for _ in range(bench.rounds):
            when_idle, when_busy = await bench.undisturbed(lambda: _p99s_ms(bench, api))
            idle.append(when_idle)
            busy.append(when_busy)
    bench.figures.append(
        Figure("ack p99, 200 handlers at work ÷ idle", "ms", busy, idle, "≤ 2", lambda ratio: ratio <= 2)
    )


async def _p99s_ms(bench: Bench, api: FakeApi) -> tuple[float, float]:
    """Return the p99 of acks while no handler works, and while all handlers work."""
    probes, work = linq(chats=1000), linq(chats=CHATS, text="work", first_chat=1000)
    seconds = bench.seconds * 2
    async with SLOW.serving(api.port, bench.folder, bench.cores) as served:
        await _p99_ms(served.port, probes, seconds / 4)
        idle = await _p99_ms(served.port, probes, seconds)
        async with asyncio.TaskGroup() as group:
            working = ClosedLoop(served.port, work, in_flight=200, replies=api)
            group.create_task(working.run(seconds=seconds * 1.25))
            await asyncio.sleep(seconds / 4)
            busy = await _p99_ms(served.port, probes, seconds)
    return idle, busy


async def _p99_ms(port: int, deliveries: Deliveries, seconds: float) -> float:
    acks = Paced(port, per_s=200)
    await acks.run(deliveries, seconds=seconds)
    assert not acks.refused, f"{acks.refused} deliveries were not answered 200."
    return statistics.quantiles(acks.acks_s, n=100)[98] * 1000


async def start(bench: Bench) -> None:
    """Measure the time from the start of the process to the first reply at the API."""
    programs = [program for program in (PLAIN, BY_HAND) if program.is_here]
    found: dict[Program, list[float]] = {program: [] for program in programs}
    async with FakeApi() as api:
        for turn in range(bench.rounds + 1):
            for program in programs:
                taken = await bench.undisturbed(partial(_first_reply_ms, bench, program, api))
                if turn:  # the first start reads everything from the disk, and may write .pyc files
                    found[program].append(taken)
    if BY_HAND in found:
        name = f"first reply ÷ {BY_HAND.name}"
        bench.figures.append(Figure(name, "ms", found[PLAIN], found[BY_HAND], "≤ 0.5", lambda ratio: ratio <= 0.5))
    else:
        bench.notes.append(f"{BY_HAND.name} is not installed. First reply: {_spread(found[PLAIN])} ms.")


async def _first_reply_ms(bench: Bench, program: Program, api: FakeApi) -> float:
    replied: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def arrived(_: str) -> None:
        if not replied.done():
            replied.set_result(time.perf_counter())

    api.on_reply = arrived
    delivery = next(program.send(chats=1))
    started = time.perf_counter()
    serving = program.serving(api.port, bench.folder, bench.cores, wait=False)
    async with serving as served, asyncio.timeout(60):
        connection = await _patiently(served)
        assert await connection.ask(delivery.request) == 200
        taken = (await replied - started) * 1000
        connection.close()
    return taken


async def _patiently(served: Served) -> Connection:
    while True:
        try:
            return await Connection.open(served.port)
        except ConnectionRefusedError:
            served.check_alive()
            await asyncio.sleep(0.001)


async def memory(bench: Bench) -> None:
    """Measure the memory of `linqbot serve` after many turns in many chats, with read receipts and typing on."""
    deliveries = linq(chats=bench.chats)
    async with FakeApi() as api, MANNERED.serving(api.port, bench.folder, bench.cores) as served:
        load = ClosedLoop(served.port, deliveries, in_flight=IN_FLIGHT, replies=api)
        at_start = rss_mib(served.pid)
        tenth = bench.turns // 10
        await load.run(turns=tenth)
        after_tenth = rss_mib(served.pid)
        await load.run(turns=bench.turns - tenth)
        at_end = rss_mib(served.pid)
    name = f"RSS after {bench.turns} turns in {bench.chats} chats ÷ 60 MiB"
    bench.figures.append(Figure(name, "MiB", [at_end], [60.0], "≤ 1", lambda ratio: ratio <= 1))
    bench.notes.append(
        f"RSS: {at_start:.1f} MiB at start, {after_tenth:.1f} after {tenth} turns, {at_end:.1f} at the end."
    )


MEASUREMENTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "ack": ack,
    "echo": echo,
    "state": state,
    "slow-api": slow_api,
    "latency": latency,
    "start": start,
    "memory": memory,
}


async def measure(names: Sequence[str], bench: Bench) -> None:
    """Run some of `MEASUREMENTS`. The results are in `bench`."""
    bench.notes.append(f"One fsync takes {fsync_ms(bench.folder):.2f} ms in {bench.folder.parent}.")
    if bench.cores.note:
        bench.notes.append(bench.cores.note)
    with bench.cores.ours():
        for name in names:
            if sys.stderr.isatty():
                print(f"{name} …", file=sys.stderr)
            await MEASUREMENTS[name](bench)


def report(bench: Bench) -> str:
    """Return the tables and notes, in Markdown."""
    figures = [figure.cells() for figure in bench.figures]
    samples = [[name, *_columns(samples)] for name, samples in bench.samples.items()]
    notes = list(bench.notes)
    if bench.noise:
        used, limit = _spread([share * 100 for share in bench.noise]), f"{bench.noise_allowed:.0%}"
        notes.append(
            f"Other processes used {used} % of the machine; {bench.disturbed} samples with over {limit} were repeated."
        )
    limited = [name for name, taken in bench.samples.items() if max(one.loader for one in taken) > LOADER_BUSY]
    if limited:
        notes.append(
            f"The load generator was busy for more than {LOADER_BUSY:.0%} of the time with {', '.join(limited)}: these rows "
            "measure the generator. Compare frameworks with versus.py, whose generator is a C program."
        )
    parts = [
        _table(["", "ratio", "target", "met", "ours", "theirs", "unit"], figures),
        _table(["", "per second", "server's CPU, µs each", "loader's core, %"], samples),
        "\n".join(notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _columns(samples: list[Sample]) -> list[str]:
    return [
        _spread([sample.per_s for sample in samples]),
        _spread([sample.server_us for sample in samples]),
        _spread([sample.loader * 100 for sample in samples]),
    ]


def _spread(values: list[float]) -> str:
    """Return `median (smallest-largest)`."""
    return f"{_short(statistics.median(values))} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    if math.isnan(value):
        return "?"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Turn off garbage collection: the loader holds many thousand prepared deliveries, and a full collection visits all."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the speed of linqbot as ratios to peers.")
    parser.add_argument("measure", nargs="*", help=f"some of: {', '.join(MEASUREMENTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one sample")
    parser.add_argument("--turns", type=int, default=100_000, help="turns of the measurement of memory")
    parser.add_argument("--chats", type=int, default=10_000, help="chats of the measurement of memory")
    parser.add_argument(
        "--noise", type=float, default=0.05, help="share of the machine that other processes may use in a sample"
    )
    parser.add_argument("--folder", type=Path, help="folder for the databases; its disk affects the results")
    given = parser.parse_args(arguments)
    if unknown := set(given.measure) - set(MEASUREMENTS):
        parser.error(f"There is no {', '.join(unknown)}. There are: {', '.join(MEASUREMENTS)}.")
    with tempfile.TemporaryDirectory(prefix="linqbot-speed-", dir=given.folder) as folder:
        bench = Bench(
            Path(folder),
            Cores(),
            rounds=given.rounds,
            seconds=given.seconds,
            turns=given.turns,
            chats=given.chats,
            noise_allowed=given.noise,
        )
        run(measure(given.measure or list(MEASUREMENTS), bench))
    print(report(bench))


if __name__ == "__main__":
    main()
