# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "aiohttp", "fastapi", "linq-python>=0.65,<0.66", "slack-bolt", "standardwebhooks"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# ///
"""Compares an echo on `linqbot serve` with the same bot on other frameworks: replies a second, CPU, latency.

    uv run benchmarks/versus.py
    uv run benchmarks/versus.py --rounds 5 --only linqbot,slack-bolt

The load comes from a C program, which also answers as the API (`echo_load.c`; needs a C compiler). A load generator in
Python is slower than some of the servers, and slows down most those that open many connections. Each table row shows
the share of its core that the load generator used. A sample in which it was busy for more than 85 % of the time, or in
which something else used the server's core, is taken again, and left out of the ratios if it stays so.

Each peer runs twice: as its documents write it, and tuned. Only ratios between rows of one run mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ports import free_port
from processes import (
    BOLT,
    BY_HAND,
    LOADER_BUSY,
    PLAIN,
    Cores,
    Program,
    cpu_s,
    machine_busy_s,
    rss_mib,
    run,
)
from signed import slack

CHATS = 1000
IN_FLIGHT = 64
STEADY_PER_S = 100
MARKER = "Hello! evt-%09d"
"""The text of the events. Replies are matched by the number, so each reply repeats the text."""


BOTS = (
    PLAIN,
    BY_HAND,
    Program("FastAPI + linq-python, tuned", "fastapi_tuned:app", needs="fastapi"),
    BOLT,
    Program("slack-bolt, tuned", "slack_bolt_tuned:app", send=slack, needs="slack_bolt"),
)


@dataclass(frozen=True)
class Sample:
    """One bot, measured once.

    Attributes:
        cpu_us: CPU of the server per reply, in µs, all threads.
        p99_ms: From an event to its reply, at `STEADY_PER_S` events a second.
        loader: Share of its core that the load generator used.
        noise: Share of the server's core that other programs used.
        faults: Lost, doubled, unordered or refused events; empty when there were none.
    """

    per_s: float
    cpu_us: float
    p99_ms: float
    rss_mib: float
    loader: float
    noise: float
    faults: str = ""

    @property
    def is_fair(self) -> bool:
        """Return True if neither the load generator nor another program limited the server."""
        return self.loader <= LOADER_BUSY and not self.noise > 0.12


@dataclass
class Comparison:
    """The samples of each bot.

    Args:
        folder: For databases, so it should be on a real disk.
    """

    folder: Path
    cores: Cores
    seconds: float
    samples: dict[Program, list[Sample]] = field(default_factory=dict)

    def build(self) -> None:
        """Compile the load generator.

        Raises:
            SystemExit: there is no C compiler.
        """
        source = Path(__file__).with_name("echo_load.c")
        try:
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", self.folder / "echo_load", source], check=True)
        except FileNotFoundError:
            sys.exit("There is no C compiler. Install gcc or clang, or name one in CC.")

    async def sample(self, bot: Program) -> Sample:
        """Measure a bot once, in a fresh process with an empty database."""
        taken = await self._once(bot)
        return taken if taken.is_fair else await self._once(bot)

    async def _once(self, bot: Program) -> Sample:
        api = free_port()
        async with bot.serving(api, self.folder, self.cores) as served:
            most = 1 + round(9000 * (self.seconds + 1))  # events of one load
            requests = self._requests(bot, 2 * most + round(STEADY_PER_S * (self.seconds + 3)))
            load = partial(self._load, bot, served.port, api, requests)
            await load("--first", "0", "--seconds", "0.2", "--warmup", "0.3", "--inflight", "8")
            server, core = cpu_s(served.pid), machine_busy_s(self.cores.server)
            seconds = ("--seconds", str(self.seconds))
            echo = await load("--first", str(most), *seconds, "--inflight", str(IN_FLIGHT))
            server = cpu_s(served.pid) - server
            noise = (machine_busy_s(self.cores.server) - core - server) / (self.seconds + 1)
            steady = await load("--first", str(2 * most), *seconds, "--rate", str(STEADY_PER_S))
            memory = rss_mib(served.pid)
        return Sample(
            per_s=echo["replied_per_s"],
            cpu_us=server / max(echo["acked"], 1) * 1e6,
            p99_ms=(steady["e2e_ms"] or {"p99": float("nan")})["p99"],
            rss_mib=memory,
            loader=echo["loadgen_cpu"],
            noise=max(noise, 0.0),
            faults=_faults(echo) or _faults(steady),
        )

    def _requests(self, bot: Program, count: int) -> Path:
        """Write signed requests in the form that the load generator reads; signatures are good for five minutes."""
        deliveries = bot.send(chats=CHATS, text=MARKER)
        path = self.folder / "requests"
        with path.open("wb") as file:
            for delivery in islice(deliveries, count):
                file.write(struct.pack("<I", len(delivery.request)) + delivery.request)
        return path

    async def _load(self, bot: Program, port: int, api: int, requests: Path, *options: str) -> dict[str, Any]:
        responses = self.folder / "responses"
        responses.write_text("\n".join(_SLACK_RESPONSES if bot.send is slack else _LINQ_RESPONSES) + "\n")
        command = [
            str(self.folder / "echo_load"),
            "--requests",
            str(requests),
            "--port",
            str(port),
            "--chats",
            str(CHATS),
        ]
        command += ["--sink", str(api), "--canned", str(responses), "--connections", "64", *options]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{bot.name}: {err.decode()}")
        found: dict[str, Any] = json.loads(out)
        return found


def _faults(found: dict[str, Any]) -> str:
    names = ("non_2xx", "conn_errors", "missing", "duplicates", "out_of_order", "unmatched")
    return ", ".join(f"{found[name]} {name}" for name in names if found[name])


_SENT = {
    "chat_id": "c4a70000-0000-4000-8000-000000000000",
    "message": {
        "id": "69a37c7d-af4f-4b5e-af42-e28e98ce873a",
        "created_at": "2026-11-20T05:00:00.000Z",
        "delivery_status": "pending",
        "is_read": False,
        "parts": [{"type": "text", "value": "Hello!", "reactions": None, "text_decorations": None}],
        "sent_at": None,
        "delivered_at": None,
        "effect": None,
        "from_handle": None,
        "preferred_service": "iMessage",
        "reply_to": None,
        "service": "iMessage",
    },
}
_POSTED = {
    "ok": True,
    "channel": "D000000001",
    "ts": "1793900000.000100",
    "message": {"type": "message", "text": "Hello!"},
}
_IDENTITY = {"ok": True, "team": "T", "user": "echo", "team_id": "T000000001", "user_id": "U00000BOT1", "bot_id": "B1"}
_LINQ_RESPONSES = (f"/v3/chats/\t202 Accepted\t{json.dumps(_SENT)}",)
_SLACK_RESPONSES = (
    f"auth.test\t200 OK\t{json.dumps(_IDENTITY)}",
    f"chat.postMessage\t200 OK\t{json.dumps(_POSTED)}",
)
"""Path, status and body of each response, separated by tabs. The last line is the call that counts as the reply."""


def report(samples: dict[Program, list[Sample]]) -> str:
    """Return the table in Markdown: medians, with the least and the most of the rounds."""
    rows = [
        "| | replies/s | server's CPU per reply, µs | reply p99 at 100/s, ms | RSS, MiB | loader's core | linqbot is |"
    ]
    rows.append("| --- | --- | --- | --- | --- | --- | --- |")
    ours = next((found for bot, found in samples.items() if bot is BOTS[0]), [])
    notes = []
    for bot, taken in samples.items():
        fair = [sample for sample in taken if sample.is_fair] or taken
        cells = [
            _spread([getattr(sample, name) for sample in fair]) for name in ("per_s", "cpu_us", "p99_ms", "rss_mib")
        ]
        loader = f"{statistics.median(sample.loader for sample in fair):.0%}"
        ratios = [
            own.per_s / other.per_s for own, other in zip(ours, taken, strict=False) if own.is_fair and other.is_fair
        ]
        times = f"{min(ratios):.2f} to {max(ratios):.2f} ×" if ratios and bot is not BOTS[0] else ""
        rows.append(f"| {bot.name} | {' | '.join([*cells, loader, times])} |")
        unfair = len([sample for sample in taken if not sample.is_fair])
        if unfair:
            notes.append(
                f"{bot.name}: {unfair} of {len(taken)} samples were limited by something else than the server."
            )
        notes += [f"{bot.name}: {sample.faults}." for sample in taken if sample.faults]
    return "\n".join([*rows, "", *notes]).rstrip()


def _spread(values: Sequence[float]) -> str:
    digits = 0 if statistics.median(values) >= 20 else 2
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


async def compare(bots: Sequence[Program], rounds: int, comparison: Comparison) -> None:
    """Measure every bot once in each round, so that a round's rows are minutes apart at most."""
    comparison.build()
    with comparison.cores.ours():
        for number in range(rounds):
            for bot in bots:
                if sys.stderr.isatty():
                    print(f"round {number + 1} of {rounds}: {bot.name} …", file=sys.stderr)
                comparison.samples.setdefault(bot, []).append(await comparison.sample(bot))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="An echo on linqbot and on other frameworks, under the same load.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one sample")
    parser.add_argument("--only", default="", help="names of bots, separated by commas")
    given = parser.parse_args(arguments)
    names = {name.strip() for name in given.only.split(",") if name.strip()}
    bots = [bot for bot in BOTS if bot.is_here and (not names or bot.name in names)]
    with tempfile.TemporaryDirectory(prefix="linqbot-versus-") as folder:
        comparison = Comparison(Path(folder), Cores(), given.seconds)
        run(compare(bots, given.rounds, comparison))
    print(report(comparison.samples))


if __name__ == "__main__":
    main()
