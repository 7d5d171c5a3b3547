"""People with phones, and the scenes that they play with the bot: each has the person's part and the bot's part, and says what is due.

A text begins with the word of its scene and has the number of its visit, so that each text of a schedule is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot_dev.simulation.schedule import LONGEST_PAUSE_S
from linqbot_dev.simulation.world import SimulatedWorld

FIRST_HANDLE: Final = 14155550101
OWNER: Final = 98
"""The number of the owner among the people: who answers guests, and what the bot asks. No visits are theirs."""
BOSS: Final = 97
"""The number of the person who mutes chats. In a handoff the owner's texts are for the guest."""
FIRST_GUEST: Final = 1000
"""The number of the first guest, who is in one scene only."""

PATIENCE_S: Final = LONGEST_PAUSE_S + 1200.0
"""Seconds after which a person goes on without an answer. A person who went on sooner would write the next text, which may be any
answer, when the bot asks at last."""
_LOOK_S, _LONGEST_LOOK_S = 0.5, 10.0


class SimulatedPerson:
    """A person with a phone. All that is known of them is in the world, so two objects of one person are alike."""

    def __init__(self, world: SimulatedWorld, number: int) -> None:
        self.world = world
        self.number = number
        self.handle = f"+{FIRST_HANDLE + number}"

    @property
    def chat_id(self) -> str:
        """The direct chat with the bot. A person without one writes a greeting first."""
        if self.handle not in chats_of(self.world):
            self.say(f"hello {self.number}", shows(f"hello {self.number}"))
        return chats_of(self.world)[self.handle]

    async def greets(self) -> str:
        """Wait until the person has a chat and an answer in it, and return the chat. What they wrote before is not in the way then."""
        chat_id = self.chat_id
        await self.sees(f"hello {self.number}")
        return chat_id

    @property
    def has_stopped(self) -> bool:
        texts = (each for each in reversed(self.world.texts) if each["from"] == self.handle)
        return next(("stops" in each for each in texts if "stops" in each or "starts" in each), False)

    def say(self, text: str, *due: Mapping[str, Any], reply_to: str | None = None, **about: Any) -> str:
        """Write a text, and return its id.

        Args:
            due: What the bot owes for the text, as `checker.py` describes it.
            reply_to: The message of the bot that the text replies to.
            about: Other facts for the checker.
        """
        if self.has_stopped and "stops" not in about:
            about["starts"] = True  # a person who writes again is answered again
        at = self.world.loop.now
        chat_id, message_id = self.world.write(self.handle, text, reply_to=reply_to)
        self._note({"id": message_id, "chat": chat_id, "at": at, "text": text, "due": list(due)} | about)
        return message_id

    def stop(self) -> str:
        return self.say("STOP", stops=True)

    def like(self, bubble: str, means: str, *due: Mapping[str, Any], **about: Any) -> None:
        """Put a tapback on a message of the bot. `means` is what stands for its words in the record."""
        at = self.world.loop.now
        tapback_id = self.world.like(self.handle, self.world.bubble(self.handle, bubble))
        self._note({"id": tapback_id, "chat": self.chat_id, "at": at, "text": means, "due": list(due)} | about)

    def _note(self, text: dict[str, Any]) -> None:
        self.world.texts.append(text | {"from": self.handle})

    async def sees(self, *texts: str) -> bool:
        """Wait until the phone shows one of these texts. Return False if none comes, or the person writes STOP meanwhile."""
        return await self.looks_for(lambda shown: not set(texts).isdisjoint(shown))

    async def looks_for(self, is_there: Callable[[list[str]], bool]) -> bool:
        """Wait until what the phone shows is as wanted. Return False if it does not come to that, as `sees` does."""
        end, pauses = self.world.loop.now + PATIENCE_S, _looks()
        while self.world.loop.now < end and not self.has_stopped:
            if is_there(self.world.shown_to(self.handle)):
                return True
            await asyncio.sleep(next(pauses))
        return False

    async def is_heard(self, text_id: str) -> bool:
        """Wait until the bot has accepted a text, which no phone shows. Return False if it does not."""
        end, pauses = self.world.loop.now + PATIENCE_S, _looks()
        while self.world.loop.now < end:
            if any(each["text"] == text_id and each["at"] is not None for each in self.world.accepted):
                return True
            await asyncio.sleep(next(pauses))
        return False

    async def thinks(self) -> None:
        await asyncio.sleep(self.world.rng.choice((0.0, 0.2, 3.0)) + self.world.rng.uniform(0.001, 0.02))


def _looks() -> Iterator[float]:
    """Yield the pauses between two looks at a phone: a person who has waited for long looks less often."""
    pause_s = _LOOK_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 1.05, _LONGEST_LOOK_S)


def chats_of(world: SimulatedWorld) -> dict[str, str]:
    """Return the direct chats of the people who have written, by handle."""
    return {text["from"]: text["chat"] for text in world.texts if text["chat"] is not None}


def number_of(handle: str) -> int:
    return int(handle.removeprefix("+")) - FIRST_HANDLE


def shows(*texts: str, **about: Any) -> dict[str, Any]:
    return {"kind": "shows", "texts": list(texts), **about}


def comes(*texts: str, **about: Any) -> dict[str, Any]:
    """Return what is due at some time later, and not in the order of the chat."""
    return shows(*texts, after_s=0, **about)


def asks(*questions: str | dict[str, str], prefix: str) -> dict[str, Any]:
    return {"kind": "asks", "questions": list(questions), "prefix": prefix, "between": " and "}


class Scene:
    """One thing that people do.

    Attributes:
        word: The first word of its texts, and its name.
    """

    word: ClassVar[str]

    async def play(self, person: SimulatedPerson, number: int) -> None:
        """Do what the person does: by default nothing."""

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        """Do what the bot does about a text: by default nothing. `number` is all that follows the word."""

    def listen(self, world: SimulatedWorld, bot: Bot) -> None:
        """Add handlers of other events than texts, if the scene has any."""


async def work(world: SimulatedWorld) -> None:
    """Do what a handler does between two calls: nothing, or something that takes time."""
    for _ in range(world.rng.randint(0, 2)):
        await asyncio.sleep(world.rng.uniform(0, world.schedule.handler_s))
