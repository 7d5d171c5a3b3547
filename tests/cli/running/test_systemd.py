"""A served bot notifies systemd that it is ready, alive and stopping, and serves the socket that systemd passes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli.practice import ALONE
from patience import PATIENCE_S
from socket_activation import with_listening_socket

from linqbot.errors import ConfigError
from linqbot.server import systemd

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

BLOCKED = """
import signal
import time
from linqbot import Bot

bot = Bot()
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(60))
"""


class Manager:
    """Plays systemd: has a socket for notifications, and holds a listening socket for the bot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = str(folder / "notify")
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(self.address)
        self.notifications.settimeout(PATIENCE_S)
        self.held = socket.create_server(("127.0.0.1", 0))
        self.port = self.held.getsockname()[1]
        self._started: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for bot in self._started:
            bot.kill()
            bot.wait(PATIENCE_S)
        self.notifications.close()
        self.held.close()

    def hear(self) -> str:
        return self.notifications.recv(4096).decode()

    def start(self, *arguments: str, passed: socket.socket | None = None, **environ: str) -> subprocess.Popen[bytes]:
        """Run `linqbot serve`. A passed socket becomes descriptor 3, as sd_listen_fds(3) specifies."""
        command = [sys.executable, "-m", "linqbot", "serve", "bot.py", *arguments]
        if passed is not None:
            command = with_listening_socket(command, passed)
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_"))}
        bot = subprocess.Popen(
            command,
            cwd=self.folder,
            env=plain | ALONE | {"NOTIFY_SOCKET": self.address} | environ,
            pass_fds=[passed.fileno()] if passed is not None else [],
        )
        self._started.append(bot)
        return bot


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    (tmp_path / "bot.py").write_text("from linqbot import Bot\nbot = Bot()\n")
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def test_a_bot_that_cannot_start_is_never_ready(manager: Manager, command: Callable[..., Any]) -> None:
    environ = ALONE | {"NOTIFY_SOCKET": manager.address, "LINQBOT_STORAGE": "sqlite:////nowhere/at/all.db"}
    assert command("serve", "bot.py", "--port", "0", **environ).end() == 2
    manager.notifications.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hear()


@pytest.mark.slow
def test_the_watchdog_is_notified_as_long_as_the_loop_runs(manager: Manager) -> None:
    (manager.folder / "bot.py").write_text(BLOCKED)
    bot = manager.start("--port", "0", WATCHDOG_USEC="200000")
    assert [manager.hear() for _ in range(9)] == ["READY=1", *["WATCHDOG=1"] * 8]
    bot.send_signal(signal.SIGUSR1)
    manager.notifications.settimeout(5)
    with pytest.raises(TimeoutError):
        [manager.hear() for _ in range(10_000)]
    assert bot.poll() is None


@pytest.mark.slow
def test_systemd_is_notified_of_start_and_stop_and_a_connection_during_a_restart_waits(manager: Manager) -> None:
    bot = manager.start(passed=manager.held)
    assert manager.hear() == "READY=1"
    assert httpx.get(f"http://127.0.0.1:{manager.port}/readyz").status_code == 200
    bot.send_signal(signal.SIGTERM)
    assert manager.hear() == "STOPPING=1"
    assert bot.wait(PATIENCE_S) == 0
    with socket.create_connection(("127.0.0.1", manager.port), timeout=PATIENCE_S) as early:
        early.sendall(b"GET /livez HTTP/1.1\r\nhost: bot\r\n\r\n")
        bot = manager.start(passed=manager.held)
        assert early.recv(100).startswith(b"HTTP/1.1 200")
    assert bot.poll() is None
    bot.terminate()
    assert bot.wait(PATIENCE_S) == 0


def test_a_notify_socket_in_the_file_system_works(manager: Manager) -> None:
    path = str(manager.folder / "bot.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        held.bind(path)
        held.listen()
        bot = manager.start(passed=held)
        assert manager.hear() == "READY=1"
        with httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=PATIENCE_S) as proxy:
            assert proxy.get("http://bot/readyz").status_code == 200
            assert proxy.post("http://bot/webhooks/linq", content=b"forged").status_code == 401
        bot.terminate()
        assert bot.wait(PATIENCE_S) == 0


def test_without_systemd_nothing_is_notified_and_no_socket_inherited(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        systemd.notify("READY=1", environ)
    assert systemd.inherited({}) is None
    # The sockets were passed to the parent process, and not to this one.
    assert systemd.inherited({"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}) is None


def test_the_name_of_an_abstract_socket_is_parsed() -> None:
    name = f"linqbot-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(f"\0{name}")
        systemd.notify("READY=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert notifications.recv(100) == b"READY=1"


def test_more_than_one_socket_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"passed 2 sockets.*ListenStream="):
        systemd.inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
