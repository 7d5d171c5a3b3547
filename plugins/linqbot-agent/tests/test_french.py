"""The sentences of agents, besides those of their models, in a bot that speaks French."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from linqbot_agent import Budget, LinqAgent, run
from one_handler import bot_of, does
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from scripted_agents import BotClock, Script, calls, says, tool

from linqbot.language.spoken import language_of
from linqbot.testing import talking

FRENCH = language_of("fr").sentences
AWAY = ModelHTTPError(529, "some-model")
LOOK = calls(tool("look", "c1"))
LONG = says("Un.\n\nDeux.\n\nTrois.")


async def test_an_agent_speaks_the_language_of_its_bot(subtests: pytest.Subtests) -> None:
    rows: list[tuple[LinqAgent, list[Any], list[str], list[str]]] = [
        (LinqAgent(), [AWAY], ["Bonjour"], [FRENCH.sorry]),
        (LinqAgent(sorry="Oups"), [AWAY], ["Bonjour"], ["Oups"]),
        (LinqAgent(), [calls(tool("fail", "c1"))], ["Bonjour"], [FRENCH.sorry]),
        (LinqAgent(max_messages=1), [LONG], ["Bonjour"], ["Un.", FRENCH.more]),
        (LinqAgent(), [calls(tool("note", "c1")), says(""), says("")], ["Bonjour"], [FRENCH.done]),
        (LinqAgent(budget=Budget(requests=1)), [LOOK], ["Bonjour"], [FRENCH.one_moment, FRENCH.used_up_day]),
        (
            LinqAgent(budget=Budget(requests=1, per="week")),
            [says("Oui.")],
            ["Un", "Deux"],
            ["Oui.", FRENCH.used_up_week],
        ),
        (
            LinqAgent(),
            [calls(tool("book", "c1", heure=8)), says("C’est fait.")],
            ["Une table", "d’accord"],
            [FRENCH.may_i.format(call="book (heure 8)"), "C’est fait."],
        ),
    ]
    for plugin, responses, texts, said in rows:
        agent, clock = Agent(Script(*responses).model), BotClock()

        @agent.tool_plain(requires_approval=True)
        def book(heure: int) -> str:
            return "booked"

        @agent.tool_plain
        async def look() -> str:
            for _ in range(20):
                await clock.wait(1)  # noqa: B023 - called within this round of the loop
            return "free"

        @agent.tool_plain
        def note() -> str:
            return "noted"

        @agent.tool_plain
        def fail() -> str:
            raise ConnectionError

        with subtests.test(said=said):
            bot = bot_of(does(partial(run, agent)), attempts=1, language="fr", plugins=[plugin])
            async with talking(clock.of(bot)) as phone:
                for text in texts:
                    await phone.text(text)
                    await phone.errors()
                assert await phone.replies() == said
