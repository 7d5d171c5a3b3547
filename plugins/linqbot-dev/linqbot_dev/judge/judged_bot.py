"""The bot that is judged: a command that is started, killed and started again, or a webhook that is there already.

The command gets the address of the emulated Linq, its token, the signing secret and the port in its environment, under the names
that linqbot and Linq's official clients read, and under names of the author's choice. It runs in a process group of its own, so
that a kill also reaches what a wrapper such as `uv run` or `npm start` has started.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from linqbot.errors import ConfigError
from linqbot_dev.judge.wire import Wire

ENVIRONMENT: Final[Mapping[str, str]] = {
    "LINQ_API_V3_API_KEY": "{token}",  # linqbot, linq-python and the other official clients of V3
    "LINQ_API_V3_BASE_URL": "{url}",
    "LINQ_WEBHOOK_SECRET": "{secrets}",
    "LINQ_API_URL": "{url}",  # Linq's command line, and bots by its example
    "LINQ_TOKEN": "{token}",
    "LINQ_FROM_PHONE": "{line}",
    "PORT": "{port}",
    "HOST": "127.0.0.1",
    "LINQBOT_HOST": "127.0.0.1",
    "LINQBOT_PORT": "{port}",
    "LINQBOT_STORAGE": "sqlite:///{folder}/linqbot.db",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "PYTHONUNBUFFERED": "1",  # the last lines of a bot that is killed are in its log
}
"""The environment of each command, in addition to that of `linqbot judge`."""

PLACES: Final = ("token", "secret", "secrets", "url", "port", "line", "folder")
"""The placeholders. `secrets` are the signing secrets that count now, the newest first; `secret` is the newest alone."""

STOP_S: Final = 15.0
LOOK_EVERY_S: Final = 0.02
LAST_LINES: Final = 20


class NotStarted(Exception):
    """The bot does not listen."""


class JudgedBot:
    """A bot that runs at an address. Nothing but its webhook is known.

    Attributes:
        secrets: The signing secrets that the bot has, the newest first.
        can_be_killed: True if the judge has started the bot.
        takes_list: True if the author says that the bot takes several secrets, by naming `{secrets}`.
    """

    can_be_killed = False
    takes_list = False

    def __init__(self, wire: Wire, secret: str) -> None:
        self.wire = wire
        self.secrets = [secret]

    @property
    def url(self) -> str:
        """The address without a path; empty if it is not known."""
        return ""

    @property
    def has_crashed(self) -> bool:
        """True if the process has ended by itself."""
        return False

    def last_output(self) -> str:
        """Return the last lines that the bot has printed, if they are known."""
        return ""

    async def start(self) -> None:
        """Start the bot, and return when it listens. Raises NotStarted."""

    def kill_now(self) -> None:
        """Kill the bot, without waiting."""

    async def stop(self) -> bool:
        """Ask the bot to stop, and wait until it has. Return False if it had to be killed. Raises NotStarted."""
        return True


class StartedBot(JudgedBot):
    """A bot that the judge starts.

    Args:
        command: The program and its arguments, which may hold placeholders.
        variables: Further environment variables, which may hold placeholders.
        folder: For the storage of the bot and its log.
        start_s: Seconds until the bot must listen.
    """

    can_be_killed = True

    def __init__(
        self,
        wire: Wire,
        secret: str,
        *,
        command: Sequence[str],
        variables: Mapping[str, str],
        token: str,
        port: int,
        folder: Path,
        start_s: float,
    ) -> None:
        super().__init__(wire, secret)
        self._command = command
        self._variables = variables
        self.takes_list = any("{secrets}" in each for each in (*command, *variables.values()))
        self._token = token
        self._port = port
        self._folder = folder
        self._start_s = start_s
        self._log = folder / "bot.log"
        self._process: asyncio.subprocess.Process | None = None
        self._ends = False  # it is asked to end

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def has_crashed(self) -> bool:
        return self._process is not None and self._process.returncode is not None and not self._ends

    def last_output(self) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        for secret in (self._token, *self.secrets):
            text = text.replace(secret, "…")
        return "\n".join(text.splitlines()[-LAST_LINES:])

    async def start(self) -> None:
        """Start the command, and return when it listens. Raises NotStarted."""
        await self._start()
        try:
            async with asyncio.timeout(self._start_s):
                while not self._listens():
                    if self.has_crashed:
                        assert self._process is not None
                        raise NotStarted(f"Its process ended with {self._process.returncode} before it listened.")
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise NotStarted(f"It did not listen on port {self._port} within {self._start_s:g} s.") from None

    async def _start(self) -> None:
        self._ends = self.wire.is_down = False
        self.wire.life += 1
        environ = {name: self._filled(value) for name, value in {**ENVIRONMENT, **self._variables}.items()}
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *map(self._filled, self._command),
                    env={**os.environ, **environ},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigError(f"{self._command[0]} cannot be started: {error.strerror}.") from error

    def _filled(self, text: str) -> str:
        values = (
            self._token,
            self.secrets[0],
            ",".join(self.secrets),
            f"{self.wire.emulator.public_url}/api/partner",
            str(self._port),
            self.wire.line,
            str(self._folder),
        )
        for name, value in zip(PLACES, values, strict=True):
            text = text.replace(f"{{{name}}}", value)
        return text

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def kill_now(self) -> None:
        if self._process is not None:
            self._ends = True
            self._signal(signal.SIGKILL)
            self.wire.is_down = True

    async def stop(self) -> bool:
        """Stop the command with SIGTERM, and kill it if it does not end in time. Raises NotStarted if its port stays in use."""
        if self._process is None:
            return True
        process, in_time = self._process, True
        if not self._ends:
            self._ends = True
            self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            in_time = False
        self.kill_now()  # also what a wrapper that has ended has left
        await process.wait()
        self._process = None
        try:
            async with asyncio.timeout(STOP_S):
                while self._listens():  # noqa: ASYNC110 - the end of another process
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise NotStarted(f"Port {self._port} is still in use after the bot was killed.") from None
        return in_time

    def _signal(self, sig: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, sig)
