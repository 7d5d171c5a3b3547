"""The process of the bot under rehearsal: start, kill, stop, its memory, and what its storage says about its work."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linqbot.cli.dev.bot_process import BotProcess
from linqbot.cli.dev.processes import end
from linqbot.cli.rehearsal.bot import REQUESTS
from linqbot.errors import ConfigError
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.open import open_storage
from linqbot.testing.ledger import FILE as LEDGER
from linqbot.testing.ledger import Ledger, lines_of

START_S: Final = 120.0
LOG: Final = "bot.log"
MOST: Final = 10_000


@dataclass(slots=True)
class ServedBot(BotProcess):
    """The bot in its process, which writes a log."""

    program: str = "linqbot.cli.rehearsal.bot"
    log: Path = Path(LOG)
    stop_s: float = 10.0
    has_answered: bool = False  # since its first start

    def __post_init__(self) -> None:
        self.log.unlink(missing_ok=True)
        self.instead |= {"LINQBOT_DRAIN_S": "5", "LINQBOT_LOG_TURNS": "1", LEDGER: str(self.folder / "ledger")}

    async def serve(self) -> int:
        """Start the process, and wait until it answers.

        A message that waits may end it before it answers. Then it is started again.

        Returns:
            How often it ended by itself before it answered.
        """
        ended = 0
        try:
            async with asyncio.timeout(START_S):
                await self.start()
                while await self.needs() is None:
                    if not self.has_answered:
                        raise self._not_started("did not start")
                    ended += 1
                    await self.start()
        except TimeoutError:
            raise self._not_started(f"did not answer within {START_S:g} s") from None
        self.has_answered = True
        return ended

    def _not_started(self, what: str) -> ConfigError:
        last = self.log.read_text(errors="replace").strip()[-2000:]
        return ConfigError(f"{self.file} {what}. Its log, {self.log}, ends with:\n{last}")

    async def kill(self) -> int:
        """Kill the process at once, and start it again. Return how often it then ended by itself."""
        async with self.changing:
            if self.process is not None and self.is_running:
                end(self.process, at_once=True)
                await self.process.wait()
            return await self.serve()

    async def unfinished(self) -> set[str]:
        """Return the ids of the chats with deliveries that the bot has not finished."""
        async with open_storage(self.storage, serving=False) as storage:
            waiting = await storage.waiting(limit=MOST)
        return {chat_id for one in waiting if (chat_id := chat_of_lane(one.lane)) is not None}

    async def dead(self) -> list[DeadDelivery]:
        """Return the deliveries that the bot gave up, the oldest first."""
        if not self.has_answered:
            return []
        async with open_storage(self.storage, serving=False) as storage:
            return (await storage.dead_letters(limit=MOST))[::-1]

    def ledger(self) -> Ledger | None:
        """Return the fake outside system that the bot uses; None if it uses none."""
        file = Path(self.instead[LEDGER])
        return Ledger(file=file) if file.exists() else None

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests to models so far, each with its chat, its tokens and its cost as far as they are known."""
        return lines_of(Path(self.instead[LEDGER]).with_name(REQUESTS))

    def memory_bytes(self) -> int | None:
        """Return the resident memory of the process; None if it does not run, or the system does not say it."""
        if self.process is None or not self.is_running:
            return None
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
        return None if line is None else int(line.split()[1]) * 1024
