"""The runner of `linqbot dev`: lets the emulator's page move the bot's clock, look into its storage, and restart it.

It works in the emulator's process and calls the routes of `cli/dev/inside.py` in the bot's process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from linqbot.cli.dev import inside, moving
from linqbot.cli.dev.bot_process import BotProcess
from linqbot.cli.dev.checkpoints import KEPT, Checkpoint, StorageCopies
from linqbot.emulator import rewinding
from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.answers import conflict
from linqbot.emulator.runner import Moved
from linqbot.events.delivery import LINQ_DELIVERY

START_S = 10.0
"""Seconds for which a starting bot is asked to follow the clock. After a later start it asks for the clock itself."""

TURNS_ASKED = 30


class DevRunner:
    """Connects an emulator with the process of its bot: see `linqbot.emulator.runner.BotRunner`.

    Args:
        begin: Starts the process, and returns when the bot answers or the process has ended.
        storage: The SQLite file of the bot.
        folder: A folder for copies of that file.
    """

    def __init__(
        self,
        emulator: Emulator,
        process: BotProcess,
        begin: Callable[[], Awaitable[object]],
        storage: Path,
        folder: Path,
    ) -> None:
        self._emulator = emulator
        self._process = process
        self._begin = begin
        self._copies = StorageCopies(storage, folder)
        self._checkpoints: deque[Checkpoint] = deque()
        self._writing = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._era = 0
        """Counts the resets and restarts, after which a move of the clock must not go on."""
        self._http = httpx.AsyncClient(
            base_url=f"{process.url}/plugins/{inside.NAME}",
            headers={"authorization": f"Bearer {process.api_key}"},
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections to the bot."""
        await self._http.aclose()

    # Messages, and restarting from them

    @property
    def restartable(self) -> list[str]:
        """The ids of the messages that `restart_from` accepts, oldest first."""
        return [checkpoint.message_id for checkpoint in self._checkpoints]

    async def write(self, message: Write) -> dict[str, str | None]:
        """Keep a checkpoint, then perform the act; see `BotRunner.write`."""
        async with self._writing:
            return await self._write(message)

    async def restart_from(self, message_id: str) -> dict[str, str | None]:
        """Return to the state before a message, and write it again; see `BotRunner.restart_from`.

        Raises:
            ApiError: 409, there is no checkpoint of this message.
        """
        async with self._writing:
            checkpoint = next((one for one in self._checkpoints if one.message_id == message_id), None)
            if checkpoint is None:
                raise conflict(
                    f"It is not possible to restart from this message: linqbot dev keeps the latest {KEPT} messages that "
                    "people wrote since it was started or reset."
                )
            async with self._stopped():
                rewinding.restore(self._emulator, checkpoint.snapshot)
                await asyncio.to_thread(self._copies.put_back, checkpoint.copy)
            while self._checkpoints and self._checkpoints[-1] is not checkpoint:
                self._copies.delete(self._checkpoints.pop().copy)
            self._copies.delete(self._checkpoints.pop().copy)
            return await self._write(checkpoint.message)

    async def reset(self) -> None:
        """Empty the emulator and the bot's storage, and return to real time."""
        async with self._writing:
            async with self._stopped():
                self._emulator.reset()
                self._emulator.return_to_real_time()
                await asyncio.to_thread(self._copies.put_back, None)
            while self._checkpoints:
                self._copies.delete(self._checkpoints.pop().copy)
            self._emulator.show_runner()

    async def _write(self, message: Write) -> dict[str, str | None]:
        # The copy first: what the bot does while it is made is then in the emulator but not in the copy, as after a crash.
        # The bot repeats it with the same idempotency keys, and webhooks from this time on are delivered again.
        stored_until = self._emulator.clock.now()
        copy = await asyncio.to_thread(self._copies.make)
        snapshot = rewinding.take(self._emulator, stored_until=stored_until)
        try:
            written = self._emulator.do(message)
        except BaseException:
            self._copies.delete(copy)
            raise
        if copy is None or written["message_id"] is None:
            self._copies.delete(copy)
            return written
        self._checkpoints.append(Checkpoint(written["message_id"], message, snapshot, copy))
        while len(self._checkpoints) > KEPT:
            self._copies.delete(self._checkpoints.popleft().copy)
        self._emulator.show_runner()
        return written

    @asynccontextmanager
    async def _stopped(self) -> AsyncIterator[None]:
        """Stop the bot for the time of a block, then start it again and wait until it answers."""
        self._era += 1
        async with self._process.changing:
            await self._process.stop()
            self._process.refuse()  # what came before a reset must not reach the next process
            try:
                yield
            finally:
                await self._begin()

    # The clock

    def stop_moving(self) -> None:
        """Let a move of the clock end where it is, so that the server can stop."""
        self._era += 1

    async def move_to(self, at: float) -> Moved:
        """Move the clocks of emulator and bot forward; see `BotRunner.move_to`."""
        async with self._moving:
            era = self._era
            return await moving.move(self._emulator, self, at, is_over=lambda: self._era != era)

    async def follow_clock(self) -> None:
        """Give the bot the emulator's clock. A bot that does not run asks for it when it starts."""
        clock, end = self._emulator.clock, asyncio.get_running_loop().time() + START_S
        while self._process.is_running and asyncio.get_running_loop().time() < end:
            body = {"at": clock.now(), "ahead_s": clock.ahead_s, "is_frozen": clock.is_frozen}
            try:
                await self._http.put("/clock", json=body)
            except httpx.TransportError:
                await asyncio.sleep(0.05)  # It starts, and may have asked before the clock was moved; or it ends.
            else:
                return

    async def work(self) -> moving.Work:
        """Return the bot's work. A bot that does not answer has none."""
        try:
            answer = await self._http.get("/work")
        except httpx.TransportError:
            return moving.Work(is_busy=False, next_at=None)
        return moving.Work(**answer.json()) if answer.is_success else moving.Work(is_busy=False, next_at=None)

    # The storage

    async def stored(self, chat_id: str | None) -> dict[str, Any]:
        """Return what the bot stores; see `BotRunner.stored`."""
        chat = self._emulator.state.chats.get(chat_id or "")
        people = list(chat.people) if chat else []
        asked = {"chat_id": chat_id or [], "person": people, "turn": self._events_of(chat_id)}
        try:
            answer = await self._http.get("/stored", params=asked)
        except httpx.TransportError:
            return {"available": True, "is_running": False}
        if not answer.is_success:
            return {"available": True, "is_running": False}
        return {"is_running": True, **answer.json()}

    async def run_again(self, event_id: str) -> None:
        """Let the bot handle an event again; see `BotRunner.run_again`.

        Raises:
            ApiError: 409, the bot does not run, has not handled the event, or no longer keeps it.
        """
        try:
            answer = await self._http.post("/run-again", json={"delivery_id": _delivery_id(event_id)})
        except httpx.TransportError:
            raise conflict("The bot does not run. Correct its file and save it.") from None
        if not (answer.is_success and answer.json()["count"]):
            raise conflict("The bot has not handled this message yet, or no longer keeps it.")

    def _events_of(self, chat_id: str | None) -> list[str]:
        history = self._emulator.world.deliveries.history
        events = [one.event_id for one in history if one.chat_id == chat_id and chat_id is not None]
        return [_delivery_id(event_id) for event_id in dict.fromkeys(events)][-TURNS_ASKED:]


def _delivery_id(event_id: str) -> str:
    """Return the id under which the bot stores a webhook: see `Delivery.from_webhook`."""
    return LINQ_DELIVERY + event_id
