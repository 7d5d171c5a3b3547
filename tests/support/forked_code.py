"""Runs code in a process that is forked from one that has imported linqbot, which takes most of a start. It can be killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TextIO

from forked import IMPORTED


def forked(code: str, *arguments: object) -> tuple[BaseProcess, TextIO]:
    """Run code with these arguments. Return its process, and what it prints, which ends when the process does."""
    sys.audit("os.fork")  # it is another process that forks
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    said, output = context.Pipe(duplex=False)
    with said, output:
        process = context.Process(target=_run, args=(code, [*map(str, arguments)], output), daemon=True)
        process.start()
        return process, os.fdopen(os.dup(said.fileno()))


def _run(code: str, arguments: list[str], output: Connection) -> None:
    with output:
        os.dup2(output.fileno(), 1)
    sys.argv = ["", *arguments]
    exec(compile(code, "forked code", "exec"), {"__name__": "__main__"})
