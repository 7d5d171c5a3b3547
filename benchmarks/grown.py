# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "linqbot-operator"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# linqbot-operator = { path = "../plugins/linqbot-operator", editable = true }
# ///
"""Checks that what is done for one person costs what that person has, and not what the file has.

    uv run benchmarks/grown.py                  # files of 10 and 250 MB
    uv run benchmarks/grown.py --largest --save # and of 2.5 GB: needs 10 GB of disk

Makes files with the history of a bot, serves an echo bot on each under a light load, and runs the commands of operators and loads
views of the operator's page next to it. Each figure is also printed as a ratio to that of the smallest file. The exit code is 1 if a delivery was refused, or if a ratio
is above its limit: `LIMITS`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from fake_api import FakeApi
from loader import Paced
from ports import free_port
from processes import PEERS, Cores, Served, linq_environ, linqbot, run, serving
from results import Conditions, save
from signed import Delivery as Signed
from signed import linq, linq_chat

from linqbot.events import Delivery
from linqbot.storage import people, tally
from linqbot.storage.dialect import drive
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.journal import JournalEntry
from linqbot.storage.outcomes import OutcomeRow
from linqbot.storage.sqlite import lanes
from linqbot.storage.sqlite.storage import SQLiteStorage

LIMITS: Final = {
    "forget": 3.0,
    "person show": 2.0,
    "why": 2.0,
    "waiting list": 2.0,
    "start": 2.0,
    "page, chats": 2.0,
    "page, chat": 2.0,
    "page, troubles": 2.0,
    "page, day": 2.0,
    "acks p99 in forget ÷ idle": 3.0,
    "acks p99 in purge ÷ idle": 3.0,
}
"""The highest ratio of each figure to that of the smallest file; of acks, to those of the idle server."""

MESSAGES_OF_A_PERSON: Final = 7
_ROW_BYTES: Final = 3500
"""Bytes of the file for each message: of its webhook, its call, its outcome and its ids."""
_DEAD_EACH: Final = 50
_DAY_S: Final = 86_400.0
_USER: Final = "X-Forwarded-User"


@dataclass
class Figures:
    """The measurements on one file."""

    megabytes: float
    seconds: dict[str, float] = field(default_factory=dict)
    acks_ms: dict[str, tuple[float, float]] = field(default_factory=dict)  # p50 and p99, by what ran meanwhile
    refused: int = 0


def handle_of(number: int) -> str:
    return f"+1415{number:07d}"


def made(path: Path, size: int) -> int:
    """Make a file of about `size` bytes, and return the number of its people: a row of each table, repeated."""
    messages = max(size // _ROW_BYTES, 200)
    count = messages // MESSAGES_OF_A_PERSON
    run(_first_rows(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        old = time.time() - 40 * _DAY_S
        for table, rows in (
            ("done", messages),
            ("journal", messages),
            ("outcome", messages),
            ("dead", messages // _DEAD_EACH),
        ):
            _repeat(db, table, _changes(table, rows, count, old))
        db.execute("DELETE FROM named")
        tx = lanes.outside(db, time.time())
        drive(people.mark_unfilled(tx))
        for _ in range(messages // 20_000 + 1):
            drive(tally.add(tx))  # as a server has done each minute
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


async def _first_rows(path: Path) -> None:
    async with SQLiteStorage(path, keep_days=30) as storage:
        for end in (Ack(), DeadLetter("ValueError: no", "echo")):
            of = Delivery.from_webhook(_body(next(linq(chats=1))), webhook_id="w", received_at=time.time())
            await storage.put(of)
            (lease,) = await storage.take(1, lease_s=60)
            entries = [
                JournalEntry(
                    of.id, 0, "0", of.id, "keyed", b"{}", "accepted", time.time(), b"{}", "m", "c", origin=b"{}"
                )
            ]
            record = OutcomeRow(of.id, of.lane, of.type, None, None, of.received_at, "handled", "echo")
            await storage.finish(lease, Commit(end, entries if isinstance(end, Ack) else [], record=record))


def _body(delivery: Signed) -> bytes:
    return delivery.request.partition(b"\r\n\r\n")[2]


def _changes(table: str, rows: int, count: int, old: float) -> Iterator[dict[str, Any]]:
    """Yield what differs in each row of a table from the first one."""
    since = time.time() - 6 * _DAY_S
    for n, delivery in zip(range(rows), linq(chats=count), strict=False):
        at, turn, person = since + 5 * _DAY_S * n / rows, f"w.{uuid.UUID(int=n)}", n % count
        path = f"/v3/chats/{delivery.chat}/messages"
        match table:
            case "journal":
                call = {"noun": "chats.messages", "verb": "send", "method": "POST", "path": path, "safety": "keyed"}
                origin = {"handles": [handle_of(person)], "chat_id": delivery.chat, "is_group": False}
                yield {
                    "turn": turn, "key": f"lb{uuid.uuid4().hex}", "call": _json(call), "origin": _json(origin),
                    "chat_id": delivery.chat, "message_id": str(uuid.uuid4()), "first_at": at, "ended_at": at,
                }  # fmt: skip
            case "outcome":
                yield {"delivery": turn, "lane": f"c:{delivery.chat}", "received_at": at, "ended_at": at, "ms": 5.0}
            case "dead":
                times = {"received_at": old, "dead_lettered_at": old + n}
                yield {"id": f"w.dead-{n}", "lane": f"c:{delivery.chat}", "body": _body(delivery), **times}
            case _:
                yield {
                    "id": turn,
                    "lane": f"c:{delivery.chat}",
                    "body": _body(delivery),
                    "received_at": at,
                    "acked_at": at,
                }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _repeat(db: sqlite3.Connection, table: str, changes: Iterator[dict[str, Any]]) -> None:
    row = dict(db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone())
    for own in {"n", "message_key"} & row.keys():
        del row[own]
    db.execute(f"DELETE FROM {table}")
    values = ", ".join(f":{name}" for name in row)
    db.executemany(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", (row | each for each in changes))


class Bot:
    """An echo bot that serves a file, and the commands of operators next to it."""

    def __init__(self, path: Path, api_port: int, cores: Cores) -> None:
        self._path, self._cores, self._port = path, cores, free_port()
        self._page_port = free_port()
        self._environ = {
            **linq_environ(api_port, path),
            "LINQBOT_KEEP_DAYS": "30",
            "LINQBOT_PLUGINS": "operator",
            "LINQBOT_PAGE": "true",
            "LINQBOT_PAGE_PORT": str(self._page_port),
            # This program is the proxy that knows who looks.
            "LINQBOT_PAGE_USER_HEADER": _USER,
            "LINQBOT_TRUSTED_PROXIES": "127.0.0.1",
        }
        command = linqbot("serve", f"{PEERS / 'linqbot_echo.py'}:plain", "--port", str(self._port))
        self.served = Served(command, port=self._port, folder=path.parent, environ=self._environ)
        self.load = Paced(self._port, per_s=PER_S)

    async def command(self, *words: str) -> float:
        """Run a command, and return its seconds. Raises RuntimeError if it fails."""
        # Without a key: Linq is not asked for the chats of a person.
        environ = {**os.environ, **self._environ, "LINQ_API_V3_API_KEY": ""}
        started = time.perf_counter()
        work = partial(
            subprocess.run, linqbot(*words), env=environ, cwd=self._path.parent, capture_output=True, text=True
        )
        done = await asyncio.to_thread(work)
        if done.returncode:
            raise RuntimeError(f"linqbot {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return time.perf_counter() - started

    async def view(self, path: str) -> float:
        """Load a view of the operator's page, and return its seconds. Raises httpx.HTTPStatusError if it is refused."""
        headers = {_USER: "dana"}
        base_url = f"http://127.0.0.1:{self._page_port}"
        async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=60, trust_env=False) as browser:
            started = time.perf_counter()
            (await browser.get(path)).raise_for_status()
            return time.perf_counter() - started

    async def during(self, work: Awaitable[object]) -> tuple[float, float]:
        """Wait for work, and return p50 and p99 of the acks of the deliveries that were acknowledged meanwhile, in ms."""
        first = len(self.load.acks_s)
        await work
        acks = sorted(self.load.acks_s[first:]) or [0.0]
        return acks[len(acks) // 2] * 1000, acks[len(acks) * 99 // 100] * 1000


PER_S: Final = 40.0


async def measured(path: Path, count: int, cores: Cores, idle_s: float) -> Figures:
    figures = Figures(path.stat().st_size / 1e6)  # noqa: ASYNC240 - nothing is measured now
    async with FakeApi() as api:
        bot = Bot(path, api.port, cores)
        # The first start makes indexes, and the first command the index of people, once for each file.
        started = time.perf_counter()
        async with serving(bot.served, cores):
            await bot.command("person", "show", handle_of(0))
        figures.seconds["index of people, once"] = time.perf_counter() - started
        started = time.perf_counter()
        async with serving(bot.served, cores):
            figures.seconds["start"] = time.perf_counter() - started
            loading = asyncio.create_task(bot.load.run(linq(chats=50, first_chat=5_000_000), seconds=3600))
            await asyncio.sleep(2)  # the first turns import modules
            figures.acks_ms["idle"] = await bot.during(asyncio.sleep(idle_s))
            await _commands(bot, count, figures)
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
        figures.refused = bot.load.refused
    return figures


async def _commands(bot: Bot, count: int, figures: Figures) -> None:
    rows: dict[str, Callable[[int], Awaitable[float]]] = {
        "person show": lambda n: bot.command("person", "show", handle_of(count // 2 + n)),
        "why": lambda n: bot.command("why", linq_chat(count // 2 + n)),
        "waiting list": lambda _: bot.command("waiting", "list"),
        "page, chats": lambda _: bot.view("/"),
        "page, chat": lambda n: bot.view(f"/chats/{linq_chat(count // 2 + n)}"),
        "page, troubles": lambda _: bot.view("/troubles"),
        "page, day": lambda _: bot.view("/day"),
        "forget": lambda n: bot.command("person", "forget", handle_of(count // 2 + n), "--yes"),
    }
    for name, timed in rows.items():
        # A view takes milliseconds: three would say more of the machine than of the file.
        runs = 15 if name.startswith("page") else 3
        figures.acks_ms[name] = await bot.during(_repeated(name, timed, runs, figures))

    async def purge() -> None:
        figures.seconds["purge"] = await bot.command("storage", "purge", "--before", "30d", "--yes")

    figures.acks_ms["purge"] = await bot.during(purge())


async def _repeated(name: str, timed: Callable[[int], Awaitable[float]], runs: int, figures: Figures) -> None:
    figures.seconds[name] = statistics.median([await timed(n) for n in range(runs)])


def ratios(all_figures: Sequence[Figures]) -> dict[str, list[float]]:
    """Return the ratio of each figure of each file to that of the smallest; of acks, to those of the idle server."""
    smallest = all_figures[0]
    found = {name: [each.seconds[name] / smallest.seconds[name] for each in all_figures] for name in smallest.seconds}
    for name in ("forget", "purge"):
        found[f"acks p99 in {name} ÷ idle"] = [each.acks_ms[name][1] / each.acks_ms["idle"][1] for each in all_figures]
    return found


def printed(all_figures: Sequence[Figures]) -> str:
    lines = [f"{'':<28}" + "".join(f"{each.megabytes:>12,.0f} MB" for each in all_figures)]
    first = all_figures[0]
    lines += [
        f"{f'{name}, s':<28}" + "".join(f"{each.seconds[name]:>15.3f}" for each in all_figures)
        for name in first.seconds
    ]
    for name in first.acks_ms:
        acks = "".join(f"{f'{p50:.1f} / {p99:.1f}':>15}" for p50, p99 in (each.acks_ms[name] for each in all_figures))
        lines += [f"{f'acks, {name}, p50/p99 ms':<28}{acks}"]
    lines.append(f"{'refused deliveries':<28}" + "".join(f"{each.refused:>15}" for each in all_figures))
    for name, values in ratios(all_figures).items():
        limit = f"  at most {LIMITS[name]:g}" if name in LIMITS else ""
        lines.append(f"{name + ', ratio':<36}" + "".join(f"{value:>10.2f}" for value in values) + limit)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Check that a person's commands do not cost more in a larger file.")
    parser.add_argument("--largest", action="store_true", help="also a file of 2.5 GB")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 250], help="the sizes of the files")
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    parser.add_argument("--save", action="store_true", help="keep the figures in results/")
    parser.add_argument("--folder", type=Path, help="where the files are written")
    given = parser.parse_args(arguments)
    conditions, cores, all_figures = Conditions.now(), Cores(), list[Figures]()
    for megabytes in [*given.megabytes, *([2500] if given.largest else [])]:
        with tempfile.TemporaryDirectory(prefix="linqbot-grown-", dir=given.folder) as folder:
            count = made(Path(folder) / "bot.db", megabytes * 1_000_000)
            all_figures.append(run(measured(Path(folder) / "bot.db", count, cores, given.idle_seconds)))
    print(printed(all_figures))
    if given.save:
        save("grown", conditions, [asdict(each) for each in all_figures])
    is_over = any(max(values) > LIMITS.get(name, math.inf) for name, values in ratios(all_figures).items())
    sys.exit(is_over or any(each.refused for each in all_figures))


if __name__ == "__main__":
    main()
