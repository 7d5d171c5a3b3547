"""Scenes with the owner, who has a phone too: a handoff, an approval, a mute."""

from __future__ import annotations

import asyncio
from typing import Final

from linqbot.bot.context import Context
from linqbot_dev.simulation.scenes.person import (
    BOSS,
    FIRST_GUEST,
    OWNER,
    Scene,
    SimulatedPerson,
    asks,
    chats_of,
    comes,
    shows,
    work,
)
from linqbot_dev.simulation.world import SimulatedWorld

_NOT_YET: Final = 1e9
"""The time at which a mute begins that has not been confirmed."""
_TAKEN_WITHIN_S: Final = 100.0
_NO_ONE: Final = "Sorry, no one can answer you right now. You are talking to the bot again."


class HumanScene(Scene):
    """A handoff: the owner answers a guest by way of the bot, and gives the chat back; or does not answer at all.

    The guest is new, so what the owner gets of the chat is known.
    """

    word = "human"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        world = person.world
        guest, owner = SimulatedPerson(world, FIRST_GUEST + number), SimulatedPerson(world, OWNER)
        chat, name, is_alone = await owner.greets(), f"Guest {number}", world.rng.random() < 0.2
        text = f"human {number}{' alone' if is_alone else ''}"
        brought = shows(
            f"{name} would like to talk to a person. What you write here goes to {name}. A 👍 on one of these messages, "
            f"or #done, gives the chat back to the bot.\n\nsummary {number}",
            f"{name}: {text}",
            chat=chat,
        )
        is_over = comes(f"The bot answers {name} again.", chat=chat)
        dues = [shows(f"hold on {number}"), brought, *([comes(_NO_ONE), is_over] if is_alone else [])]
        guest.say(text, *dues)
        begun = world.loop.now
        mute: dict[str, object] = {"chat": guest.chat_id, "since": _NOT_YET, "until": None}
        world.muted.append(mute)
        if not await guest.sees(f"hold on {number}"):
            return
        mute["since"] = world.loop.now
        if is_alone:
            mute["until"] = begun + _TAKEN_WITHIN_S
        else:
            await self._talk(guest, owner, number)
            mute["until"] = world.loop.now
            is_back = comes("You are talking to the bot again.", chat=guest.chat_id)
            if world.rng.random() < 0.5:
                owner.say(f"{name}: #done", is_back, is_over)
            else:
                owner.like(f"{name}: {text}", f"done {number}", is_back, is_over)
        if await guest.sees("You are talking to the bot again.", _NO_ONE):
            mute["lifted"] = world.loop.now
            guest.say(f"echo after {number}", shows(f"echo after {number}"))

    async def _talk(self, guest: SimulatedPerson, owner: SimulatedPerson, number: int) -> None:
        for turn in range(guest.world.rng.randint(0, 2)):
            plea, comfort = f"plea {number} {turn}", f"comfort {number} {turn}"
            relayed = f"Guest {number}: {plea}"
            guest.say(plea, shows(relayed, chat=owner.chat_id, though_muted=True))
            # A text that comes after the end of the handoff is for the bot.
            if await owner.sees(relayed) and guest.world.rng.random() < 0.7:
                await owner.thinks()
                late = comes(f"This was not sent, because the bot answers Guest {number} again.", optional=True)
                owner.say(f"Guest {number}: {comfort}", shows(comfort, chat=guest.chat_id), late)
        await owner.thinks()

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        number, _, alone = number.partition(" ")
        await ctx.handoff(
            to=SimulatedPerson(world, OWNER).handle,
            say=f"hold on {number}",
            summary=f"summary {number}",
            name=f"Guest {number}",
            taken_within_s=_TAKEN_WITHIN_S if alone else 4000,
            back_after_s=4000,
        )


class QuoteScene(Scene):
    """A question to the owner, in the owner's own chat, about what a person wants."""

    word = "quote"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        owner = SimulatedPerson(person.world, OWNER)
        question = f"For {person.handle}: price {number}?"
        asked = asks({"chat": await owner.greets(), "text": question}, prefix=f"quoted {number} got ")
        person.say(f"quote {number}", asked, comes(f"asking for {number}"))
        if await owner.sees(question):
            await owner.thinks()
            # A reply says for whom it is, also during a handoff.
            reply_to = person.world.bubble(owner.handle, question)
            # Their person may have written STOP meanwhile.
            late = comes("That question is over, so your answer came too late.", optional=True)
            owner.say(f"price is {number}", late, answers=question, reply_to=reply_to)

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        owner = SimulatedPerson(world, OWNER).handle
        price = await ctx.ask(f"price {number}?", who=owner, meanwhile=f"asking for {number}")
        await work(world)
        await ctx.reply(f"quoted {number} got {price}")


class SoonScene(Scene):
    """A message that is planned for a time at which the turn that has planned it still runs. `MuteScene` plays it."""

    word = "soon"

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        await ctx.send_later(f"soon {number}", after_s=1.5)
        await ctx.reply(f"planned soon {number}")
        await asyncio.sleep(4.0)


class MuteScene(Scene):
    """A boss mutes a person's chat and ends that, by texts to the bot."""

    word = "mute"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        world, boss, chat = person.world, SimulatedPerson(person.world, BOSS), person.chat_id
        if world.rng.random() < 0.5:
            person.say(f"soon {number}", shows(f"planned soon {number}"), comes(f"soon {number}"))
            await asyncio.sleep(world.rng.uniform(0.5, 2.5))
        boss.say(f"mute {number} {person.number}", shows(f"muted {number}"))
        if world.rng.random() < 0.5:
            person.say(f"echo early {number}", shows(f"echo early {number}"))
        mute: dict[str, object] = {"chat": chat, "since": _NOT_YET, "until": None}
        world.muted.append(mute)
        if not await boss.sees(f"muted {number}"):
            return
        mute["since"] = world.loop.now
        person.say(f"echo while {number}", shows(f"echo while {number}"))
        await boss.thinks()
        mute["until"] = world.loop.now
        boss.say(f"mute off {number} {person.number}", shows(f"unmuted {number}"))
        if await boss.sees(f"unmuted {number}"):
            mute["lifted"] = world.loop.now
            person.say(f"echo again {number}", shows(f"echo again {number}"))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        *words, visit, person = number.split()
        chat_id = chats_of(world)[SimulatedPerson(world, int(person)).handle]
        if words:
            await ctx.bot.unmute(chat_id)
            await ctx.reply(f"unmuted {visit}")
        else:
            await ctx.bot.mute(chat_id)
            await work(world)
            await ctx.reply(f"muted {visit}")
