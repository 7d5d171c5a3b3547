"""Scenes of questions: one and several, in a form, answered by a tapback, and ended by STOP."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pydantic import BaseModel, Field, create_model

from linqbot.bot.context import Context
from linqbot_dev.simulation.scenes.person import Scene, SimulatedPerson, asks, shows, work
from linqbot_dev.simulation.world import SimulatedWorld


class AskScene(Scene):
    """One question."""

    word = "ask"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        question = f"which {number}?"
        person.say(f"ask {number}", asks(question, prefix=f"asked {number} got "))
        if await person.sees(question):
            await person.thinks()
            person.say(f"answer {number}", answers=question)
            await person.sees(f"asked {number} got answer {number}")

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        given = await ctx.ask(f"which {number}?")
        await work(world)
        await ctx.reply(f"asked {number} got {given}")


class OrderScene(Scene):
    """Two questions, and one more in front of them after a deploy. The first one may be asked again behind that one."""

    word = "order"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        questions = [f"first {number}?", f"second {number}?"]
        extra = f"name {number}?"
        person.say(f"order {number}", asks(*questions, prefix=f"ordered {number} got "), shows(extra, optional=True))
        answers = {extra: f"my name {number}", questions[0]: f"one of {number}", questions[1]: f"other of {number}"}
        answered: Counter[str] = Counter()

        def left(shown: list[str]) -> list[str]:
            return [each for each in shown if each in answers and shown.count(each) > answered[each]]

        def is_next(shown: list[str]) -> bool:
            return bool(left(shown)) or any(each.startswith(f"ordered {number} ") for each in shown)

        while await person.looks_for(is_next) and left(person.world.shown_to(person.handle)):
            await person.thinks()
            # The last one in the chat: another one may have come meanwhile.
            question = left(person.world.shown_to(person.handle))[-1]
            again = " again" * answered[question]
            answered[question] += 1
            person.say(answers[question] + again, answers=question)

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        if generation > 1:
            await ctx.ask(f"name {number}?")
        first = await ctx.ask(f"first {number}?")
        second = await ctx.ask(f"second {number}?")
        await ctx.reply(f"ordered {number} got {first} and {second}")


_LEAST: Final = 1000


class FormScene(Scene):
    """A form of two fields. The first answer to one of them does not fit."""

    word = "form"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        who, how_many = f"who {number}?", f"how many {number}?"
        person.say(f"form {number}", asks(who, how_many, prefix=f"filled in {number}: "))
        if not await person.sees(who):
            return
        await person.thinks()
        person.say(f"Ada {number}", answers=who)
        if not await person.sees(how_many):
            return
        # The smallest number is in linqbot's sentence, and so the sentence is due once.
        least, too_few = _LEAST + number, f"Please answer with {_LEAST + number} or more."
        person.say(str(number), shows(too_few))
        if await person.sees(too_few):
            await person.thinks()
            person.say(str(least), answers=how_many)
            await person.sees(f"filled in {number}: Ada {number} and {least}")

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        guest: type[BaseModel] = create_model(
            "Guest",
            who=(str, Field(description=f"who {number}?")),
            people=(int, Field(description=f"how many {number}?", ge=_LEAST + int(number))),
        )
        filled = (await ctx.form(guest, review=False)).model_dump()
        await work(world)
        await ctx.reply(f"filled in {number}: {filled['who']} and {filled['people']}")


class SureScene(Scene):
    """A question that a tapback answers."""

    word = "sure"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        question = f"sure {number}?"
        person.say(f"sure {number}", asks(question, prefix=f"{number} is "))
        if await person.sees(question):
            await person.thinks()
            person.like(question, f"sure thing {number}", answers=question)
            await person.sees(f"{number} is sure thing {number}")

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        sure = await ctx.ask(f"sure {number}?", yes="like")
        await work(world)
        await ctx.reply(f"{number} is {'sure thing' if sure else 'refused'} {number}")


class QuitScene(Scene):
    """STOP while a question is open, and perhaps START later."""

    word = "quit"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        if not person.world.schedule.manners:
            return
        question = f"quit {number}?"
        person.say(f"quit {number}", asks(question, prefix=f"quit {number} got "))
        if not await person.sees(question):
            return
        await person.thinks()
        stop_id = person.stop()
        # Until then the question is open, and what the person writes may be an answer.
        if await person.is_heard(stop_id) and person.world.rng.random() < 0.7:
            await person.thinks()
            person.say("START", shows("You get our messages again. STOP ends them.", though_muted=True), starts=True)
            await person.thinks()
            person.say(f"quit again {number}", shows(f"back {number}"))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        if number.startswith("again "):
            await ctx.reply(f"back {number.removeprefix('again ')}")
        else:
            await ctx.reply(f"quit {number} got {await ctx.ask(f'quit {number}?')}")
