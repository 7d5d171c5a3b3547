"""Kills and suspends the processes of a bot on PostgreSQL at random moments under load, and counts what was lost, doubled or
out of order.

    uv run --all-packages python benchmarks/crash_fleet.py --kills 200 --deliveries 50000

Two processes receive and three work, on a PostgreSQL server of their own with fsync on. Signed deliveries of many chats go
to the receivers, each attempt to one of them; those of a chat are sent in order, some of them twice at once. SIGKILL ends
one of the five processes at a time, or the server ends the connections of all of them, or SIGSTOP suspends a worker until
others have taken over its chats. At the end, every chat at the emulator must show every number once, in the order in which
it was written.
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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import crash
import httpx
from ports import free_port

from linqbot.storage.postgres.address import Address

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
    table, queue = f'"{address.schema}".delivery', f"pgmq.q_{address.schema}"
    connection = await asyncpg.connect(address.dsn)
    try:
        sql = f"SELECT token FROM {table} WHERE token IS NOT NULL"
        before = {row["token"] for row in await connection.fetch(sql)}
        await asyncio.sleep(0.7)
        stay = before & {row["token"] for row in await connection.fetch(sql)}
        # Rows that are locked belong to a transaction in which the process was suspended. The server ends it later.
        await connection.execute(
            f"""UPDATE {queue} SET vt = now() WHERE msg_id IN (
                    SELECT msg_id FROM {queue} JOIN {table} ON seq = msg_id
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


async def run(deliveries: int, kills: int, *, seed: int = 0) -> crash.Report:
    """Send `deliveries` and kill `kills` times while they arrive."""
    report, began, dice = crash.Report(deliveries), time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="linqbot-fleet-") as own:
        place = Path(own)
        server = await asyncio.to_thread(start, place / "data")
        database = server.get_uri()
        emulator = crash.Served(place, "emulator", free_port(), "emulator")
        limits, linq = httpx.Limits(max_connections=64), f"{emulator.url}/api/partner"
        try:
            async with (
                crash.running(emulator),
                httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as http,
                crash.fleet(place, crash.BOT, ROLES, storage=database, linq=linq) as processes,
            ):
                await emulator.up(http, "/emulator/state")
                chats = await crash.chats(http, emulator.url, -(-deliveries // crash.PER_CHAT))
                for process in processes:
                    await process.up(http, "/readyz")
                first, *others = [each.url for each in processes[:RECEIVERS]]
                load = crash.Load(first, http, chats, deliveries, seed, others)
                arriving = crash.begin(load)
                await kill_now_and_then(processes, http, arriving, database, kills, dice, report)
                await arriving
                for process in processes:
                    await process.up(http, "/readyz")
                # Turns that a dead worker has left are handled when another notices its death.
                with contextlib.suppress(TimeoutError):
                    await crash.settled(http, processes[0].url)
                report.posts = load.posts
                said = await crash.replies(http, emulator.url)
                for chat, numbers in load.said.items():
                    crash.compare(report, chat, numbers, said[chat])
        finally:
            await asyncio.to_thread(server.cleanup)
    report.seconds = time.monotonic() - began
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--deliveries", type=int, help="default: 250 for each kill")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = asyncio.run(run(given.deliveries or 250 * given.kills, given.kills, seed=given.seed))
    print(report)
    sys.exit(bool(report.lost or report.doubled or report.disordered))


if __name__ == "__main__":
    main()
