"""Processes under measurement: started on a separate core, measured, and stopped gracefully.

Pinning and measuring need Linux. On other systems programs run unpinned, and a value that cannot be read is NaN.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from ports import free_port
from signed import SECRET, SLACK_SECRET, Deliveries, linq, slack

PEERS = Path(__file__).with_name("peers")
_PROC = Path("/proc")

LOADER_BUSY = 0.85
"""Share of the time. A load generator that is busy for longer is what was measured, and the reports say so."""

T = TypeVar("T")


class Cores:
    """One core for the program under measurement, another for the benchmark: the loader and the fake API.

    With only one core, or on a system without CPU affinity, nothing is pinned, and `note` says so.
    """

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
        self._allowed = set(allowed)
        self._server, self._loader = ({allowed[-1]}, {allowed[0]}) if len(allowed) > 1 else (set(), set())
        self.note = "" if self._server else "Not pinned: there is one core only, or no way to choose one."

    @property
    def server(self) -> set[int]:
        """The core of the program under measurement; empty when it is not pinned."""
        return self._server

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Run the block on the loader's core."""
        self._move(self._loader)
        try:
            yield
        finally:
            self._move(self._allowed)

    @contextmanager
    def theirs(self) -> Iterator[None]:
        """Let a program that the block starts run on the server's core, with all its threads."""
        self._move(self._server)
        try:
            yield
        finally:
            self._move(self._loader)

    def _move(self, cores: set[int]) -> None:
        if sys.platform == "linux" and self._server:
            os.sched_setaffinity(0, cores)


class Served:
    """A program that listens on a port of 127.0.0.1. Its output goes to a log file in its folder."""

    def __init__(self, command: Sequence[str], *, port: int, folder: Path, environ: Mapping[str, str]) -> None:
        self.port = port
        self._command = list(command)
        self._folder = folder
        # No proxy: the API that the program calls is on this machine.
        self._environ = {**os.environ, "NO_PROXY": "127.0.0.1", **environ}
        # Users have cached bytecode. Without it, every start would measure the compiler.
        self._environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self._log = folder / f"{port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "It was not started."
        return self._process.pid

    def start(self, cores: Cores) -> None:
        """Start the program on the server's core."""
        with cores.theirs(), self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def listening(self, *, timeout_s: float = 600.0) -> None:
        """Wait until the program accepts connections. Under valgrind on a busy machine this takes minutes."""
        async with asyncio.timeout(timeout_s):
            while not self._takes_connections():
                self.check_alive()
                await asyncio.sleep(0.01)

    def send_signal(self, sig: signal.Signals) -> None:
        """Send a signal to the program."""
        os.kill(self.pid, sig)

    async def stop(self) -> int:
        """Stop the program: SIGTERM, and SIGKILL after 300 seconds, as valgrind may need. Return its exit code."""
        process = self._process
        assert process is not None, "It was not started."
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(process.wait, 300)
        process.kill()
        return await asyncio.to_thread(process.wait)

    def check_alive(self) -> None:
        """Raise RuntimeError if the program has exited."""
        assert self._process is not None, "It was not started."
        if self._process.poll() is not None:
            raise RuntimeError(f"{' '.join(self._command)} ended with {self._process.returncode}.")

    def log_end(self) -> str:
        """Return the last 20 lines of the program's output."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def _takes_connections(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@asynccontextmanager
async def serving(served: Served, cores: Cores, *, wait: bool = True) -> AsyncIterator[Served]:
    """Run a program while the block runs. An error in the block shows the last lines of the program's output.

    Args:
        wait: Wait until the program accepts connections.
    """
    served.start(cores)
    try:
        if wait:
            await served.listening()
        yield served
    except Exception as error:
        error.add_note(f"The server printed:\n{served.log_end()}")
        raise
    finally:
        await served.stop()


@dataclass(frozen=True)
class Program:
    """A bot to measure.

    Attributes:
        app: A bot of `peers/linqbot_echo.py`, or `module:app` of an ASGI app in `peers/`.
        send: Makes the deliveries that it takes.
        needs: The library without which it cannot run.
    """

    name: str
    app: str
    send: Callable[..., Deliveries] = linq
    needs: str = "linqbot"

    @property
    def is_here(self) -> bool:
        """True if the library that it needs is installed."""
        return find_spec(self.needs) is not None

    def command(self, port: int) -> list[str]:
        """Return the command line that serves the program on a port."""
        if ":" in self.app:
            return uvicorn(self.app, port)
        return linqbot("serve", f"{PEERS / 'linqbot_echo.py'}:{self.app}", "--port", str(port))

    @asynccontextmanager
    async def serving(self, api_port: int, folder: Path, cores: Cores, *, wait: bool = True) -> AsyncIterator[Served]:
        """Run the program with an empty database while the block runs.

        Args:
            wait: Wait until the program accepts connections.
        """
        port = free_port()
        environ = linq_environ(api_port, folder / f"{port}.db") | slack_environ(api_port)
        served = Served(self.command(port), port=port, folder=folder, environ=environ)
        async with serving(served, cores, wait=wait):
            yield served
        for left in folder.glob(f"{port}.*"):  # noqa: ASYNC240 - nothing is measured now
            left.unlink()


PLAIN = Program("linqbot", "plain")
BY_HAND = Program("FastAPI + linq-python", "fastapi_echo:app", needs="fastapi")
BOLT = Program("slack-bolt", "slack_bolt_echo:app", send=slack, needs="slack_bolt")


def linq_environ(api_port: int, database: Path) -> dict[str, str]:
    """Return the environment of a bot, for linqbot and, where the names are the same, for linq-python."""
    return {
        "LINQ_API_V3_API_KEY": "benchmark",
        "LINQ_API_V3_BASE_URL": f"http://127.0.0.1:{api_port}/api/partner",
        "LINQ_WEBHOOK_SECRET": SECRET,
        "LINQBOT_STORAGE": f"sqlite:///{database}",
        "LINQBOT_PLUGINS": "",  # installed plugins would cost time too
    }


def slack_environ(api_port: int) -> dict[str, str]:
    """Return the environment of a bot for Slack."""
    return {
        "SLACK_BOT_TOKEN": "xoxb-benchmark",
        "SLACK_API_URL": f"http://127.0.0.1:{api_port}/api/",
        "SLACK_SIGNING_SECRET": SLACK_SECRET,
    }


def linqbot(*arguments: str) -> list[str]:
    """Return the command line of `linqbot`, with the interpreter of this process."""
    return [sys.executable, "-m", "linqbot", *arguments]


def uvicorn(app: str, port: int) -> list[str]:
    """Return the command line that serves an app of `peers/` as linqbot serves: uvloop, httptools, no access log."""
    flags = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log", "--no-server-header"]
    where = ["--app-dir", str(PEERS), "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", app, *flags, *where]


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a benchmark on uvloop, the fastest event loop, so that the loader is not the limit."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used so far, in user mode and in the kernel."""
    stat = _read(pid, "stat").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else math.nan


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    return _status(pid, "VmRSS:") / 1024


def threads(pid: int) -> float:
    """Return the number of threads of a process."""
    return _status(pid, "Threads:")


def open_files(pid: int) -> float:
    """Return the number of open file descriptors of a process."""
    try:
        return float(len(os.listdir(_PROC / str(pid) / "fd")))
    except OSError:
        return math.nan


def machine_busy_s(cores: Iterable[int] | None = None) -> float:
    """Return the CPU seconds that all processes on this machine have used so far.

    Args:
        cores: Count only what was used on these cores; None means all cores.
    """
    try:
        lines = [line.split() for line in (_PROC / "stat").read_text().splitlines()]
    except OSError:
        return math.nan
    counted = {"cpu"} if cores is None else {f"cpu{core}" for core in cores}
    ticks = 0
    for name, *values in lines:
        if name in counted:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def ours_s() -> float:
    """Return the CPU seconds that this process and its stopped child processes have used so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def fsync_ms(folder: Path) -> float:
    """Return the median time of one fsync of 4 KiB in `folder`, in ms. On a RAM disk it is nearly zero."""
    taken: list[float] = []
    path = folder / "fsync"
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    path.unlink()
    return statistics.median(taken)


def _status(pid: int, name: str) -> float:
    for line in _read(pid, "status").splitlines():
        if line.startswith(name):
            return float(line.split()[1])
    return math.nan


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text()
    except OSError:
        return ""
