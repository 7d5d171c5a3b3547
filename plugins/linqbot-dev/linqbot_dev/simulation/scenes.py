"""What people do with the bot of a simulation, and what the bot does about it: each scene has both, and says what is due.

A text begins with the word of its scene and has the number of its visit, so that each text of a schedule is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from linqbot import Bot, Context, Manners, MessageReceived
from linqbot_dev.simulation.schedule import Visit
from linqbot_dev.simulation.world import World

FIRST_HANDLE: Final = 14155550101
PATIENCE_S: Final = 900.0
_LOOK_S: Final = 0.5


class Stock(BaseModel):
    """The one place that all people want."""

    holder: str = ""


class Counted(BaseModel):
    """The texts of a chat so far."""

    count: int = 0


class Person:
    """A person with a phone."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.handle = f"+{FIRST_HANDLE + number}"
        self.has_stopped = False

    def say(self, text: str, *due: Mapping[str, Any], **about: Any) -> None:
        """Write a text. `due` is what the bot owes for it, and `about` other facts, as `checker.py` describes them."""
        at = self.world.loop.now
        chat_id, message_id = self.world.write(self.handle, text)
        self.world.texts.append(
            {"id": message_id, "chat": chat_id, "from": self.handle, "at": at, "text": text, "due": list(due)} | about
        )

    async def sees(self, *texts: str) -> bool:
        """Wait until the phone shows one of these texts; return False if it does not come."""
        end = self.world.loop.now + PATIENCE_S
        while self.world.loop.now < end:
            if set(texts) & set(self.world.shown_to(self.handle)):
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def thinks(self) -> None:
        await asyncio.sleep(self.world.rng.choice((0.0, 0.2, 3.0)) + self.world.rng.uniform(0.001, 0.02))


def shows(*texts: str, **about: Any) -> dict[str, Any]:
    return {"kind": "shows", "texts": list(texts), **about}


class Scene:
    """One thing that people do.

    Attributes:
        word: The first word of its texts, and its name.
    """

    word: ClassVar[str]

    async def play(self, person: Person, number: int) -> None:
        """Do what the person does."""
        raise NotImplementedError

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        """Do what the bot does about it."""
        raise NotImplementedError


class Echo(Scene):
    word = "echo"

    async def play(self, person: Person, number: int) -> None:
        person.say(f"echo {number}", shows(f"echo {number}"))

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        await work(world)
        await ctx.reply(f"echo {number}")


class Two(Scene):
    """Two replies, with work between them."""

    word = "two"

    async def play(self, person: Person, number: int) -> None:
        person.say(f"two {number}", shows(f"one {number}", f"two {number}"))

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        await ctx.reply(f"one {number}")
        await work(world)
        await ctx.reply(f"two {number}")


class Count(Scene):
    """A value of the chat that each text changes."""

    word = "count"

    async def play(self, person: Person, number: int) -> None:
        person.say(f"count {number}", {"kind": "counts", "name": "count", "prefix": f"count {number} is "})

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        counted = await ctx.state.chat(Counted)
        await work(world)
        counted.count += 1
        await ctx.reply(f"count {number} is {counted.count}")


class Buy(Scene):
    """The last one of a stock, which all people want."""

    word = "buy"

    async def play(self, person: Person, number: int) -> None:
        place = {"name": "stock", "wins": f"won {number}", "holder": str(number)}
        person.say(
            f"buy {number}", {"kind": "one_of", "texts": [f"won {number}", f"sold out {number}"], "place": place}
        )

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        stock = await ctx.state.bot(Stock)
        if stock.holder:
            await ctx.reply(f"sold out {number}")
            return
        await work(world)
        stock.holder = number
        await ctx.reply(f"won {number}")


class Holder(Scene):
    """Who has the last one of the stock: the question of the end."""

    word = "holder"

    async def play(self, person: Person, number: int) -> None:
        person.say(f"holder {number}", {"kind": "holder", "place": "stock", "prefix": f"holder {number} is "})

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        stock = await ctx.state.bot(Stock)
        await ctx.reply(f"holder {number} is {stock.holder or 'no one'}")


class Ask(Scene):
    """One question."""

    word = "ask"

    async def play(self, person: Person, number: int) -> None:
        question = f"which {number}?"
        person.say(f"ask {number}", {"kind": "asks", "questions": [question], "prefix": f"asked {number} got "})
        if await person.sees(question):
            await person.thinks()
            person.say(f"answer {number}", answers=question)
            await person.sees(f"asked {number} got answer {number}")

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        given = await ctx.ask(f"which {number}?")
        await work(world)
        await ctx.reply(f"asked {number} got {given}")


class Order(Scene):
    """Two questions, and one more in front of them after a deploy."""

    word = "order"

    async def play(self, person: Person, number: int) -> None:
        questions = [f"first {number}?", f"second {number}?"]
        extra = f"name {number}?"
        person.say(
            f"order {number}",
            {"kind": "asks", "questions": questions, "prefix": f"ordered {number} got "},
            shows(extra, optional=True),
        )
        left = {extra: f"my name {number}", questions[0]: f"one of {number}", questions[1]: f"other of {number}"}
        done = f"ordered {number} got {left[questions[0]]} and {left[questions[1]]}"
        while left and await person.sees(*left, done):
            shown = person.world.shown_to(person.handle)
            if done in shown:
                return
            question = next(each for each in left if each in shown)
            await person.thinks()
            person.say(left.pop(question), answers=question)
        await person.sees(done)

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        if generation > 1:
            await ctx.ask(f"name {number}?")
        first = await ctx.ask(f"first {number}?")
        second = await ctx.ask(f"second {number}?")
        await ctx.reply(f"ordered {number} got {first} and {second}")


class Later(Scene):
    """A reply, and a message that comes later."""

    word = "later"
    after_s: ClassVar[float] = 90.0

    async def play(self, person: Person, number: int) -> None:
        person.say(f"later {number}", shows(f"planned {number}"), shows(f"later {number}", after_s=self.after_s))

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        await ctx.send_later(f"later {number}", after_s=self.after_s)
        await ctx.reply(f"planned {number}")


class Once(Scene):
    """A step in an outside system, which takes each key once."""

    word = "once"

    async def play(self, person: Person, number: int) -> None:
        person.say(f"once {number}", shows(f"once {number}"), {"kind": "acts", "what": f"once {number}"})

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        def act(key: str) -> str:
            world.ledger.append({"at": world.loop.now, "key": key, "what": f"once {number}"})
            return number

        await ctx.reply(f"once {await ctx.once('act', act, retry=True)}")


class Slow(Scene):
    """Three replies with pauses, during which the person may write STOP."""

    word = "slow"

    async def play(self, person: Person, number: int) -> None:
        person.say(f"slow {number}", shows(*(f"slow {number} part {part}" for part in range(3))))
        if person.world.schedule.manners and person.world.rng.random() < 0.5:
            await asyncio.sleep(person.world.rng.uniform(0.1, 9.0))
            person.say("STOP", stops=True)
            person.has_stopped = True

    async def answer(self, world: World, ctx: Context, number: str, generation: int) -> None:
        for part in range(3):
            await ctx.reply(f"slow {number} part {part}")
            await asyncio.sleep(4.0)


SCENES: Final[Mapping[str, Scene]] = {
    each.word: each() for each in (Echo, Two, Count, Buy, Holder, Ask, Order, Later, Once, Slow)
}


DRAWN: Final = tuple(each for each in SCENES if each != Holder.word)
"""The scenes that a seed draws. The last one asks at the end who has the stock."""


async def work(world: World) -> None:
    """Do what a handler does between two calls: nothing, or something that takes time."""
    for _ in range(world.rng.randint(0, 2)):
        await asyncio.sleep(world.rng.uniform(0, world.schedule.handler_s))


def bot_of(world: World, generation: int) -> Bot:
    """Return the bot of a process."""
    bot = Bot(read=False, typing=False, max_age_s=None, manners=Manners() if world.schedule.manners else None)

    @bot.on_message
    async def handle(message: MessageReceived, ctx: Context) -> None:
        word, _, number = message.text.partition(" ")
        if (scene := SCENES.get(word)) is not None:
            await scene.answer(world, ctx, number, generation)

    return bot


async def visit(person: Person, visits: list[Visit]) -> None:
    """Let a person make visits, one after the other, until the person has written STOP."""
    for each in visits:
        await asyncio.sleep(each.after_s)
        if person.has_stopped:
            return
        await SCENES[each.scene].play(person, each.number)
