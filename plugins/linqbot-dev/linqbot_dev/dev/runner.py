"""The runner of `linqbot dev`: lets the emulator's page move the bot's clock, look into its storage, and restart it.

It works in the emulator's process, and reads the bot's storage as commands do. A checkpoint is what it takes to return to
the state before a message. The clocks of emulator and bot move in steps: they stop at each
time at which either side has something to do, and go on when it is done. One jump over seven days would make a send of
the first day six days late, and a send that is so late is not made.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from pydantic_core import from_json

from linqbot.cli.storage_option import FILE
from linqbot.cli.stored_rows import dead_row, question_row, timer_row, waiting_row
from linqbot.engine.state import CHAT, PERSON
from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.features.later import KIND as SEND
from linqbot.features.schedules import REPEAT, SCHEDULE
from linqbot.linq.events.delivery import LINQ_DELIVERY, decode
from linqbot.linq.events.lane import chat_of_lane, lane_of_chat
from linqbot.linq.handles import person_key
from linqbot.storage.backend import Storage
from linqbot.storage.open import open_storage
from linqbot.storage.sqlite import upkeep
from linqbot.storage.state import BOT
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Waiting
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.emulator.acts.chat_acts import event_of
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import BotRunner, Emulator
from linqbot_dev.emulator.model.answers import conflict
from linqbot_dev.emulator.model.documents import iso

BUSY_S = 30.0
"""Seconds of real time that the bot may work at one time of the clock."""

LONGEST_S = 60.0
"""Seconds of real time for one move. A bot that schedules a send each minute makes 10,080 of them in a week."""

LOOK_S = 0.01

START_S = 3.0
"""Seconds of real time that the page waits for a bot that is being started. A file may never end loading."""

NOT_RUNNING: Final[dict[str, Any]] = {"available": True, "is_running": False}
"""What the page shows of the storage of a bot that does not run."""


@dataclass(frozen=True, slots=True)
class Work:
    is_busy: bool  # a turn runs, or could run now
    # The time at which a retry or a scheduled send is due next, in Unix seconds; None if there is none.
    next_at: float | None


class DevRunner(BotRunner):
    """Connects an emulator with the process of its bot.

    `begin` starts the process, and returns when the bot answers or the process has ended.
    """

    runs_bot = True

    def __init__(self, emulator: Emulator, process: BotProcess, begin: Callable[[], Awaitable[object]]) -> None:
        super().__init__(emulator)
        self._process = process
        self._begin = begin
        self._file = process.folder / FILE
        self._checkpoints: deque[Checkpoint] = deque(maxlen=KEPT)
        self._writing = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._era = 0
        """Counts the resets and restarts, after which a move of the clock must not go on."""
        self._http = process.client()

    async def aclose(self) -> None:
        await self._http.aclose()

    # Messages, and restarting from them

    async def write(self, message: Write) -> dict[str, str | None]:
        async with self._writing:
            return await self._write(message)

    async def restart_from(self, message_id: str) -> dict[str, str | None]:
        async with self._writing:
            checkpoint = next((one for one in self._checkpoints if one.message_id == message_id), None)
            if checkpoint is None:
                raise conflict(
                    f"It is not possible to restart from this message: linqbot dev keeps the latest {KEPT} messages that "
                    "people wrote since it was started or reset."
                )
            async with self._stopped():
                checkpoint.rewind()
                await asyncio.to_thread(put_back, self._file, checkpoint.copy)
            while self._checkpoints and self._checkpoints.pop() is not checkpoint:
                pass
            return await self._write(checkpoint.message)

    async def reset(self) -> None:
        async with self._writing:
            async with self._stopped():
                self._emulator.reset()
                self._emulator.return_to_real_time()
                await asyncio.to_thread(put_back, self._file, None)
            self._checkpoints.clear()

    async def _write(self, message: Write) -> dict[str, str | None]:
        # The copy first: what the bot does while it is made is then in the emulator but not in the copy, as after a crash.
        # The bot repeats it with the same idempotency keys, and webhooks from this time on are delivered again.
        stored_until = self._emulator.clock.now()
        copy = await asyncio.to_thread(copy_of, self._file)
        rewind = self._emulator.rewinder(stored_until=stored_until)
        written = self._emulator.do(message)
        if copy is not None and written["message_id"] is not None:
            self._checkpoints.append(Checkpoint(written["message_id"], message, rewind, copy))
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
                await self._process.let_begin(self._begin)

    # The clock

    def stop_moving(self) -> None:
        """Let a move of the clock end where it is, so that the server can stop."""
        self._era += 1

    async def move_to(self, at: float) -> str | None:
        """Move the clocks to a time in Unix seconds. Return why they stopped before that time; None if they got there."""
        async with self._moving:
            return await self._move_to(at, self._era)

    async def _move_to(self, at: float, era: int) -> str | None:
        emulator, end = self._emulator, time.monotonic() + LONGEST_S
        while (now := emulator.clock.now()) < at:
            work = await self._settled(era)
            if self._era != era:
                return "The state was reset or restarted meanwhile."
            if work is None:
                return f"A handler has been at work for {BUSY_S:g} s, so the clock stays at {iso(now)}."
            if time.monotonic() > end:
                took = f"So much happened on the way that it took {LONGEST_S:g} s."
                return f"{took} The clock stays at {iso(now)}; move it again."
            now = emulator.clock.now()
            times = (at, work.next_at, emulator.world.timers.next_due)
            # What has come due since the look is done before the clock moves on.
            emulator.advance_to(max(now, min(due for due in times if due is not None)))
            await self.follow_clock()
        await self._settled(era)
        return None

    async def _settled(self, era: int) -> Work | None:
        """Wait until all webhooks are answered and the bot has nothing to do now. Return its next work.

        None if that takes too long, or if the state was replaced since `era`.
        """
        end = time.monotonic() + BUSY_S
        calm = 0
        while True:
            # Twice: a turn may end between the two looks and cause a webhook, or the other way round.
            try:
                async with asyncio.timeout(BUSY_S):
                    await self._emulator.world.deliveries.settled()
            except TimeoutError:
                return None
            work = await self.work()
            calm = 0 if work.is_busy else calm + 1
            if calm == 2:
                return work
            if time.monotonic() > end or self._era != era:
                return None
            await asyncio.sleep(LOOK_S)

    async def follow_clock(self) -> None:
        """Give the bot the emulator's clock. A bot that does not run asks for it when it starts."""
        clock = self._emulator.clock
        async with self._process.changing:  # a bot that starts may have asked before the clock was moved
            if self._process.is_running:
                body = {"at": clock.now(), "ahead_s": clock.ahead_s, "is_frozen": clock.is_frozen}
                with suppress(httpx.TransportError):  # it ends
                    await self._http.put("/clock", json=body)

    async def work(self) -> Work:
        """Return the bot's work. A bot that does not run has none."""
        async with self._storage() as storage:
            if storage is None:
                return Work(is_busy=False, next_at=None)
            return await work_of(storage, self._emulator.clock.now())

    # The storage

    @asynccontextmanager
    async def _storage(self) -> AsyncIterator[Storage | None]:
        """Yield the bot's storage; None if the bot does not run. Until the end of the block it is not stopped or started."""
        async with self._process.changing:
            if not self._process.is_running:
                yield None
                return
            async with open_storage(self._process.storage, clock=self._emulator.clock, serving=False) as storage:
                yield storage

    async def stored(self, chat_id: str | None) -> dict[str, Any]:
        process = self._process
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S), process.changing:  # held until the bot has started
                pass
        if process.is_stopping or not process.was_up:
            return NOT_RUNNING
        chat = self._emulator.state.chats.get(chat_id or "")
        async with self._storage() as storage:
            if storage is None:
                return NOT_RUNNING
            return await everything(storage, chat_id, list(chat.people) if chat else [])

    async def run_again(self, message_id: str) -> None:
        event_id = event_of(self._emulator.world, message_id)
        try:
            answer = await self._http.post("/run-again", json={"delivery_id": LINQ_DELIVERY + event_id})
        except httpx.TransportError:
            raise conflict("The bot does not run. Correct its file and save it.") from None
        if not (answer.is_success and answer.json()["count"]):
            raise conflict("The bot has not handled this message yet, or no longer keeps it.")


KEPT = 20
"""Number of messages that can be restarted from."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    message_id: str  # the id that the message then got
    message: Write  # the act of writing it, to be performed again
    rewind: Callable[[], None]
    copy: bytes  # the content of the bot's SQLite file


def copy_of(file: Path) -> bytes | None:
    """Return the content of the bot's SQLite file at one moment. None if it cannot be read, as in the first moment of a bot."""
    if not file.exists():
        return None
    try:
        return upkeep.on_own_connection(file, _serialized)
    except (StorageUnavailable, ConfigError):
        return None


def _serialized(db: sqlite3.Connection) -> bytes:
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM meta").fetchone()  # all pages are those of this moment
    return db.serialize()


def put_back(file: Path, copy: bytes | None) -> None:
    """Replace the file by a copy, or remove it. No process may have it open."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    if copy is not None:
        file.touch(mode=0o600)
        file.write_bytes(copy)


# What the bot stores


async def work_of(storage: Storage, now: float) -> Work:
    """Return the work of a bot. A delivery stays in the inbox until the end of its turn is stored."""
    timer = await storage.next_timer()
    heads: dict[str, Waiting] = {}
    for waiting in await storage.waiting(limit=1000):
        heads.setdefault(waiting.lane, waiting)  # The deliveries behind the first one of a lane wait for it.
    pauses = [head.not_before for head in heads.values() if head.state in {"gathering", "retrying", "deferred"}]
    # A delivery whose pause is over is work, also if the bot's process has not come to it yet.
    waits = [at for at in pauses if at is None or at > now]
    is_due = timer is not None and timer <= now
    next_at = min((at for at in [timer, *waits] if at is not None and at > now), default=None)
    return Work(is_busy=is_due or len(waits) < len(heads), next_at=next_at)


MOST: Final = 100
"""The most rows of a kind that the page shows."""
_MOST_TIMERS: Final = 10_000
_SCHEDULED: Final = frozenset({SEND, REPEAT, SCHEDULE})


async def everything(storage: Storage, chat_id: str | None, people: Sequence[str]) -> dict[str, Any]:
    """Return the scheduled sends of all chats, the state of the bot and, of one chat, what else the bot stores."""
    of_all = {
        "available": True,
        "is_running": True,
        "scheduled": await _scheduled(storage),
        "bot_state": await _state(storage, BOT),
    }
    if chat_id is None:
        return of_all
    lane = lane_of_chat(chat_id)
    waiting = await storage.waiting(lane=lane, limit=MOST)
    dead = await storage.dead_letters(lane=lane, limit=MOST)
    return of_all | {
        "questions": [question_row(each) for each in await storage.conversations(chat_id=chat_id)],
        "waiting": [waiting_row(each) for each in waiting],
        "dead": [dead_row(each, each.whole_error) for each in dead],
        "state": await _state(storage, CHAT + chat_id),
        "people": [
            {"handle": handle, "state": await _state(storage, PERSON + person_key(handle))} for handle in people[:MOST]
        ],
    }


async def _scheduled(storage: Storage) -> list[dict[str, Any]]:
    """Return what the author has scheduled. Timers of linqbot's own, such as the timeout of a question, send nothing."""
    timers = await storage.scheduled(limit=_MOST_TIMERS)
    return [
        timer_row(timer) | {"chat_id": chat_of_lane(timer.lane) or "", "text": _text(timer)}
        for timer in timers
        if timer.kind in _SCHEDULED
    ][:MOST]


async def _state(storage: Storage, scope: str) -> dict[str, Any]:
    return {name: from_json(value) for name, value in (await storage.load(scope)).items()}


def _text(timer: Timer) -> str:
    if timer.kind == SCHEDULE:
        return f"@bot.every: {timer.id}"
    calls = (decode(timer.payload) or {}).get("calls") or ()
    return " ".join(text for call in calls for text in _texts(call))


def _texts(call: dict[str, Any]) -> list[str]:
    """Return the texts of the message that a call sends, with a word for each other part."""
    message = (call.get("body") or {}).get("message") or {}
    return [str(part.get("value") or f"[{part.get('type')}]") for part in message.get("parts") or ()]
