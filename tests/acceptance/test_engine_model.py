"""Random schedules against a model of the promises: each text is answered once and in order, whatever happens.

A schedule mixes texts of several people with time that passes, restarts, kills at any call or commit, errors and lost
answers of Linq, webhooks that come twice or late, and a storage that fails before or after a write. It runs in this process:
the real engine, a storage in memory, the emulator, and a clock that stands still.

A failure prints its schedule. `MODEL_SEEDS=1000` tries more of them, and `MODEL_FIRST=14 MODEL_SEEDS=1` only that of seed 14.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Self, cast

import pytest
from linqbot_dev.emulator.declared_world import LINES
from linqbot_dev.testing.stage.bot_run import CrashPoints
from linqbot_dev.testing.stage.stage import Stage
from pydantic import BaseModel
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived, hookimpl
from linqbot.clock import Clock
from linqbot.errors import StorageUnavailable
from linqbot.storage.backend import Storage, StorageBackend
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.testing import HandlerFailed, Phone

FIRST, SEEDS = int(os.environ.get("MODEL_FIRST", "0")), int(os.environ.get("MODEL_SEEDS", "30"))
PEOPLE: Final = ("+14155550101", "+14155550102", "+14155550103")
LATER_S: Final = 90.0
KILLS, FAULTS_OF_STORAGE = 4, 6
"""At most so many in a schedule: a delivery over which the process crashes five times is a dead letter, by promise. A lease
whose answer is lost counts as a crash too, because its turn never ends."""


# The promises


class Model:
    """The texts that one person must have read, from those that the person has sent."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.later: list[str] = []
        self.count = 0
        self.asking: str | None = None

    def text(self, text: str) -> None:
        """Handle one text as the bot does; an open question takes it as its answer."""
        if self.asking is not None:
            self.said.append(f"{self.asking}: {text}")
            self.asking = None
            return
        word, _, number = text.partition(" ")
        match word:
            case "echo" | "fail":
                self.said.append(text)
            case "two":
                self.said += [f"one {number}", f"two {number}"]
            case "count":
                self.count += 1
                self.said.append(f"count {self.count}")
            case "once":
                self.said.append(f"once {number}")
            case "later":
                self.said.append(f"planned {number}")
                self.later.append(text)
            case "ask":
                self.said.append(f"which {number}?")
                self.asking = text


WORDS: Final = ("echo", "two", "count", "once", "later", "ask", "fail")


# The bot


class Counted(BaseModel):
    """The state of a chat."""

    count: int = 0


class World:
    """The bot of a schedule, and everything around it that a crash does not undo."""

    def __init__(self, rng: random.Random, kills: Kills) -> None:
        self.effects: dict[str, set[str]] = defaultdict(set)
        self.failed: set[str] = set()
        self.storage = FaultyStorage(rng, kills)
        self.bot = Bot(read=False, typing=False, max_age_s=None, plugins=[self])
        self.bot.on_message(self.handle)

    @hookimpl
    def register_storage(self) -> Mapping[str, StorageBackend]:
        return {"faulty": FaultyBackend(self.storage)}

    async def handle(self, message: MessageReceived, ctx: Context) -> None:
        text = message.text
        word, _, number = text.partition(" ")
        match word:
            case "echo":
                await ctx.reply(text)
            case "fail":
                if text not in self.failed:
                    self.failed.add(text)
                    raise RuntimeError("once")
                await ctx.reply(text)
            case "two":
                await ctx.reply(f"one {number}")
                await ctx.reply(f"two {number}")
            case "count":
                counted = await ctx.state.chat(Counted)
                counted.count += 1
                await ctx.reply(f"count {counted.count}")
            case "once":

                def act(key: str) -> str:
                    self.effects[number].add(key)
                    return number

                await ctx.reply(f"once {await ctx.once('act', act, retry=True)}")
            case "later":
                await ctx.send_later(text, after_s=LATER_S)
                await ctx.reply(f"planned {number}")
            case "ask":
                answer = await ctx.ask(f"which {number}?")
                await ctx.reply(f"{text}: {answer}")


# What goes wrong


class FaultyStorage:
    """A storage in memory that survives the bot, and whose operations fail now and then, before or after they are done."""

    def __init__(self, rng: random.Random, kills: Kills) -> None:
        self._rng = rng
        self._kills = kills
        self._kept: MemoryStorage | None = None
        self.rate = 0.0
        self.left = FAULTS_OF_STORAGE

    def given(self, clock: Clock | None) -> Storage:
        self._kept = self._kept or MemoryStorage(clock=clock)
        return cast("Storage", self)

    async def __aenter__(self) -> Self:
        assert self._kept is not None
        await self._kept.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._kept is not None
        await self._kept.__aexit__(*exc)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._kept, name)
        if name not in ("put", "take", "begin", "settle", "finish", "write_state", "schedule", "fire", "join"):
            return method

        async def faulty(*args: Any, **kwargs: Any) -> Any:
            if name != "put":  # refused, a text would be repeated after the next one, and answered after it
                self._fail("before", name)
            result = await method(*args, **kwargs)
            if name != "take":
                self._fail("after", name)
            elif self._kills.left:
                self._fail("after", name, self._kills)
            return result

        return faulty

    def _fail(self, when: str, name: str, kills: Kills | None = None) -> None:
        if self.left and self._rng.random() < self.rate:
            self.left -= 1
            if kills is not None:
                kills.left -= 1
            raise StorageUnavailable(f"{when} {name}")


class FaultyBackend(StorageBackend):
    form = "faulty://"

    def __init__(self, storage: FaultyStorage) -> None:
        self._storage = storage

    def open(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
        assert (url, serving, keep_days) == ("faulty://", True, 0)
        return self._storage.given(clock)


class Kills(CrashPoints):
    """Kills the bot at random calls and commits."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self.rate = 0.0
        self.left = KILLS
        self.places: list[str] = []

    def is_end(self, point: str) -> bool:
        if not self.left or self._rng.random() >= self.rate:
            return False
        self.left -= 1
        self.killed = point
        self.places.append(point)
        return True


async def calm(phone: Phone, seconds: float = 0.0) -> None:
    """Let time pass and everything end; an error of a handler is a part of the schedule."""
    for _ in range(20):
        try:
            await phone.advance(seconds)
        except HandlerFailed:
            seconds = 0.0
        else:
            return
    raise AssertionError("handlers fail for ever")


async def step(rng: random.Random, phone: Phone, number: int, model: Model, kills: Kills) -> str:
    """Do one thing of a schedule, and return its name."""
    kind = rng.choices(("text", "time", "restart", "refuse", "drop", "double", "late"), (60, 14, 6, 7, 7, 3, 3))[0]
    match kind:
        case "text":
            text = f"{rng.choice(WORDS)} {number}"
            await phone.text(text)
            model.text(text)
            return text
        case "time":
            seconds = rng.choice((0.5, 5.0, 60.0, 400.0))
            await calm(phone, seconds)
            return f"{seconds} s"
        case "restart":
            # It kills the bot too, and with it the turns that have not ended.
            if not kills.left:
                await calm(phone, 60.0)
            kills.left = max(kills.left - 1, 0)
            await phone.restart(down_s=rng.choice((0.0, 10.0, 300.0)))
        case "refuse":
            phone.fail_next("", status=rng.choice((429, 500, 503)), times=rng.choice((1, 1, 3)))
        case "drop":
            phone.drop_next("", lost=rng.choice(("answer", "request", "connection")))
        case "double":
            phone.double_next("message.received")
        case "late":
            phone.fail_next_delivery("message.received", status=503, times=rng.choice((1, 2)))
            model.text(text := f"echo {number}")
            await phone.text(text)
            await calm(phone, 600.0)  # a text that is repeated after the next one is answered after it
    return kind


async def run(seed: int) -> list[str]:
    """Run one schedule; return how what happened differs from the promises, with the schedule."""
    rng = random.Random(seed)
    world = World(rng, kills := Kills(rng))
    models = {handle: Model() for handle in PEOPLE}
    stage = Stage(
        world.bot,
        start=None,
        version="2026-02-03",
        handler_timeout_s=20.0,
        storage="faulty://",
        copies=1,
        crash_points=kills,
    )
    log: list[str] = []
    async with stage:
        phones = {handle: Phone(stage, handle, LINES[0]) for handle in PEOPLE}
        kills.rate, world.storage.rate = rng.choice((0.0, 0.02, 0.05)), rng.choice((0.0, 0.01, 0.03))
        for number in range(rng.randint(8, 30)):
            handle = rng.choice(PEOPLE)
            log.append(f"{handle[-3:]} {await step(rng, phones[handle], number, models[handle], kills)}")
        kills.rate = world.storage.rate = 0.0
        stage.emulator.world.faults.clear()
        for _ in range(3):
            await calm(phones[handle], 3600.0)
        found = [f"dead letter: {dead.error}" for dead in await phones[handle].dead_letters()]
        for handle, model in models.items():
            said = [str(bubble) for bubble in phones[handle].messages if bubble.from_bot]
            answers, later = [t for t in said if t not in model.later], [t for t in said if t in model.later]
            if answers != model.said:
                found.append(f"{handle}: said {answers}, and should have said {model.said}")
            if sorted(later) != sorted(model.later):
                found.append(f"{handle}: sent later {later}, and should have sent {model.later}")
        found += [
            f"once {number} acted under {len(keys)} keys" for number, keys in world.effects.items() if len(keys) > 1
        ]
    return [*found, f"seed {seed}: {'; '.join(log)}; kills: {kills.places}"] if found else []


@pytest.mark.slow
async def test_a_random_schedule_keeps_every_promise(subtests: pytest.Subtests) -> None:
    for seed in range(FIRST, FIRST + SEEDS):
        with subtests.test(seed=seed), capture_logs():
            found = await run(seed)
            assert not found, "\n".join(found)
