"""The turns of a bot without a server: what `serve` puts together, with a fake Linq."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fakes import CHAT, NOW, Linq, delivery, text_body
from one_handler import bot_of
from patience import PATIENCE_S
from pydantic_core import from_json

from linqbot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.call import Call, prepare
from linqbot.clock import Clock, MovableClock
from linqbot.engine.failure import RetryPolicy
from linqbot.engine.feature import Feature
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turns import Turns
from linqbot.engine.worker import Worker
from linqbot.features.catalog import catalogue
from linqbot.features.later import StoredSend
from linqbot.linq.events.lane import lane_of_chat
from linqbot.plugin_loading import load
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.memory import MemoryStorage


def turns_of(
    bot: Bot,
    linq: Linq,
    storage: Storage,
    clock: Clock,
    *,
    retry_policy: RetryPolicy | None = None,
    features: Callable[[Turns], Sequence[Feature]] = catalogue,
    **more: Any,
) -> Turns:
    """Return what runs turns of the bot, with its plugins and features; `more` are other fields of `Turns`."""
    loaded = load(bot.plugins)
    policy = retry_policy or RetryPolicy()
    return Turns(
        Dispatcher(bot, clock, deadline_s=policy.deadline_s, plugins=loaded),
        linq.client,
        storage,
        clock,
        SendRateLimit(clock),
        features,
        policy,
        outbound=Outbound(loaded),
        **more,
    )


def send_of(text: str) -> Call:
    """Return a call that sends a text to `CHAT`."""
    message = {"parts": [{"type": "text", "value": text}]}
    return prepare("chats.messages.send", path={"chat_id": CHAT}, body={"message": message})


class TurnByTurn:
    """A bot with one handler of messages, and a storage in memory. A test runs its turns one by one; the clock stands still."""

    def __init__(self, handler: Callable[..., Any], *plugins: Any, **retry_policy: Any) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.storage = MemoryStorage(clock=self.clock)
        self.linq = Linq()
        self._retry_policy = RetryPolicy(**retry_policy)
        self.deploy(handler, *plugins)

    def deploy(self, handler: Callable[..., Any], *plugins: Any) -> None:
        """Let another handler and other plugins run from now on."""
        bot = bot_of(handler, read=False, typing=False, plugins=plugins)
        self._turns = turns_of(bot, self.linq, self.storage, self.clock, retry_policy=self._retry_policy)
        self._turns.client = self._turns.client.wrapped(self._turns.outbound.observed)

    def status(self) -> str:
        """Return the status of the only plugin."""
        (status,) = self._turns.outbound.plugins.report().values()
        return status

    async def text(self, text: str = "hello") -> None:
        """Deliver a message, and run its turn."""
        await self.storage.put(delivery(text_body(text)))
        await self.run()

    async def due(self, text: str) -> None:
        """Let the bot have scheduled a text, which is due, and run its turn."""
        send = StoredSend(calls=(from_json(send_of(text).to_json()),), due=NOW, grace_s=3600.0)
        await self.storage.schedule(send.timer("t1", lane_of_chat(CHAT)))
        await self.storage.fire(NOW)
        await self.run()

    async def run(self) -> None:
        """Run the turn of the only delivery that is ready."""
        (lease,) = await self.storage.take(1, lease_s=1000)
        async with asyncio.timeout(PATIENCE_S):
            await self._turns.run(lease)


@asynccontextmanager
async def run_worker(
    bot: Bot,
    linq: Linq,
    storage: Storage,
    clock: Clock,
    *,
    features: Callable[[Turns], Sequence[Feature]] = catalogue,
    **options: Any,
) -> AsyncIterator[Worker]:
    """Let a worker run the turns of a bot. In the end it stops without waiting for them."""
    turns = turns_of(bot, linq, storage, clock, features=features)
    worker = Worker(turns, storage, clock, **options)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop(0)
