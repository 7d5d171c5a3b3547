"""Starts `linqbot` in a process that is forked from one that has imported it.

The import takes most of a start, too much for programs that kill and start a bot again and again. Apart from that and from
the command line that `ps` shows, the process is one of `python -m linqbot`: it shares nothing with others, and can be killed.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

IMPORTED: Final = [
    "__main__",  # otherwise each process would import that of its parent
    "linqbot.bot.bot",
    "linqbot.bot.context",
    "linqbot_dev.commands.dev",
    "linqbot_dev.commands.rehearse",
    "linqbot.cli.commands.serve",
    "linqbot.cli.main",
    "linqbot_dev.emulator.web.app",
    "linqbot.server.app",
    "linqbot.storage.sqlite.storage",
    "httpcore",
    "h2.connection",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "prometheus_client",
    "sentry_sdk",
]
"""The modules that are imported once, before the first start. A program may add some. All other modules are imported by the
process that needs them."""


def can_fork(environ: Mapping[str, str], pass_fds: Sequence[int] = ()) -> bool:
    """Return True if a process with this environment and these open files can be forked, and need not be started."""
    return (
        sys.platform == "linux"
        and not pass_fds
        and all(value == os.environ.get(name) for name, value in environ.items() if name.startswith("PYTHON"))
    )


class _Forked:
    """A running `linqbot`.

    Args:
        arguments: The command and its arguments.
        folder: The folder in which it runs.
        environ: All of its environment variables.
        log: The file to which its output is appended.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> None:
        # It is the server that forks. The tests listen here: only those marked `process` may start programs.
        sys.audit("os.fork")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        given = ([*arguments], str(folder), dict(environ), str(log), _path(), _inherited())
        self._made = context.Process(target=_run, args=given, daemon=True)
        self._made.start()
        assert self._made.pid is not None
        self.pid = self._made.pid

    @property
    def returncode(self) -> int | None:
        return self._made.exitcode

    def send_signal(self, signal: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal)


class Forked(_Forked):
    """One with the methods of `subprocess.Popen`."""

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        self._made.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired("linqbot", timeout or 0)
        return code


class AsyncForked(_Forked):
    """One with the methods of `asyncio.subprocess.Process`."""

    async def wait(self) -> int:
        while (code := self.returncode) is None:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
        return code


@functools.cache
def _path() -> list[str]:
    """Return where Python looks for modules, without what this process has added, and without its folder."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-Pc", "import sys; print(*sys.path, sep='\\n')"]
    said = subprocess.run(command, env=ours, stdout=subprocess.PIPE, check=True)
    return said.stdout.decode().splitlines()


def _inherited() -> tuple[tuple[int, int], bool]:
    """Return what a program inherits from this process: the limits of open files, and if it ignores SIGHUP."""
    import resource  # Windows has none

    return resource.getrlimit(resource.RLIMIT_NOFILE), signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _run(
    arguments: list[str],
    folder: str,
    environ: dict[str, str],
    log: str,
    path: list[str],
    inherited: tuple[tuple[int, int], bool],
) -> None:
    """Run `python -m linqbot` in this process."""
    import resource

    files, ignores_hangups = inherited
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignores_hangups else signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    with open(log, "ab") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    sys.path[:] = [folder, *path]
    sys.argv = ["linqbot", *arguments]
    runpy.run_module("linqbot", run_name="__main__", alter_sys=True)
