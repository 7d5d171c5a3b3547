"""The turns of a bot without a server: what `serve` puts together, with a fake Linq."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fakes import CHAT, Linq

from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.call import Call, prepare
from linqbot.clock import Clock
from linqbot.engine.failure import RetryPolicy
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turn import Turns
from linqbot.engine.worker import Worker
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage


def turns_of(
    bot: Bot,
    linq: Linq,
    storage: Storage,
    clock: Clock,
    *,
    plugins: Plugins | None = None,
    retry_policy: RetryPolicy | None = None,
    **more: Any,
) -> Turns:
    """Return what runs turns of the bot; `more` are other fields of `Turns`."""
    loaded = plugins or Plugins()
    policy = retry_policy or RetryPolicy()
    return Turns(
        Dispatcher(bot, clock, deadline_s=policy.deadline_s, plugins=loaded),
        linq.client,
        storage,
        clock,
        SendRateLimit(clock),
        policy,
        outbound=Outbound(loaded),
        **more,
    )


def send_of(text: str) -> Call:
    """Return a call that sends a text to `CHAT`."""
    message = {"parts": [{"type": "text", "value": text}]}
    return prepare("chats.messages.send", path={"chat_id": CHAT}, body={"message": message})


@asynccontextmanager
async def run_worker(bot: Bot, linq: Linq, storage: Storage, clock: Clock, **options: Any) -> AsyncIterator[Worker]:
    """Let a worker run the turns of a bot. In the end it stops without waiting for them."""
    worker = Worker(turns_of(bot, linq, storage, clock), storage, clock, **options)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop(0)
