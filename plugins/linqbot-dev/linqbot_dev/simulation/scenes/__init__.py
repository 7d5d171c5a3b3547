"""The scenes that people play with the bot of a simulation, by subject. `person.py` says what a scene is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from linqbot import Manners
from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.linq.events.message import MessageReceived
from linqbot_dev.simulation.scenes.outside import NewsScene, ParcelScene, PassScene
from linqbot_dev.simulation.scenes.owners import HumanScene, MuteScene, QuoteScene, SoonScene
from linqbot_dev.simulation.scenes.person import Scene, SimulatedPerson
from linqbot_dev.simulation.scenes.questions import AskScene, FormScene, OrderScene, QuitScene, SureScene
from linqbot_dev.simulation.scenes.replies import (
    BuyScene,
    CountScene,
    EchoScene,
    EditScene,
    HelloScene,
    HolderScene,
    OnceScene,
    SlowScene,
    TwoScene,
)
from linqbot_dev.simulation.scenes.times import DropScene, LaterScene
from linqbot_dev.simulation.schedule import SceneVisit
from linqbot_dev.simulation.world import SimulatedWorld

__all__ = ["DRAWN", "HAS_AGENTS", "SCENES", "SimulatedPerson", "bot_of", "visit"]

HAS_AGENTS: Final = all(find_spec(name) is not None for name in ("linqbot_agent", "pydantic_ai"))

_KINDS: Final[tuple[type[Scene], ...]] = (
    EchoScene, TwoScene, CountScene, BuyScene, OnceScene, SlowScene, EditScene, AskScene, OrderScene, FormScene, SureScene, QuitScene, LaterScene, DropScene, HumanScene, QuoteScene, MuteScene, NewsScene, ParcelScene, PassScene,
)  # fmt: skip


def _scenes() -> dict[str, Scene]:
    found = {each.word: each() for each in _KINDS}
    if HAS_AGENTS:
        from linqbot_dev.simulation.scenes.agents import ErrandScene

        found[ErrandScene.word] = ErrandScene()
    return found


_OF_OTHERS: Final[tuple[type[Scene], ...]] = (HelloScene, HolderScene, SoonScene)
"""The scenes that no schedule draws: one begins a chat, one is played at the end of a schedule, one is a part of another scene."""

SCENES: Final[Mapping[str, Scene]] = {each.word: each() for each in _OF_OTHERS} | _scenes()

DRAWN: Final[Sequence[str]] = [word for word in SCENES if word not in {each.word for each in _OF_OTHERS}]
"""The scenes that a schedule may draw."""


def bot_of(world: SimulatedWorld, generation: int) -> Bot:
    """Return the bot of a process."""
    bot = Bot(
        read=False,
        typing=False,
        max_age_s=None,
        manners=Manners() if world.schedule.manners else None,
        plugins=_plugins(world),
    )

    async def handle(message: MessageReceived, ctx: Context) -> None:
        word, _, number = message.text.partition(" ")
        if (scene := SCENES.get(word)) is not None:
            await scene.answer(world, ctx, number, generation)

    # As in a deploy: linqbot compares the code that asked a question with the code that runs now.
    handle.__code__ = handle.__code__.replace(co_consts=(*handle.__code__.co_consts, generation))
    bot.on_message(handle)
    for scene in SCENES.values():
        scene.listen(world, bot)
    return bot


def _plugins(world: SimulatedWorld) -> list[Any]:
    if not (HAS_AGENTS and any(each.scene == "errand" for each in world.schedule.visits)):
        return []
    from linqbot_agent import LinqAgent

    return [LinqAgent()]


async def visit(person: SimulatedPerson, visits: list[SceneVisit]) -> None:
    """Let a person make visits, one after the other, until the person has written STOP."""
    for each in visits:
        await asyncio.sleep(each.after_s)
        if person.has_stopped:
            return
        await SCENES[each.scene].play(person, each.number)
