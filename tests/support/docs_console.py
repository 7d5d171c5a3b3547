"""Runs the console blocks of a page: a terminal executes the `$ …` lines and compares their output with the page."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from patience import PATIENCE_S
from ports import free_port

FENCE = re.compile(r"^```(console|python (?P<file>\S+))\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
STAYS = ("linqbot dev ", "linqbot serve ")
"""Commands that run until Ctrl-C. Their step ends when they have printed the page's output and accept connections."""
OWN_PORT = ("linqbot dev",)


@dataclass
class Step:
    """A file that the page says to write, or a command with the output that the page shows."""

    command: str = ""
    shown: list[str] = field(default_factory=list)
    file: str = ""
    content: str = ""


def steps(page: str) -> list[Step]:
    """Return the steps of a page, in order. A console block without a `$` has no steps."""
    return [step for found in FENCE.finditer(page) for step in _steps(found["file"], found["body"])]


def _steps(file: str | None, body: str) -> Iterator[Step]:
    if file:
        yield Step(file=file, content=body)
        return
    step = None
    for line in body.splitlines():
        if line.startswith("$ ") or line == "^C":
            if step:
                yield step
            step = Step(command=line.removeprefix("$ "))
        elif step:
            step.shown.append(line)
    if step:
        yield step


class Terminal:
    """A folder, an environment and the commands that run there. Ports that a page names are replaced by free ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / ".logs"
        self._logs.mkdir()
        self._running: list[subprocess.Popen[bytes]] = []
        self._ports = {port: str(free_port()) for port in ("4010", "8000")}
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ", "PYTEST"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": path, "LINQBOT_PORT": self._ports["8000"], "LINQBOT_PLUGINS": "", "COLUMNS": "200"}
        # LangGraph brings a plugin for pytest that warns on Python 3.14. A reader who has no LangGraph has not got it.
        self._environ = plain | ours | {"PYTEST_ADDOPTS": "-p no:langsmith_plugin"}

    def do(self, step: Step) -> None:
        """Execute a step, and fail if its output differs from the page."""
        words = shlex.split(step.command, comments=True)
        if step.file:
            (self._folder / step.file).write_text(step.content)
        elif step.command == "^C":
            self._interrupt(self._running.pop())
        elif words[0] == "cd":
            self._folder /= words[1]
        elif words[0] == "export":
            self._environ |= dict(self._here(word).split("=", 1) for word in words[1:])
        else:
            self._run(step)

    def _run(self, step: Step) -> None:
        command = self._here(step.command)
        if command.startswith(OWN_PORT):
            command += f" --port {self._ports['4010']}"
        stays = command.startswith(STAYS)
        wanted = re.compile(_pattern(self._here(line) for line in step.shown), re.DOTALL)
        log = self._logs / str(len(list(self._logs.iterdir())))
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", command], cwd=self._folder, env=self._environ, stdout=out, stderr=out
            )
        self._running.append(process)
        end = time.monotonic() + PATIENCE_S
        port = self._ports["4010" if command.startswith(OWN_PORT) else "8000"]
        while process.poll() is None and not (stays and wanted.match(_printed(log)) and _takes_connections(port)):
            assert time.monotonic() < end, f"$ {command}\n{_printed(log)}"
            time.sleep(0.05)
        if process.returncode is not None:
            self._running.remove(process)
        printed = _printed(log)
        found = wanted.match(printed) if process.returncode is None else wanted.fullmatch(printed)
        assert found, f"$ {command}\nprints:\n{printed}\nand the page shows:\n" + "\n".join(step.shown)

    def _here(self, text: str) -> str:
        for named, free in self._ports.items():
            text = text.replace(f":{named}", f":{free}")
        return text

    def close(self) -> None:
        """Stop the commands that still run."""
        while self._running:
            self._interrupt(self._running.pop())

    def _interrupt(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _takes_connections(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def _pattern(shown: Iterator[str]) -> str:
    """Return a pattern: a line `…` stands for any number of lines, `…` within a line for any text."""
    lines = [
        r"(?:[^\n]*\n)*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", r"[^\n]*") + r"\n"
        for line in shown
    ]
    return "".join(lines)


def _printed(log: Path) -> str:
    lines = [line.rstrip() for line in log.read_text().splitlines()]
    return "".join(f"{line}\n" for line in lines)
