"""A bot over a real file, with crashes and deploys. Its turns run one after the other, when the test says so."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

from engine_turns import turns_of
from fakes import CHAT, delivery, text_body
from simulated_crash import Life

from linqbot import Bot, Context, MessageReceived
from linqbot.engine.failure import RetryPolicy
from linqbot.engine.turns import Turns
from linqbot.events import Delivery


def asking(*question: Any, **options: Any) -> Any:
    """Return a handler of messages that asks a question, and replies with the answer."""

    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(str(await ctx.ask(*question, **options)))

    return ask


class Talk(Life):
    """A bot and its storage. `say` delivers messages, and runs the turns after each until nothing is ready."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        super().__init__(folder, stack)
        self.bot = Bot(read=False, typing=False)
        self.attempts = 5
        self.shared_since = math.inf
        self._serving_since = self.clock.now()

    async def restart(self) -> None:
        self._serving_since = self.clock.now()
        await super().restart()

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

    async def receive(self, *bodies: bytes) -> None:
        for body in bodies:
            await self.put(body)
            await self.run()

    async def say(self, *texts: str, **changes: Any) -> None:
        for text in texts:
            await self.receive(text_body(text, **changes))

    async def to(self, handler: Any, *texts: str, **settings: Any) -> None:
        """Let a handler of messages run from now on, and say the texts to it."""
        self.deploy(handler, **settings)
        await self.say(*texts)

    async def error_of(self, *texts: str) -> str:
        """Say the texts to a bot that gives up at its first failure, and return the error that it gave up with."""
        self.attempts = 1
        known = {letter.delivery.id for letter in await self.storage.dead_letters()}
        await self.say(*texts)
        (error,) = (each.whole_error for each in await self.storage.dead_letters() if each.delivery.id not in known)
        return error

    async def run(self) -> None:
        """Run turns until no delivery is ready and no timer is due."""
        turns = self.turns()
        await self.storage.fire(self.clock.now())
        while await self.turn(turns):
            await self.storage.fire(self.clock.now())

    async def turn(self, turns: Turns | None = None) -> bool:
        """Run the turn of the next delivery that is ready, and fire no timer. Return False if there is none."""
        leases = await self.storage.take(1, lease_s=1000)
        for lease in leases:
            await (turns or self.turns()).run(lease)
        return bool(leases)

    def turns(self) -> Turns:
        """Return what runs the turns of the bot as it is deployed now."""
        return turns_of(
            self.bot,
            self.linq,
            self.storage,
            self.clock,
            retry_policy=RetryPolicy(attempts=self.attempts),
            shared_since=self.shared_since,
            serving_since=self._serving_since,
        )

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and run what has become due."""
        self.clock.advance(seconds)
        await self.run()

    @property
    def said(self) -> list[str]:
        """The texts and links that the bot has sent, each once for each idempotency key. A card of a payment has none."""
        seen: dict[str, str] = {}
        for call in self.linq.calls:
            if call.name == "chats.messages.send" and call.body:
                parts = call.body["message"].get("parts") or ()
                seen.setdefault(call.key or "", "\n".join(part["value"] for part in parts if "value" in part))
        return [text for text in seen.values() if text]

    def open_questions(self, chat: str = CHAT) -> list[str]:
        return [each.status for each in self.storage.conversations_in(chat)]
