"""Kills and suspends the processes of a bot on PostgreSQL at random moments under load, and counts what was lost, doubled or
out of order.

    uv run --all-packages python benchmarks/crash_fleet.py --kills 200 --deliveries 50000

Two processes receive and three work, on a PostgreSQL server of their own with fsync on. Signed deliveries of many chats go
to the receivers, each attempt to one of them; those of a chat are sent in order, some of them twice at once. SIGKILL ends
one of the five processes at a time, or the server ends the connections of all of them, or SIGSTOP suspends a worker until
others have taken over its chats. At the end, every chat at the emulator must show every number once, in the order in which
it was written.

    uv run --all-packages python benchmarks/crash_fleet.py --faults 2 --deliveries 4000

This has two rounds of the faults in `FAULTS`, between the processes and the server, of the server, and of the processes.
People write to the emulator, which delivers their messages and retries.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import crash
import httpx
from linqbot_postgres.address import Address
from ports import free_port

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from postgres_server import start

RECEIVERS, WORKERS = 2, 3
ROLES = ["receive"] * RECEIVERS + ["work"] * WORKERS
BACKENDS_EVERY = 10
"""One kill in so many ends the connections of all processes instead of a process."""
STOPS_EVERY = 7
"""One kill in so many suspends a worker instead."""


async def end_connections(database: str) -> None:
    """Let the server end all connections but this one."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    finally:
        await connection.close()


@asynccontextmanager
async def suspended(process: crash.Served, database: str) -> AsyncIterator[None]:
    """Suspend a process, and run the block when its leases are over: then others may handle its chats."""
    assert process.process is not None
    process.process.send_signal(signal.SIGSTOP)
    try:
        await end_leases(database)
        yield
    finally:
        process.process.send_signal(signal.SIGCONT)


async def end_leases(database: str) -> None:
    """Let the leases of a suspended process run out now, instead of in three minutes.

    Its leases are those that stay: turns that run end sooner.
    """
    address = Address.parse(database)
    table, queue = f'"{address.schema}".delivery', f'"{address.schema}".queue'
    connection = await asyncpg.connect(address.dsn)
    try:
        sql = f"SELECT token FROM {table} WHERE token IS NOT NULL"
        before = {row["token"] for row in await connection.fetch(sql)}
        await asyncio.sleep(0.7)
        stay = before & {row["token"] for row in await connection.fetch(sql)}
        # Rows that are locked belong to a transaction in which the process was suspended. The server ends it later.
        await connection.execute(
            f"""UPDATE {queue} SET free_at = now() WHERE seq IN (
                    SELECT seq FROM {queue} JOIN {table} USING (seq)
                    WHERE token = ANY($1) FOR UPDATE SKIP LOCKED)""",
            list(stay),
        )
    finally:
        await connection.close()


async def kill_now_and_then(
    processes: list[crash.Served],
    http: httpx.AsyncClient,
    arriving: asyncio.Task[None],
    database: str,
    kills: int,
    dice: random.Random,
    report: crash.Report,
) -> None:
    while report.kills < kills and not arriving.done():
        await asyncio.sleep(dice.expovariate(1 / 0.3))
        report.kills += 1
        if report.kills % BACKENDS_EVERY == 0:
            await end_connections(database)
            continue
        if report.kills % STOPS_EVERY == 0:
            async with suspended(dice.choice(processes[RECEIVERS:]), database):
                await asyncio.sleep(1)  # the load wakes the other workers
            continue
        process = dice.choice(processes)
        await process.kill()
        await process.start()
        if dice.random() < 0.5:
            await process.up(http, "/livez")
        if sys.stderr.isatty():
            print(f"\r{report.kills}/{kills} kills", end="", file=sys.stderr)


Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """A TCP proxy to the first of several targets, in random order, that can be connected to.

    Attributes:
        passing: While it is not set, everything that is sent is swallowed until it is set again, or until `cut`.
        delay_s: Seconds by which each piece is late.
    """

    def __init__(self, *targets: Callable[[], Awaitable[Streams]]) -> None:
        self.passing = asyncio.Event()
        self.delay_s = 0.0
        self._targets = targets
        self._open = set[asyncio.StreamWriter]()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Accept connections while the block runs, and yield the port."""
        self.passing.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """End every connection. What was swallowed is lost."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in random.sample(self._targets, len(self._targets)):
            with contextlib.suppress(OSError):
                theirs, to_them = await target()
                ends = {writer, to_them}
                self._open |= ends
                await asyncio.gather(self._pass(reader, to_them), self._pass(theirs, writer))
                self._open -= ends
                return
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay_s)
                await self.passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@dataclass
class Scene:
    """All that a fault may touch.

    Attributes:
        storage: The way of all processes to the server.
    """

    processes: list[crash.Served]
    storage: Proxy
    server: Any
    emulator: str
    http: httpx.AsyncClient
    dice: random.Random

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect to the database directly."""
        connection = await asyncpg.connect(self.server.get_uri())
        try:
            await connection.execute("SET search_path = linqbot")
            yield connection
        finally:
            await connection.close()

    async def advance(self, seconds: float) -> None:
        """Move the emulator's clock, and leave time for the retries that are due then."""
        await self.http.post(f"{self.emulator}/emulator/clock", json={"advance_s": seconds})
        await asyncio.sleep(1)


async def kill(scene: Scene) -> None:
    """End three processes, one after the other: workers with SIGKILL, receivers with SIGTERM.

    A message that a killed receiver was accepting may be overtaken, as docs/delivery.md says: another accepts the next one.
    """
    for process in scene.dice.sample(scene.processes, 3):
        await process.kill(signal.SIGTERM if process in scene.processes[:RECEIVERS] else signal.SIGKILL)
        await asyncio.sleep(scene.dice.uniform(0, 2))
        await process.start()


async def suspend(scene: Scene) -> None:
    """Suspend a worker until others have taken over its chats."""
    async with suspended(scene.dice.choice(scene.processes[RECEIVERS:]), scene.server.get_uri()):
        await asyncio.sleep(scene.dice.uniform(1, 20))


async def terminate(scene: Scene) -> None:
    """Let the server end all connections."""
    await end_connections(scene.server.get_uri())


async def swallow(scene: Scene) -> None:
    """Swallow what is sent to the server and by it. It arrives later, or its connection ends."""
    scene.storage.passing.clear()
    await asyncio.sleep(scene.dice.choice([3, 12, 40]))
    if scene.dice.random() < 0.5:
        scene.storage.cut()
    scene.storage.passing.set()


async def slow(scene: Scene) -> None:
    """Let each piece between processes and server be late."""
    scene.storage.delay_s = 0.1
    await asyncio.sleep(10)
    scene.storage.delay_s = 0.0


async def flap(scene: Scene) -> None:
    """End all connections to the server again and again."""
    for _ in range(8):
        scene.storage.cut()
        await asyncio.sleep(scene.dice.uniform(0.1, 2))


async def lock(scene: Scene) -> None:
    """Lock the table of deliveries for some seconds."""
    async with scene.connected() as connection, connection.transaction():
        await connection.execute("LOCK TABLE delivery IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(8)


async def restart(scene: Scene) -> None:
    """Stop the server in an orderly way, and start it."""
    await asyncio.to_thread(scene.server.stop)
    await asyncio.sleep(scene.dice.uniform(0, 5))
    await asyncio.to_thread(scene.server.start)


async def crash_server(scene: Scene) -> None:
    """End the server at once. It recovers from its log when it starts."""
    postmaster = scene.server.get_postmaster_info().process
    postmaster.send_signal(signal.SIGQUIT)
    await asyncio.to_thread(postmaster.wait)
    await asyncio.to_thread(scene.server.start)


async def leave(scene: Scene) -> None:
    """Receive nothing for 42 minutes, until Linq has given up.

    The emulator's clock moves on by that time, and what is stored is dated back by it, so that no one waits.
    """
    receivers, away_s = scene.processes[:RECEIVERS], 42 * 60
    await asyncio.gather(*(process.kill() for process in receivers))
    await asyncio.sleep(3)  # people go on
    for _ in range(away_s // 180):
        await scene.advance(180)
    async with scene.connected() as connection:
        await connection.execute(f"UPDATE meta SET value = value::float8 - {away_s} WHERE key = 'active_at'")
        recent = "SELECT seq FROM delivery WHERE received_at > extract(epoch FROM now()) - 1200"
        back = (
            f"UPDATE delivery SET received_at = received_at - {away_s} WHERE seq IN ({recent} FOR UPDATE SKIP LOCKED)"
        )
        while await connection.fetch(recent):
            await connection.execute(back)  # in steps: waiting for workers, which wait for others, ends in deadlocks
    for process in receivers:
        await process.start()


Fault: TypeAlias = Callable[[Scene], Coroutine[Any, Any, None]]
FAULT_S = 12
"""Seconds for which people write in each fault."""
FAULTS: Sequence[Fault] = (kill, suspend, terminate, swallow, slow, flap, lock, restart, crash_server, leave)


async def suffer(scene: Scene, faults: Sequence[Fault], arriving: asyncio.Task[None], report: crash.Report) -> None:
    """Let faults happen while messages arrive, and let Linq's retries come soon after."""
    for fault in faults:
        print(fault.__name__, "" if not arriving.done() else "(all was answered before)", file=sys.stderr)
        await fault(scene)
        report.kills += 1
        for process in scene.processes:
            await process.up(scene.http, "/readyz")
        await asyncio.sleep(scene.dice.uniform(0, 3))
    while not arriving.done():
        await scene.advance(15)


async def run(deliveries: int, kills: int, *, seed: int = 0, faults: Sequence[Fault] = ()) -> crash.Report:
    """Send `deliveries` and kill `kills` times while they arrive; or let faults happen, of which each counts as a kill."""
    report, began, dice = crash.Report(deliveries), time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="linqbot-fleet-") as own:
        place = Path(own)
        server = await asyncio.to_thread(start, place / "data")
        socket = parse_qs(urlsplit(server.get_uri()).query)["host"][0] + "/.s.PGSQL.5432"
        storage = Proxy(partial(asyncio.open_unix_connection, socket))
        emulator = crash.Served(place, "emulator", free_port(), "dev", "--no-bot")
        limits, linq = httpx.Limits(max_connections=64), f"{emulator.url}/api/partner"
        try:
            async with (
                crash.running(emulator),
                httpx.AsyncClient(timeout=300, trust_env=False, limits=limits) as http,
                storage.listening() as port,
                crash.fleet(
                    place,
                    crash.BOT,
                    ROLES,
                    storage=f"postgresql://postgres@127.0.0.1:{port}/postgres",
                    linq=linq,
                    # After some faults all chats ask at once: on a busy machine, the emulator may need longer than Linq.
                    **({"LINQBOT_ORDER_WAIT_S": "60"} if faults else {}),
                ) as processes,
                Proxy(
                    *(partial(asyncio.open_connection, *address(each)) for each in processes[:RECEIVERS])
                ).listening() as front,
            ):
                await emulator.up(http, "/emulator/state")
                chats = await crash.chats(http, emulator.url, -(-deliveries // crash.PER_CHAT))
                for process in processes:
                    await process.up(http, "/readyz")
                load: crash.Load | crash.People
                if faults:
                    await crash.subscribe(http, emulator.url, f"http://127.0.0.1:{front}", place)
                    await crash.send_first_message(http, emulator.url)
                    at_once = min(len(chats), crash.CHATS_AT_ONCE)
                    pause_s = 2 * FAULT_S * len(faults) * at_once / deliveries
                    load = crash.People(emulator.url, http, chats, deliveries, seed, pause_s=pause_s)
                    arriving = asyncio.create_task(crash.write_and_wait(load, http, emulator.url))
                    await suffer(Scene(processes, storage, server, emulator.url, http, dice), faults, arriving, report)
                else:
                    first, *others = [each.url for each in processes[:RECEIVERS]]
                    load = crash.Load(first, http, chats, deliveries, seed, others)
                    arriving = crash.begin(load)
                    await kill_now_and_then(processes, http, arriving, server.get_uri(), kills, dice, report)
                await arriving
                for process in processes:
                    await process.up(http, "/readyz")
                # Turns that a dead worker has left are handled when another notices its death.
                with contextlib.suppress(TimeoutError):
                    await crash.settled(http, processes[0].url)
                await crash.judge(report, load, processes[0], emulator, http)
        finally:
            await asyncio.to_thread(server.cleanup)
    report.seconds = time.monotonic() - began
    return report


def address(process: crash.Served) -> tuple[str, int]:
    """Return where a process listens."""
    host, _, port = process.url.removeprefix("http://").partition(":")
    return host, int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument(
        "--faults", type=int, default=0, metavar="ROUNDS", help="rounds of each fault, instead of kills"
    )
    parser.add_argument("--deliveries", type=int, help="default: 250 for each kill, 2,000 for each round of faults")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    deliveries = given.deliveries or 2000 * given.faults or 250 * given.kills
    faults = list(FAULTS) * given.faults
    random.Random(given.seed).shuffle(faults)
    report = asyncio.run(run(deliveries, given.kills, seed=given.seed, faults=faults))
    print(report)
    sys.exit(bool(report.lost or report.doubled or report.disordered))


if __name__ == "__main__":
    main()
