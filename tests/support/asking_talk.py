"""A bot whose handlers ask, over a real file, with crashes and deploys."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

from fakes import CHAT, delivery, text_body
from simulated_crash import Life

from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.engine.failure import RetryPolicy
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turn import Turns
from linqbot.linq.events.delivery import Delivery
from linqbot.plugins.loading import load


class Talk(Life):
    """A bot and its storage. `say` delivers a message and runs the turns until nothing is ready."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(folder, stack)
        self.bot = Bot(read=False, typing=False)
        self.attempts = 5
        self.shared_since = math.inf

    def deploy(self, *handlers: Any, **settings: Any) -> Bot:
        """Let other handlers of messages run from now on."""
        self.bot = Bot(**{"read": False, "typing": False, **settings})
        for handler in handlers:
            self.bot.on_message(handler)
        return self.bot

    async def put(self, body: bytes) -> Delivery:
        arrived = delivery(body)
        await self.storage.put(arrived)
        return arrived

    async def say(self, text: str = "hello", **changes: Any) -> None:
        await self.put(text_body(text, **changes))
        await self.run()

    async def run(self) -> None:
        """Run turns until no delivery is ready."""
        plugins = load(self.bot.plugins)
        turns = Turns(
            Dispatcher(self.bot, self.clock, plugins=plugins),
            self.linq.client,
            self.storage,
            self.clock,
            SendRateLimit(self.clock),
            RetryPolicy(attempts=self.attempts),
            outbound=Outbound(plugins),
            shared_since=self.shared_since,
        )
        while True:
            await self.storage.fire(self.clock.now())
            if not (leases := await self.storage.take(1, lease_s=1000)):
                return
            await turns.run(leases[0])

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and run what has become due."""
        self.clock.advance(seconds)
        await self.run()

    @property
    def said(self) -> list[str]:
        """The texts that the bot has sent, each once for each idempotency key."""
        seen: dict[str, str] = {}
        for call in self.linq.calls:
            if call.name == "chats.messages.send" and call.body:
                texts = [part["value"] for part in call.body["message"]["parts"] if part["type"] == "text"]
                seen.setdefault(call.key or "", "\n".join(texts))
        return list(seen.values())

    def open_questions(self, chat: str = CHAT) -> list[str]:
        return [each.status for each in self.storage.conversations_in(chat)]
