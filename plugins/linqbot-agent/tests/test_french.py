"""The sentences of agents, besides those of their models, in a bot that speaks French."""

from __future__ import annotations

from typing import Any

import pytest
from linqbot_agent import Budget, LinqAgent
from one_handler import bot_of
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from scripted_agents import BotClock, Script, answering, calls, says, tool

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import talking


def french(agent: Agent[Any, Any], plugin: LinqAgent) -> Bot:
    return answering(Bot(language="fr", plugins=[plugin]), agent)


async def test_an_agent_speaks_the_language_of_its_bot(subtests: pytest.Subtests) -> None:
    away = ModelHTTPError(529, "some-model")
    rows: list[tuple[LinqAgent, list[Any], list[str], list[str]]] = [
        (
            LinqAgent(),
            [away],
            ["Bonjour"],
            ["Désolé, je ne peux pas répondre pour le moment. Merci de réessayer dans quelques minutes."],
        ),
        (LinqAgent(sorry="Oups"), [away], ["Bonjour"], ["Oups"]),
        (
            LinqAgent(max_messages=1),
            [says("Un.\n\nDeux.\n\nTrois.")],
            ["Bonjour"],
            ["Un.", "J’ai encore à dire. Est-ce que je continue ?"],
        ),
        (
            LinqAgent(budget=Budget(requests=1)),
            [says("Oui.")],
            ["Bonjour", "Encore"],
            ["Oui.", "C’est tout ce que je peux faire pour vous aujourd’hui. Merci de réécrire demain."],
        ),
        (
            LinqAgent(budget=Budget(requests=1, per="week")),
            [says("Oui.")],
            ["Bonjour", "Encore"],
            [
                "Oui.",
                "C’est tout ce que je peux faire pour vous cette semaine. Merci de réécrire la semaine prochaine.",
            ],
        ),
        (
            LinqAgent(),
            [calls(tool("book", "c1", heure=8)), says("C’est fait.")],
            ["Une table", "d’accord"],
            ["Puis-je faire ceci : book (heure 8) ? 👍 ou oui, 👎 ou non", "C’est fait."],
        ),
    ]
    for plugin, responses, texts, said in rows:
        agent = Agent(Script(*responses).model)

        @agent.tool_plain(requires_approval=True)
        def book(heure: int) -> str:
            return "booked"

        with subtests.test(said=said):
            async with talking(french(agent, plugin)) as phone:
                for text in texts:
                    await phone.text(text)
                    await phone.quiet()
                assert await phone.replies() == said


async def test_a_message_that_is_given_up_is_apologised_for_in_the_language_of_the_bot() -> None:
    async def fail(message: MessageReceived, ctx: Context) -> None:
        raise ConnectionError

    async with talking(bot_of(fail, attempts=1, language="fr", plugins=[LinqAgent()])) as phone:
        await phone.text("Bonjour")
        assert [type(error) for error in await phone.errors()] == [ConnectionError]
        assert await phone.replies() == [
            "Désolé, je ne peux pas répondre pour le moment. Merci de réessayer dans quelques minutes."
        ]


async def test_a_run_that_takes_a_moment_says_so_in_the_language_of_its_bot() -> None:
    agent, clock = Agent(Script(calls(tool("look", "c1")), says("Voilà.")).model), BotClock()

    @agent.tool_plain
    async def look() -> str:
        for _ in range(20):
            await clock.wait(1)
        return "free"

    async with talking(clock.of(french(agent, LinqAgent()))) as phone:
        await phone.text("Une table ?")
        assert await phone.replies() == ["Un instant …", "Voilà."]
