"""The process of the bot under rehearsal: start, kill, stop, its memory, and what its storage says about its work."""

from __future__ import annotations

import asyncio
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from linqbot.cli.dev.bot_process import BotProcess
from linqbot.cli.dev.processes import end
from linqbot.cli.rehearsal.bot import REQUESTS
from linqbot.errors import ConfigError
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.open import open_storage
from linqbot.testing.ledger import FILE as LEDGER
from linqbot.testing.ledger import Ledger, lines_of

START_S: Final = 120.0
LOG: Final = "bot.log"
MOST: Final = 10_000


class ServedBot:
    """The bot in its process. `async with` stops it at its end.

    Args:
        emulator: URL of the emulator.
        port: A free port.
        folder: A folder for the bot's storage.
        out: The folder for its log.
        bound: See `BotProcess`. While no process runs, connections are closed.
    """

    def __init__(
        self, file: str, emulator: str, port: int, folder: Path, out: Path, *, bound: socket.socket | None
    ) -> None:
        self._log = out / LOG
        self.process = BotProcess(
            file,
            emulator,
            port,
            folder,
            api_key="rehearsal_" + secrets.token_hex(16),
            program="linqbot.cli.rehearsal.bot",
            log=self._log,
            stop_s=10.0,
            bound=bound,
            instead={"LINQBOT_DRAIN_S": "5", "LINQBOT_LOG_TURNS": "1", LEDGER: str(folder / "ledger")},
        )
        self._has_answered = False

    async def __aenter__(self) -> Self:
        self._log.unlink(missing_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.process.stop()

    @property
    def has_ended(self) -> bool:
        return self.process.process is not None and not self.process.is_running

    async def start(self) -> int:
        """Start the process, and wait until it answers.

        A message that waits may end it before it answers. Then it is started again.

        Returns:
            How often it ended by itself before it answered.
        """
        ended = 0
        try:
            async with asyncio.timeout(START_S):
                await self.process.start()
                while not await self.process.is_up():
                    if not self._has_answered:
                        raise self._not_started("did not start")
                    ended += 1
                    await self.process.start()
        except TimeoutError:
            raise self._not_started(f"did not answer within {START_S:g} s") from None
        self._has_answered = True
        return ended

    def _not_started(self, what: str) -> ConfigError:
        last = self._log.read_text(errors="replace").strip()[-2000:]
        return ConfigError(f"{self.process.file} {what}. Its log, {self._log}, ends with:\n{last}")

    async def kill(self) -> int:
        """Kill the process at once, and start it again. Return how often it then ended by itself."""
        async with self.process.changing:
            if self.process.process is not None and self.process.is_running:
                end(self.process.process, at_once=True)
                await self.process.process.wait()
            return await self.start()

    async def unfinished(self) -> set[str]:
        """Return the ids of the chats with deliveries that the bot has not finished."""
        async with self._storage() as storage:
            waiting = await storage.waiting(limit=MOST)
        return {chat_id for one in waiting if (chat_id := chat_of_lane(one.lane)) is not None}

    async def dead(self) -> list[DeadDelivery]:
        """Return the deliveries that the bot gave up, the oldest first."""
        if not self._has_answered:
            return []
        async with self._storage() as storage:
            return (await storage.dead_letters(limit=MOST))[::-1]

    def _storage(self) -> Storage:
        return open_storage(self.process.storage, serving=False)

    def ledger(self) -> Ledger | None:
        """Return the fake outside system that the bot uses; None if it uses none."""
        file = Path(self.process.instead[LEDGER])
        return Ledger(file=file) if file.exists() else None

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests to models so far, each with its chat, its tokens and its cost as far as they are known."""
        return lines_of(Path(self.process.instead[LEDGER]).with_name(REQUESTS))

    def memory_bytes(self) -> int | None:
        """Return the resident memory of the process; None if it does not run, or the system does not say it."""
        if self.process.process is None or not self.process.is_running:
            return None
        try:
            status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
        return None if line is None else int(line.split()[1]) * 1024
