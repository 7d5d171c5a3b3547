"""Scenes in which the bot writes to people who have not just written to it: broadcasts, and posts of other programs and handlers."""

from __future__ import annotations

import asyncio

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.linq.events.proactive import BroadcastDone, Posted
from linqbot_dev.simulation.scenes.person import (
    FIRST_GUEST,
    Scene,
    SimulatedPerson,
    chats_of,
    comes,
    number_of,
    shows,
    work,
)
from linqbot_dev.simulation.world import SimulatedWorld


class NewsScene(Scene):
    """A broadcast to all who have written so far. One of them may write STOP before or during it."""

    word = "news"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        world = person.world
        # A guest's chat has nothing but the handoff in it.
        known = chats_of(world) | {person.handle: person.chat_id}
        chats = {handle: chat for handle, chat in known.items() if number_of(handle) < FIRST_GUEST}
        handles = list(chats)
        reader = SimulatedPerson(world, number_of(world.rng.choice(handles)))
        if world.schedule.manners and reader.number < 90 and world.rng.random() < 0.6:
            world.spawn(self._stop(reader, world.rng.choice((0.01, 0.5, 4.0))))
            await asyncio.sleep(world.rng.choice((0.0, 1.0)))
        person.say(
            f"news {number} to {' '.join(str(number_of(each)) for each in handles)}",
            shows(f"news {number} goes to {len(handles)}"),
            comes(f"news {number} is out"),
            {"kind": "broadcast", "text": f"news {number}", "chats": list(chats.values())},
        )

    async def _stop(self, reader: SimulatedPerson, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if not reader.has_stopped:
            reader.stop()

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        number, _, people = number.partition(" to ")
        handles = [SimulatedPerson(world, int(each)).handle for each in people.split()]
        begun = await ctx.bot.broadcast(
            handles, f"news {number}", name=f"{number}-{number_of(ctx.sender or '')}", purpose="requested"
        )
        await work(world)
        await ctx.reply(f"news {number} goes to {begun.people}")

    def listen(self, world: SimulatedWorld, bot: Bot) -> None:
        @bot.on_broadcast_done
        async def is_out(broadcast: BroadcastDone, ctx: Context) -> None:
            number, _, person = broadcast.name.partition("-")
            await ctx.bot.send(f"news {number} is out", to=SimulatedPerson(world, int(person)).handle)


class ParcelScene(Scene):
    """A post of another program, for a person."""

    word = "parcel"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        world, post_id = person.world, f"parcel {number}"
        due = shows(f"parcel {number} is sent", f"parcel {number} comes", chat=person.chat_id)
        about = {"chat": None, "from": "the shop", "at": world.loop.now, "text": post_id, "due": [due]}
        world.texts.append({"id": post_id, **about})
        await world.post("parcel", {"number": number}, post_id, person=person.handle)

    def listen(self, world: SimulatedWorld, bot: Bot) -> None:
        @bot.on_post("parcel")
        async def sent(post: Posted, ctx: Context) -> None:
            await ctx.reply(f"parcel {post.data['number']} is sent")
            await work(world)
            await ctx.reply(f"parcel {post.data['number']} comes")


class PassScene(Scene):
    """A text that a handler passes on to another person."""

    word = "pass"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        own = person.chat_id
        handle, chat = person.world.rng.choice(list(chats_of(person.world).items()))
        passed = shows(f"passed {number}", chat=chat)
        person.say(f"pass {number} to {number_of(handle)}", shows(f"passing {number}", chat=own), passed)

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        number, _, person = number.partition(" to ")
        await ctx.bot.post(
            "passed", {"number": number}, id=f"pass {number}", person=SimulatedPerson(world, int(person)).handle
        )
        await work(world)
        await ctx.reply(f"passing {number}")

    def listen(self, world: SimulatedWorld, bot: Bot) -> None:
        @bot.on_post("passed")
        async def passed(post: Posted, ctx: Context) -> None:
            await work(world)
            await ctx.reply(f"passed {post.data['number']}")
