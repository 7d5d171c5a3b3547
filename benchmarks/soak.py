# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# ///
"""Checks that `linqbot serve` does not grow: an echo bot under constant load, measured every two seconds.

    uv run benchmarks/soak.py --minutes 10

After a warm-up of a tenth of the time, memory, open files, threads and the write-ahead log are compared between the first
and the last third. The exit code is 1 if one of them has grown, or if a delivery was not answered.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fake_api import FakeApi
from loader import Paced
from ports import free_port
from processes import PEERS, Cores, Served, linq_environ, linqbot, open_files, rss_mib, run, serving, threads
from signed import linq

CHATS = 600


@dataclass
class Series:
    """A measured value that must not grow.

    Attributes:
        allowed: Growth that is allowed from the first to the last third, in addition to 5 %.
    """

    name: str
    allowed: float
    read: Callable[[], float]
    at_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def look(self, now_s: float) -> None:
        """Record the current value."""
        self.at_s.append(now_s)
        self.values.append(self.read())

    @property
    def first(self) -> float:
        """The median of the first third, after the warm-up."""
        warm = self._warm
        return statistics.median(warm[: math.ceil(len(warm) / 3)])

    @property
    def last(self) -> float:
        """The median of the last third."""
        warm = self._warm
        return statistics.median(warm[-math.ceil(len(warm) / 3) :])

    @property
    def per_hour(self) -> float:
        """Growth per hour: the slope of a straight line through the values."""
        start = len(self.values) - len(self._warm)
        if len(self._warm) < 2:
            return math.nan
        return statistics.linear_regression(self.at_s[start:], self._warm).slope * 3600

    @property
    def is_flat(self) -> bool:
        """True if the value has not grown, or could not be read."""
        return not self.last > self.first * 1.05 + self.allowed

    @property
    def _warm(self) -> list[float]:
        return self.values[len(self.values) // 10 :]


@dataclass
class Report:
    """The result of a run."""

    seconds: float
    sent: int
    refused: int
    replies: int
    series: list[Series]

    @property
    def is_good(self) -> bool:
        """True if no value grew and every delivery was answered."""
        return not self.refused and self.replies == self.sent and all(series.is_flat for series in self.series)

    def __str__(self) -> str:
        summary = f"{self.sent} deliveries in {self.seconds:.0f} s, {self.refused} refused, {self.replies} replies"
        lines = [summary, f"{'':<14}{'first third':>12}{'last third':>12}{'an hour':>12}"]
        for series in self.series:
            numbers = f"{series.first:>12.1f}{series.last:>12.1f}{series.per_hour:>+12.1f}"
            lines.append(f"{series.name:<14}{numbers}  {'flat' if series.is_flat else 'GROWS'}")
        return "\n".join(lines)


async def soak(folder: Path, cores: Cores, *, seconds: float, per_s: float, every_s: float = 2.0) -> Report:
    """Send `per_s` deliveries a second for `seconds`, and measure every `every_s` seconds."""
    port, database = free_port(), folder / "soak.db"
    command = linqbot("serve", f"{PEERS / 'linqbot_echo.py'}:mannered", "--port", str(port))
    async with FakeApi() as api:
        server = Served(command, port=port, folder=folder, environ=linq_environ(api.port, database))
        async with serving(server, cores) as served:
            load = Paced(port, per_s=per_s, connections=8)
            looked = _series(served, database)
            looking = asyncio.create_task(_look(served, looked, every_s))
            started = time.perf_counter()
            try:
                await load.run(linq(chats=CHATS), seconds=seconds)
            finally:
                looking.cancel()
            taken = time.perf_counter() - started
            await _replies(api, len(load.acks_s))
        return Report(taken, len(load.acks_s), load.refused, api.calls["send"], looked)


def _series(served: Served, database: Path) -> list[Series]:
    wal = database.with_name(database.name + "-wal")
    return [
        Series("RSS, MiB", 2, lambda: rss_mib(served.pid)),
        # The pool of connections to Linq keeps as many as were ever needed at once, and a busy machine needs more. A
        # leak of one file in 500 turns is still found.
        Series("open files", 60, lambda: open_files(served.pid)),
        Series("threads", 1, lambda: threads(served.pid)),
        Series("WAL, MiB", 1, lambda: wal.stat().st_size / 2**20 if wal.exists() else 0.0),
    ]


async def _look(served: Served, looked: list[Series], every_s: float) -> None:
    started = time.perf_counter()
    while True:
        served.check_alive()
        for series in looked:
            series.look(time.perf_counter() - started)
        if sys.stderr.isatty():
            now = ", ".join(f"{series.name} {series.values[-1]:.1f}" for series in looked)
            print(f"\r{time.perf_counter() - started:6.0f} s: {now} ", end="", file=sys.stderr)
        await asyncio.sleep(every_s)


async def _replies(api: FakeApi, wanted: int) -> None:
    """Wait for the last replies, at most 10 s: the report shows how many are missing."""
    for _ in range(100):
        if api.calls["send"] >= wanted:
            break
        await asyncio.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Check that linqbot serve does not grow under load.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=50.0, help="deliveries a second")
    parser.add_argument("--folder", type=Path, help="where the database is written")
    given = parser.parse_args(arguments)
    cores = Cores()
    with tempfile.TemporaryDirectory(prefix="linqbot-soak-", dir=given.folder) as folder, cores.ours():
        report = run(soak(Path(folder), cores, seconds=given.minutes * 60, per_s=given.rate))
    print(report)
    sys.exit(not report.is_good)


if __name__ == "__main__":
    main()
