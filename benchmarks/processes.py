"""Processes under measurement: started on a core of their own, asked what they use, stopped gently.

Pinning and counting come from Linux. Elsewhere programs run unpinned, and what cannot be counted is NaN.
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
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from signed import SECRET

PEERS = Path(__file__).with_name("peers")
_PROC = Path("/proc")

T = TypeVar("T")


class Cores:
    """One core for the program under measurement, another for us, the loader and the API it calls.

    With one core only, or where there is no affinity, everybody runs everywhere, and `note` says so.
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
        """Stay on the loader's core meanwhile."""
        self._move(self._loader)
        try:
            yield
        finally:
            self._move(self._allowed)

    @contextmanager
    def theirs(self) -> Iterator[None]:
        """What is started meanwhile stays on the server's core, with all its threads."""
        self._move(self._server)
        try:
            yield
        finally:
            self._move(self._loader)

    def _move(self, cores: set[int]) -> None:
        if sys.platform == "linux" and self._server:
            os.sched_setaffinity(0, cores)


class Served:
    """A program that listens on a port of 127.0.0.1. What it prints goes to a log file in its folder."""

    def __init__(self, command: Sequence[str], *, port: int, folder: Path, environ: Mapping[str, str]) -> None:
        self.port = port
        self._command = list(command)
        self._folder = folder
        # No proxy: the API it calls is on this machine.
        self._environ = {**os.environ, "NO_PROXY": "127.0.0.1", **environ}
        # Users have their bytecode: a machine that keeps none would measure the compiler at every start.
        self._environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self._log = folder / f"{port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "It was not started."
        return self._process.pid

    def start(self, cores: Cores) -> None:
        """Start it on the server's core."""
        with cores.theirs(), self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def listening(self, *, timeout_s: float = 30.0) -> None:
        """Wait until it takes connections."""
        async with asyncio.timeout(timeout_s):
            while not self._takes_connections():
                self.check_alive()
                await asyncio.sleep(0.01)

    def send_signal(self, sig: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, sig)

    async def stop(self) -> int:
        """Ask it to end, insist after 20 seconds. Returns its exit code."""
        process = self._process
        assert process is not None, "It was not started."
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(process.wait, 20)
        process.kill()
        return await asyncio.to_thread(process.wait)

    def check_alive(self) -> None:
        """Raise if it has ended by itself."""
        assert self._process is not None, "It was not started."
        if self._process.poll() is not None:
            raise RuntimeError(f"{' '.join(self._command)} ended with {self._process.returncode}.")

    def log_end(self) -> str:
        """The last lines it printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def _takes_connections(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@asynccontextmanager
async def serving(served: Served, cores: Cores, *, wait: bool = True) -> AsyncIterator[Served]:
    """Run a program while the block runs; what fails in the block shows the last lines the program printed.

    Args:
        wait: Until it takes connections.
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


def linq_environ(api_port: int, database: Path) -> dict[str, str]:
    """What a bot reads from its environment: linqbot, and linq-python as far as it knows the same names."""
    return {
        "LINQ_API_V3_API_KEY": "benchmark",
        "LINQ_API_V3_BASE_URL": f"http://127.0.0.1:{api_port}/api/partner",
        "LINQ_WEBHOOK_SECRET": SECRET,
        "LINQBOT_STORAGE": f"sqlite:///{database}",
        "LINQBOT_PLUGINS": "",  # whatever is installed has its own price
    }


def linqbot(*arguments: str) -> list[str]:
    """The command line of `linqbot`, with the interpreter that runs us."""
    return [sys.executable, "-m", "linqbot", *arguments]


def uvicorn(app: str, port: int) -> list[str]:
    """The command line that serves an app of `peers/` as linqbot serves itself: uvloop, httptools, no access log."""
    flags = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log", "--no-server-header"]
    where = ["--app-dir", str(PEERS), "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", app, *flags, *where]


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a benchmark on the fastest event loop there is, so that the loader is not what is measured."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def cpu_s(pid: int) -> float:
    """Seconds of CPU a process has used so far, in user mode and in the kernel."""
    stat = _read(pid, "stat").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else math.nan


def rss_mib(pid: int) -> float:
    """Memory of a process that is in RAM, in MiB."""
    return _status(pid, "VmRSS:") / 1024


def threads(pid: int) -> float:
    """How many threads a process has."""
    return _status(pid, "Threads:")


def open_files(pid: int) -> float:
    """How many file descriptors a process has open."""
    try:
        return float(len(os.listdir(_PROC / str(pid) / "fd")))
    except OSError:
        return math.nan


def machine_busy_s() -> float:
    """Seconds of CPU that everybody on this machine has used so far, all cores together."""
    try:
        first = (_PROC / "stat").read_text().partition("\n")[0].split()[1:9]
    except OSError:
        return math.nan
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def ours_s() -> float:
    """Seconds of CPU that we and the processes we have stopped used so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def fsync_ms(folder: Path) -> float:
    """The median time one fsync of 4 KiB takes where the databases will be; nearly nothing on a RAM disk."""
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
