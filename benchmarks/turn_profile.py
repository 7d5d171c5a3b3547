# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# ///
"""Profiles the CPU time of one turn: samples `linqbot serve` under the echo load, and reports each room of the package.

    uv run benchmarks/turn_profile.py
    uv run benchmarks/turn_profile.py --bot mannered --lines 40

Every few milliseconds of its CPU time the process records its stack. A sample counts for the innermost room of linqbot, or
library, on the stack; time in the standard library and in C counts for their caller. Sampling slows a turn by a few per
cent. cProfile would double the time, and distort code with many small functions most.

Trust the rooms more than the lines. Python handles a sample when it next enters a function or returns from C. So the
event loop's work in C, and the work of the thread that waits for the disk, count for the code that runs next.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fake_api import FakeApi
from loader import ClosedLoop
from ports import free_port
from processes import PEERS, Cores, Served, cpu_s, linq_environ, run, serving
from signed import linq

import linqbot

EVERY_S = 0.001
LIBRARIES = ("httpx", "httpcore", "pydantic", "starlette", "structlog", "uvicorn")
IN_FLIGHT = 64

_HOUSE = Path(linqbot.__file__).parent
_SAMPLED = "--sample-into"


@dataclass
class Profile:
    """The result of a profile.

    Attributes:
        turn_us: CPU time of one turn, in µs, over all threads.
        rooms: Samples by room or library.
        lines: Samples by the line of linqbot or a library that ran, or that called the running code.
    """

    turns: int
    turn_us: float
    rooms: Counter[str]
    lines: Counter[str]

    def table(self, lines: int) -> str:
        """Return the costs of a turn as Markdown tables."""
        summary = f"{self.turns} turns, {self.turn_us:.0f} µs of CPU each, {self.rooms.total()} samples"
        return "\n\n".join([summary, self._table("room", self.rooms), self._table("line", self.lines, lines)])

    def _table(self, what: str, counted: Counter[str], most: int | None = None) -> str:
        every = counted.total()
        rows = [f"| {what} | % | µs a turn |", "|---|---|---|"]
        for name, count in counted.most_common(most):
            rows.append(f"| {name} | {count / every:.1%} | {count / every * self.turn_us:.0f} |")
        return "\n".join(rows)


async def profile(folder: Path, cores: Cores, *, bot: str, seconds: float) -> Profile:
    """Serve a bot of `peers/linqbot_echo.py` under full load for `seconds`."""
    port, found = free_port(), folder / "samples.json"
    serve = ["serve", f"{PEERS / 'linqbot_echo.py'}:{bot}", "--port", str(port)]
    command = [sys.executable, __file__, _SAMPLED, str(found), *serve]
    async with FakeApi() as api:
        server = Served(command, port=port, folder=folder, environ=linq_environ(api.port, folder / "profile.db"))
        async with serving(server, cores) as served:
            deliveries = linq(chats=2000)
            load = ClosedLoop(port, deliveries, in_flight=IN_FLIGHT, replies=None if bot == "silent" else api)
            warm = await load.run(seconds=min(0.5, seconds))
            deliveries.prepare(round(warm.per_s * seconds))
            served.send_signal(signal.SIGUSR1)
            before = cpu_s(served.pid)
            done = await load.run(seconds=seconds)
            used = cpu_s(served.pid) - before
            served.send_signal(signal.SIGUSR1)
    counted = json.loads(found.read_text())
    return Profile(done.turns, used / max(done.turns, 1) * 1e6, Counter(counted["rooms"]), Counter(counted["lines"]))


class Sampler:
    """Samples the stack of this process, from one SIGUSR1 to the next."""

    def __init__(self) -> None:
        self.rooms: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self._owners: dict[str, str | None] = {}
        self._is_on = False
        self._is_counting = False

    def install(self) -> None:
        """Install the signal handlers."""
        signal.signal(signal.SIGUSR1, self._switch)
        signal.signal(signal.SIGPROF, self._sample)

    def _switch(self, _: int, __: FrameType | None) -> None:
        self._is_on = not self._is_on
        every_s = EVERY_S if self._is_on else 0.0
        signal.setitimer(signal.ITIMER_PROF, every_s, every_s)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        # On a busy machine the next signal may arrive while this one is counted, and one of the two counts would be lost.
        if not self._is_counting:
            self._is_counting = True
            self._count(frame)
            self._is_counting = False

    def _count(self, frame: FrameType | None) -> None:
        while frame is not None:
            code = frame.f_code
            owner = self._owner(code.co_filename)
            if owner is not None:
                self.rooms[owner] += 1
                self.lines[f"{_short(Path(code.co_filename))}:{frame.f_lineno} {code.co_name}"] += 1
                return
            frame = frame.f_back
        self.rooms["event loop"] += 1

    def _owner(self, file: str) -> str | None:
        if file not in self._owners:
            self._owners[file] = _room(Path(file))
        return self._owners[file]


def _room(file: Path) -> str | None:
    """Return the room or library that a file belongs to; None if its time counts for the caller."""
    if file.is_relative_to(PEERS):
        return "the bot"
    if file.is_relative_to(_HOUSE):
        room = file.relative_to(_HOUSE).parts[0].removesuffix(".py")
        # The command that runs the event loop is at the bottom of every stack.
        return None if room in {"cli", "__main__"} else f"linqbot.{room}"
    library = next((part for part in reversed(file.parts) if part in LIBRARIES), None)
    return None if library == "uvicorn" and file.name in {"_compat.py", "server.py"} else library


def _short(file: Path) -> str:
    """Return the path, starting at the package."""
    start = max((place for place, part in enumerate(file.parts) if part in {"linqbot", *LIBRARIES}), default=-1)
    return "/".join(file.parts[start:])


def _serve_sampled(found: Path, arguments: Sequence[str]) -> None:
    from linqbot.cli.main import main

    sampler = Sampler()
    sampler.install()
    try:
        main(list(arguments), standalone_mode=False)
    finally:
        found.write_text(json.dumps({"rooms": sampler.rooms, "lines": sampler.lines}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Profile the CPU time of one turn.")
    parser.add_argument("--bot", default="plain", help="plain, mannered (read and typing on) or silent (no handler)")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--lines", type=int, default=25, help="how many lines to show")
    given = parser.parse_args(arguments)
    cores = Cores()
    with tempfile.TemporaryDirectory(prefix="linqbot-profile-") as folder, cores.ours():
        found = run(profile(Path(folder), cores, bot=given.bot, seconds=given.seconds))
    print(found.table(given.lines))


if __name__ == "__main__":
    if sys.argv[1:2] == [_SAMPLED]:
        _serve_sampled(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
