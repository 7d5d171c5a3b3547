"""The child process that serves the bot for `linqbot dev` and `linqbot rehearse`: start, stop and end.

`bot.py` is the program that runs in it for `linqbot dev`.

Importing linqbot takes most of the time of a start. So once the author has saved a file, the next process is started
before it is needed: it imports linqbot, and waits. The bot's own file is imported only when it shall serve.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import httpx
import watchfiles

from linqbot.cli.storage_option import FILE
from linqbot_dev.dev.processes import INSIDE, NeededEvents, Needs, end, hang_up, held_back, no_authorities, stop
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.documents import iso

KEEP_DAYS: Final = "365"
"""Of a storage that is deleted when `linqbot dev` ends. More than a day, because the clock on the page can be moved."""
PREPARE_AFTER_S: Final = 1.0
"""Seconds from a start until the next process is prepared: later than the first answers, which it would slow down."""
READY_EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Prepared:
    process: asyncio.subprocess.Process
    go: int  # The file descriptor to which a byte is written when it shall go on. Closing it ends the process.

    def let_go(self) -> bool:
        """Let the process serve the bot. Return False if it has ended."""
        try:
            os.write(self.go, b"\n")
        except BrokenPipeError:
            return False
        finally:
            os.close(self.go)
        return self.process.returncode is None


@dataclass(slots=True)
class BotProcess:
    file: str
    emulator: str  # URL of the emulator; empty with a real account
    port: int
    folder: Path
    api_key: str = "dev_" + secrets.token_hex(12)
    webhook_secret: str = ""
    process: asyncio.subprocess.Process | None = None
    as_json: bool = False
    program: str = "linqbot_dev.dev.bot"  # the module that runs in the process, with the arguments of `bot.main`
    log: Path | None = None  # The file to which the process writes. None leaves it the terminal, with its Ctrl-C.
    stop_s: float = 5.0  # the seconds that the bot may take to stop before it is killed; its storage survives that too
    # The listening socket of the bot, which each of its processes gets, so that no other program can take the port and
    # connections wait while the bot restarts. None lets the process bind the port itself: with a real account, and on
    # Windows, which passes no file descriptors on.
    bound: socket.socket | None = None
    instead: dict[str, str] = field(default_factory=dict)  # environment variables that replace those for the emulator
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while the process is stopped and started again
    saved: asyncio.Future[object] | None = None  # done once a file was saved; None if none is watched
    is_stopping: bool = False  # `stop` was called, so the process ends on purpose
    was_up: bool = False  # the bot has answered since its latest start
    watching: asyncio.Task[None] | None = None  # waits for the end of the process
    # Called before each start. What it returns gets the exit code of the process that is started.
    on_start: Callable[[], Callable[[int], None]] = lambda: lambda _: None
    prepares: bool = False  # the next process is prepared after each start
    prepared: Prepared | None = None
    preparing: asyncio.Task[None] | None = None
    # Returns True once `linqbot dev` itself ends. Ctrl-C in a terminal also ends the bot's process.
    is_ending: Callable[[], bool] = lambda: False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.folder / FILE}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def begin(self) -> Needs | None:
        """Start the bot, and return its `needs`; None if it did not start."""
        await self.start()
        return await self.needs()

    async def start(self) -> None:
        self.is_stopping = self.was_up = False
        self.accept()
        on_end = self.on_start()
        prepared, self.prepared = self.prepared, None
        if prepared is not None and prepared.let_go():
            self.process = prepared.process
        else:
            self.process = await self._spawn()
        self.watching = asyncio.create_task(self._watch(self.process, on_end))
        # Windows passes no file descriptors on.
        if self.prepares and os.name == "posix":
            self.preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        await asyncio.sleep(PREPARE_AFTER_S)
        waits, go = os.pipe()
        try:
            process = await self._spawn(waits=waits)
        except BaseException:
            os.close(go)
            raise
        finally:
            os.close(waits)
        self.prepared = Prepared(process, go)

    async def _spawn(self, *, waits: int | None = None) -> asyncio.subprocess.Process:
        # Handled deliveries are kept, so that the page can let the bot handle one again.
        kept = {"LINQBOT_KEEP_DAYS": KEEP_DAYS} if self.emulator else {}
        given = {
            "LINQ_API_V3_API_KEY": self.api_key,
            "LINQ_API_V3_BASE_URL": f"{self.emulator}/api/partner",
            "LINQ_WEBHOOK_SECRET": self.webhook_secret,
            "LINQBOT_STORAGE": self.storage,
            "LINQBOT_HOST": "127.0.0.1",
            "LINQBOT_PORT": str(self.port),
            "LINQBOT_DRAIN_S": "1",
            "LINQBOT_LOG_TRACEBACKS": "1",
            "LINQBOT_LOG_TURNS": "0",
        }
        environ = kept | os.environ | given | self.instead
        bound = None if self.bound is None else self.bound.fileno()
        with held_back(), nullcontext() if self.log is None else self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a file in this folder such as json.py must not hide a module of Python
                "-m",
                self.program,
                self.file,
                self.emulator,
                *("" if fd is None else str(fd) for fd in (bound, waits)),
                *(["--json"] if self.as_json else []),
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=log is not None,
                pass_fds=[fd for fd in (bound, waits) if fd is not None],
            )

    async def stop(self) -> None:
        """Stop the process, if it runs; kill it if it does not stop in time."""
        self.is_stopping = True
        if self.preparing is not None:
            self.preparing.cancel()
        if self.process is not None:
            await stop(self.process, within_s=self.stop_s)
        self.accept()

    async def keep_up(self, begin: Callable[[], Awaitable[object]], watched: Path | None) -> None:
        """Let `begin` start the bot, and again whenever code or `linqbot.toml` in a folder is saved, until this task is cancelled."""
        saves = _saves_in(watched)
        while True:
            self.saved = saved = asyncio.ensure_future(anext(saves))
            try:
                async with self.changing:
                    await self.stop()
                    await self.let_begin(begin)
                await saved
            finally:
                saved.cancel()
                await asyncio.wait({saved})
            self.prepares = True

    async def let_begin(self, begin: Callable[[], Awaitable[object]]) -> None:
        """Let `begin` start the bot. A file that is saved meanwhile ends the start: the one before may never end loading."""
        start = asyncio.ensure_future(begin())
        try:
            await asyncio.wait({start, self.saved or start}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                await start
                return
        finally:
            start.cancel()
            await asyncio.wait({start})
        await self.stop()

    async def _watch(self, process: asyncio.subprocess.Process, on_end: Callable[[int], None]) -> None:
        """Refuse connections once a process has ended that was not stopped, until the next start or stop."""
        exit_code = await process.wait()
        if process is self.process and not self.is_stopping:
            self.refuse()
        on_end(exit_code)

    def refuse(self) -> None:
        """Close the connections that wait, and each that comes until the next start: no process is there to accept them."""
        if self.bound is not None:
            hang_up(self.bound)
            asyncio.get_running_loop().add_reader(self.bound, hang_up, self.bound)

    def accept(self) -> None:
        if self.bound is not None:
            asyncio.get_running_loop().remove_reader(self.bound)

    async def aclose(self) -> None:
        await self.stop()
        if self.prepared is not None:
            os.close(self.prepared.go)
            end(self.prepared.process, at_once=True)
            await self.prepared.process.wait()
            self.prepared = None

    async def needs(self) -> Needs | None:
        """Wait until the bot is up, and return what `NeededEvents` answers. None if its process ends before."""
        # Without a limit: a connection waits until the bot accepts it, or its process ends.
        async with httpx.AsyncClient(trust_env=False, verify=no_authorities(), timeout=None) as client:  # noqa: S113
            while self.is_running:
                with suppress(httpx.HTTPError):
                    answer = await client.get(f"{self.url}/plugins/{NeededEvents.name}/events")
                    found = answer.raise_for_status().json()
                    self.was_up = True
                    return Needs(tuple(found["types"]), everything=found["everything"])
                await asyncio.sleep(READY_EVERY_S)
        return None

    def client(self) -> httpx.AsyncClient:
        """Return a client for the routes of `bot.Inside`."""
        headers = {"authorization": f"Bearer {self.api_key}"}
        base_url = f"{self.url}/plugins/{INSIDE}"
        return httpx.AsyncClient(base_url=base_url, headers=headers, trust_env=False, verify=no_authorities())


async def _saves_in(watched: Path | None) -> AsyncIterator[object]:
    if watched is None:
        await asyncio.Event().wait()
    code_and_settings = watchfiles.PythonFilter(extra_extensions=("linqbot.toml",))
    async for changes in watchfiles.awatch(watched or ".", watch_filter=code_and_settings, debounce=200, step=20):
        yield changes


def note_end(bot: BotProcess, emulator: Emulator, earlier: Mapping[str, Any] | None, exit_code: int) -> None:
    """Show that the bot's process has ended, if it ended by itself and without a report since `earlier`."""
    has_reported = emulator.bot is not None and emulator.bot is not earlier and emulator.bot["status"] == "failed"
    if bot.is_stopping or bot.is_ending() or has_reported:
        return
    names = {each.value: each.name for each in signal.Signals}  # of most real-time signals there is none
    how = (
        f"with exit code {exit_code}"
        if exit_code >= 0
        else f"because of {names.get(-exit_code, f'signal {-exit_code}')}"
    )
    message = f"The bot's process ended {how}. The terminal may show why."
    status = "stopped" if bot.was_up else "failed"
    emulator.observe({"kind": "bot", "status": status, "message": message, "at": iso(emulator.clock.now())})
    if bot.was_up and not bot.as_json:
        click.secho(f"  {message} Save a file to start the bot again.", fg="red", err=True)
