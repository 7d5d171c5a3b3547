"""Runs `linqbot` commands as separate processes, as a user does, and looks at them from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from cli.practice import ANSWERING, KEY, Practice
from forked import Forked, can_fork
from patience import PATIENCE_S
from ports import free_port

PATH = frozenset(sys.path)


@pytest.fixture
def command_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run within this process. No setting of Linq or of the storage is in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("LINQ_API_V3_API_KEY", "LINQ_API_V3_BASE_URL", "LINQ_WEBHOOK_SECRET", "LINQBOT_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


class Command:
    """A `linqbot` process."""

    forks = True  # if it can: this saves the imports

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.log = folder / f"{arguments[0]}.log"
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_"))}
        self.log.write_bytes(b"")
        self.process: Forked | subprocess.Popen[bytes]
        if self.forks and can_fork(plain | environ):
            self.process = Forked(arguments, folder, plain | environ, self.log)
            return
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "linqbot", *arguments], cwd=folder, env=plain | environ, stdout=out, stderr=out
            )

    def said(self) -> str:
        return self.log.read_text()

    def until(self, ready: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
        """Repeat a check until it returns something true, and return that."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                if found := ready():
                    return found
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, f"linqbot ended with {self.process.returncode}:\n{self.said()}"
            assert time.monotonic() < end, f"nothing happened in {timeout_s} s:\n{self.said()}"
            time.sleep(0.05)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        self.process.send_signal(sig)
        return self.end()

    def end(self) -> int:
        """Wait until the process ends by itself, and return its exit code."""
        return self.process.wait(PATIENCE_S)


class Program(Command):
    """One with a command line and imports of its own."""

    forks = False


def mark_starting(items: list[pytest.Item], folder: Path) -> None:
    """Mark the tests of a folder whose fixtures start a command."""
    for item in items:
        # The fixtures first: the folders of 13,000 tests take an eighth of a second, in each process of a run.
        starts = {"command", "emulator", "manager", "program"}.intersection(getattr(item, "fixturenames", ()))
        if starts and folder in item.path.parents:
            item.add_marker(pytest.mark.process)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_starting(items, Path(__file__).parent)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    yield from _starting(Command, tmp_path)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    yield from _starting(Program, tmp_path)


def _starting(kind: type[Command], folder: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*arguments: str, **environ: str) -> Command:
        started.append(kind(folder, *arguments, **environ))
        return started[-1]

    yield start
    for each in started:
        each.stop(signal.SIGKILL)


TOOLS: Final = [
    EntryPoint(name, f"linqbot_{name}.plugin", "linqbot")
    for name in ("dev", "operator")
    if find_spec(f"linqbot_{name}") is not None  # the lowest versions are tried without linqbot-operator
]
"""The packages of linqbot that bring commands."""


@pytest.fixture(autouse=True)
def no_plugins_of_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run in this process find the packages that bring commands, and the plugins that a test installs.

    These are in folders that the test adds to the path: to read the metadata of every package takes 13 ms of each command.
    """

    def of_the_test(*, group: str) -> list[EntryPoint]:
        added = [folder for folder in sys.path if folder not in PATH]
        entries = (entry for each in distributions(path=added) for entry in each.entry_points)
        return [*TOOLS, *(entry for entry in entries if entry.group == group)]

    monkeypatch.setattr("linqbot.plugin_loading.entry_points", of_the_test)


@pytest.fixture
def postgres_plugin(no_plugins_of_the_workspace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run in this process find the packages that bring commands, linqbot-postgres and no other plugin."""
    entry = EntryPoint("postgres", "linqbot_postgres:Postgres", "linqbot")
    monkeypatch.setattr("linqbot.plugin_loading.entry_points", lambda *, group: [*TOOLS, entry])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    linq = f"http://127.0.0.1:{free_port()}"
    port = linq.rpartition(":")[2]
    process = Command(tmp_path_factory.mktemp("linq"), "dev", "--no-bot", "--port", port, LINQ_API_V3_API_KEY=KEY)
    process.until(lambda: httpx.get(f"{linq}/emulator/state").status_code == 200)
    yield linq
    process.stop()


@pytest.fixture
def practice(tmp_path: Path, emulator: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    yield from _without_secrets(Practice(tmp_path, emulator), monkeypatch)


@pytest.fixture
def account(tmp_path: Path, emulator: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    yield from _without_secrets(Practice(tmp_path, emulator, ANSWERING), monkeypatch)


def _without_secrets(house: Practice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    """Yield the house in its folder, without secrets of the environment. No output of a command shows a secret."""
    monkeypatch.chdir(house.folder)
    for name in ("LINQ_WEBHOOK_SECRET", "LINQ_WEBHOOK_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield house
    for output in house.outputs:
        assert KEY not in output
        assert "whsec_" not in output.replace("it begins with whsec_.", "")
        assert not any(secret.removeprefix("whsec_") in output for secret in house.kept().values())
