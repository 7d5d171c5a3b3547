"""Scenes of messages that come later."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from linqbot.bot.context import Context
from linqbot_dev.simulation.scenes.person import Scene, SimulatedPerson, shows
from linqbot_dev.simulation.world import SimulatedWorld


class LaterScene(Scene):
    """A reply, and a message that comes later."""

    word = "later"
    after_s: ClassVar[float] = 90.0

    async def play(self, person: SimulatedPerson, number: int) -> None:
        person.say(f"later {number}", shows(f"planned {number}"), shows(f"later {number}", after_s=self.after_s))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        await ctx.send_later(f"later {number}", after_s=self.after_s)
        await ctx.reply(f"planned {number}")


class DropScene(Scene):
    """A message that would come later, which the person cancels: early, or just when it is due."""

    word = "drop"
    after_s: ClassVar[float] = 60.0

    async def play(self, person: SimulatedPerson, number: int) -> None:
        ends = {"kind": "one_of", "texts": [f"dropped {number}", f"reminder {number}"]}
        begun = person.world.loop.now
        person.say(f"drop {number}", shows(f"set {number}"), ends)
        if not await person.sees(f"set {number}"):
            return
        if person.world.rng.random() < 0.5:
            await asyncio.sleep(
                max(0.0, begun + self.after_s + person.world.rng.uniform(-0.5, 0.5) - person.world.loop.now)
            )
        if not person.has_stopped:
            person.say(f"drop it {number}", shows(f"gone already {number}", optional=True))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        if not number.startswith("it "):
            await ctx.send_later(f"reminder {number}", after_s=self.after_s, tag=number)
            await ctx.reply(f"set {number}")
            return
        number = number.removeprefix("it ")
        is_cancelled = await ctx.cancel(tag=number)
        await ctx.reply(f"{'dropped' if is_cancelled else 'gone already'} {number}")
