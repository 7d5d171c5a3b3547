"""The process of the bot under rehearsal: start, kill, stop, its memory, and what it says about its work."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from linqbot.cli.dev.processes import end, hang_up, no_authorities
from linqbot.cli.rehearsal.memory import Live
from linqbot.cli.rehearsal.routes import NAME
from linqbot.errors import ConfigError
from linqbot.linq.events.lane import chat_of_lane
from linqbot.testing.people.checks import GivenUp

READY_EVERY_S: Final = 0.05
START_S: Final = 120.0
STOP_S: Final = 10.0
LOG: Final = "bot.log"


class ServedBot:
    """The child process that serves the bot. `async with` opens and closes the connections to it, and stops it.

    Args:
        emulator: URL of the emulator.
        port: A free port.
        folder: A folder for the bot's storage.
        out: The folder for its log.
        bound: The listening socket of the bot, which each of its processes gets, so that no other program can take the
            port. While none runs, connections are closed. None lets each process bind the port.
    Attributes:
        lives: How often the process was started.
        changing: Held while the process is killed and started again.
    """

    def __init__(
        self, file: str, emulator: str, port: int, folder: Path, out: Path, *, bound: socket.socket | None
    ) -> None:
        self._file = file
        self._emulator = emulator
        self._port = port
        self._folder = folder
        self._bound = bound
        self._ends: asyncio.Task[None] | None = None
        self._log = out / LOG
        self.api_key = "rehearsal_" + secrets.token_hex(16)
        self.webhook_secret = ""
        self.url = f"http://127.0.0.1:{port}"
        self.lives = 0
        self._started_at = 0.0
        self.changing = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._has_answered = False
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {self.api_key}"},
            trust_env=False,
            verify=no_authorities(),
            timeout=30,
        )

    async def __aenter__(self) -> Self:
        self._log.unlink(missing_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
        await self.stop()
        if self._ends is not None and self._bound is not None:
            await self._ends
            asyncio.get_running_loop().remove_reader(self._bound)

    @property
    def has_ended(self) -> bool:
        """True if the process was started and has ended by itself."""
        return self._process is not None and self._process.returncode is not None

    async def start(self) -> int:
        """Start the process, and wait until it answers.

        A message that waits may end it before it answers. Then it is started again.

        Returns:
            How often it ended by itself before it answered.
        Raises:
            ConfigError: it has ended in its first life, or does not answer in time.
        """
        ended = 0
        try:
            async with asyncio.timeout(START_S):
                while not await self._started():
                    ended += 1
        except TimeoutError:
            raise self._not_started(f"did not answer within {START_S:g} s") from None
        self._has_answered = True
        return ended

    async def _started(self) -> bool:
        """Start the process. Return True when it answers, and False if it has ended although it answered before."""
        await self._run()
        while not self.has_ended:
            with suppress(httpx.TransportError):
                if (await self._http.get("/readyz")).status_code == 200:
                    return True
            await asyncio.sleep(READY_EVERY_S)
        if not self._has_answered:
            raise self._not_started("did not start")
        return False

    async def _run(self) -> None:
        given = {
            "LINQ_API_V3_API_KEY": self.api_key,
            "LINQ_API_V3_BASE_URL": f"{self._emulator}/api/partner",
            "LINQ_WEBHOOK_SECRET": self.webhook_secret,
            "LINQBOT_STORAGE": f"sqlite:///{self._folder / 'rehearsal.db'}",
            "LINQBOT_HOST": "127.0.0.1",
            "LINQBOT_PORT": str(self._port),
            "LINQBOT_DRAIN_S": "5",
        }
        # With -P, a file in this folder such as json.py does not hide a module of Python.
        command = [sys.executable, "-P", "-m", "linqbot.cli.rehearsal.bot", self._file]
        command.append("" if self._bound is None else str(self._bound.fileno()))
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must not reach the bot before the summary.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=os.environ | given,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if self._bound is None else (self._bound.fileno(),),
            )
        if self._bound is not None:
            asyncio.get_running_loop().remove_reader(self._bound)
            self._ends = asyncio.create_task(self._refuse_after(self._process, self._bound))
        self.lives += 1
        self._started_at = time.monotonic()

    async def _refuse_after(self, process: asyncio.subprocess.Process, bound: socket.socket) -> None:
        """Close all connections from the end of a process to the start of the next one: no process is there to answer."""
        await process.wait()
        if process is self._process:
            hang_up(bound)
            asyncio.get_running_loop().add_reader(bound, hang_up, bound)

    def _not_started(self, what: str) -> ConfigError:
        last = self._log.read_text(errors="replace").strip()[-2000:]
        return ConfigError(f"{self._file} {what}. Its log, {self._log}, ends with:\n{last}")

    async def kill(self) -> int:
        """Kill the process at once, and start it again. Return how often it then ended by itself.

        Raises:
            ConfigError: it did not start again.
        """
        async with self.changing:
            await self._end(at_once=True)
            return await self.start()

    async def stop(self) -> None:
        """Stop the process, if it runs; kill it if it does not stop in time."""
        try:
            async with asyncio.timeout(STOP_S):
                await self._end(at_once=False)
        except TimeoutError:
            await self._end(at_once=True)

    async def _end(self, *, at_once: bool) -> None:
        if self._process is not None and self._process.returncode is None:
            end(self._process, at_once=at_once)
            await self._process.wait()

    async def events(self) -> list[str]:
        """Return the event types that the bot handles."""
        return list((await self._get("events"))["events"])

    async def unfinished(self) -> set[str] | None:
        """Return the ids of the chats with deliveries that the bot has not finished; None if it does not answer."""
        try:
            lanes = (await self._get("unfinished"))["lanes"]
        except httpx.HTTPError:
            return None
        return {chat_id for lane in lanes if (chat_id := chat_of_lane(lane)) is not None}

    async def dead(self) -> list[GivenUp]:
        """Return the deliveries that the bot gave up, the oldest first; none if it does not answer."""
        try:
            return [GivenUp.of(**row) for row in (await self._get("dead"))["dead"]]
        except httpx.HTTPError:
            return []

    async def _get(self, what: str) -> dict[str, Any]:
        answer = await self._http.get(f"/plugins/{NAME}/{what}")
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    @property
    def age_s(self) -> float:
        """The seconds since the process was started."""
        return time.monotonic() - self._started_at

    async def live_memory(self, messages: int) -> Live | None:
        """Look at the live memory of the process; None if it does not answer."""
        life, age_s = self.lives, self.age_s
        try:
            found = await self._get("memory")
        except httpx.HTTPError:
            return None
        return Live(life, age_s, messages, found["unfinished"], found["live_bytes"]) if life == self.lives else None

    def memory_bytes(self) -> int | None:
        """Return the resident memory of the process; None if it does not run, or the system does not say it."""
        if self._process is None or self._process.returncode is not None:
            return None
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
        return None if line is None else int(line.split()[1]) * 1024
