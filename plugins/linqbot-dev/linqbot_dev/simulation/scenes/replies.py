"""Scenes of replies: one or several, with state, with a step in an outside system, about a text that was changed."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.linq.events.message import MessageEdited
from linqbot_dev.simulation.scenes.person import Scene, SimulatedPerson, shows, work
from linqbot_dev.simulation.world import SimulatedWorld


class Stock(BaseModel):
    """The one place that all people want."""

    holder: str = ""


class Counted(BaseModel):
    """The texts of a chat so far."""

    count: int = 0


class Known(BaseModel):
    """The words of each text that its author may change, by its number."""

    texts: dict[str, str] = {}


class EchoScene(Scene):
    word = "echo"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"echo {number}", shows(f"echo {number}"))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        await work(world)
        await ctx.reply(f"echo {number}")


class TwoScene(Scene):
    """Two replies, with work between them."""

    word = "two"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"two {number}", shows(f"one {number}", f"two {number}"))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        await ctx.reply(f"one {number}")
        await work(world)
        await ctx.reply(f"two {number}")


class CountScene(Scene):
    """A value of the chat that each text changes."""

    word = "count"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"count {number}", {"kind": "counts", "name": "count", "prefix": f"count {number} is "})

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        counted = await ctx.state.chat(Counted)
        await work(world)
        counted.count += 1
        await ctx.reply(f"count {number} is {counted.count}")


class BuyScene(Scene):
    """The last one of a stock, which all people want."""

    word = "buy"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        place = {"name": "stock", "wins": f"won {number}", "holder": str(number)}
        person.say(
            f"buy {number}", {"kind": "one_of", "texts": [f"won {number}", f"sold out {number}"], "place": place}
        )

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        stock = await ctx.state.bot(Stock)
        if stock.holder:
            await ctx.reply(f"sold out {number}")
            return
        await work(world)
        stock.holder = number
        await ctx.reply(f"won {number}")


class HolderScene(Scene):
    """The question of the end: who has the last one of the stock?"""

    word = "holder"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"holder {number}", {"kind": "holder", "place": "stock", "prefix": f"holder {number} is "})

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        stock = await ctx.state.bot(Stock)
        await ctx.reply(f"holder {number} is {stock.holder or 'no one'}")


class HelloScene(Scene):
    """The greeting of a person who has no chat yet."""

    word = "hello"

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        await ctx.reply(f"hello {number}")


class OnceScene(Scene):
    """A step in an outside system, which takes each key once."""

    word = "once"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"once {number}", shows(f"once {number}"), {"kind": "acts", "what": f"once {number}"})

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        def act(key: str) -> str:
            world.ledger.append({"at": world.loop.now, "key": key, "what": f"once {number}"})
            return number

        await ctx.reply(f"once {await ctx.once('act', act, retry=True)}")


class SlowScene(Scene):
    """Three replies with pauses, during which the person may write STOP."""

    word = "slow"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"slow {number}", shows(*(f"slow {number} part {part}" for part in range(3))))
        if person.world.schedule.manners and person.world.rng.random() < 0.5:
            await asyncio.sleep(person.world.rng.uniform(0.1, 9.0))
            person.stop()

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        for part in range(3):
            await ctx.reply(f"slow {number} part {part}")
            await asyncio.sleep(4.0)


class EditScene(Scene):
    """A text that its author changes: the bot gets it as it is then, or hears of the change if it has begun before."""

    word = "edit"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        changed = {"kind": "one_of", "texts": [f"got right {number}", f"changed to right {number}"]}
        message_id = person.say(f"edit wrong {number}", shows(f"got wrong {number}", optional=True), changed)
        await asyncio.sleep(person.world.rng.choice((0.0, 0.05, 0.5, 4.0)))
        person.world.edit(person.handle, message_id, f"edit right {number}")

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        known = await ctx.state.chat(Known)
        await work(world)
        known.texts[number.rpartition(" ")[2]] = number
        await ctx.reply(f"got {number}")

    def listen(self, world: SimulatedWorld, bot: Bot) -> None:
        @bot.on_edit
        async def changed(edit: MessageEdited, ctx: Context) -> None:
            known, text = await ctx.state.chat(Known), edit.text.removeprefix("edit ")
            number = text.rpartition(" ")[2]
            # A webhook that comes late, and a message that is read at Linq, have the words after the change already.
            if known.texts.get(number) != text:
                known.texts[number] = text
                await ctx.reply(f"changed to {text}")
