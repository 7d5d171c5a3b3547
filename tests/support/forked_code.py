"""Runs code in a process that is forked from one that has imported linqbot, which takes most of a start. It can be killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from forked import IMPORTED


def forked(code: str, *arguments: object, output: Path) -> BaseProcess:
    """Run code with these arguments. What it prints is read from the named pipe `output`, which is made here."""
    sys.audit("os.fork")  # it is another process that forks
    os.mkfifo(output)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=_run, args=(code, [*map(str, arguments)], str(output)), daemon=True)
    process.start()
    return process


def _run(code: str, arguments: list[str], output: str) -> None:
    with Path(output).open("wb") as pipe:
        os.dup2(pipe.fileno(), 1)
    sys.argv = ["", *arguments]
    exec(compile(code, "forked code", "exec"), {"__name__": "__main__"})
