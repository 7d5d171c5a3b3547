"""An answer of too many messages is cut, and the person and the model learn it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from answers import answers
from fake_provider import Reply
from linqbot_agent import LinqAgent, Media, Poll, Say, Tapback, run
from linqbot_agent.durability import TOO_LONG
from linqbot_agent.plugin import Memory
from one_handler import bot_of, does
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo
from real_clients import SORRY, Client, asking, each_client  # noqa: F401 - a fixture
from scripted_agents import BotClock, Script, bot_with, calls, fixed, kinds, says, streamed, tool

from linqbot import Context
from linqbot.testing import killed_between_calls, talking

MORE = "I have more to say. Shall I go on?"
PARAGRAPHS = [f"Paragraph {number}." for number in range(5)]
LONG = "\n\n".join(PARAGRAPHS)


async def test_a_long_answer_is_cut_and_the_person_learns_it() -> None:
    for plugin, said in (
        (LinqAgent(max_messages=3), [*PARAGRAPHS[:3], MORE]),
        (LinqAgent(max_messages=3, more="…"), [*PARAGRAPHS[:3], "…"]),
        (LinqAgent(max_messages=5), PARAGRAPHS),
    ):
        returned, agent = list[str | None](), Agent(Script(says(LONG)).model)

        async def chat(ctx: Context) -> None:
            returned.append(await run(agent, ctx))  # noqa: B023 - runs within this round of the loop

        async with talking(bot_of(does(chat), plugins=[plugin])) as phone:
            assert await answers(phone, "Tell me all") == said
        assert returned == ["\n\n".join(said)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_an_answer_of_any_length_is_said_whatever_is_remembered_of_it(
    subtests: pytest.Subtests, memory: Memory, *, stream: bool
) -> None:
    for words in (24_000, 50_800, 100_000):
        with subtests.test(words=words):
            script = Script(calls(tool("look", "c1")), says("word " * words), says("Fine."))
            clock = BotClock()
            agent = Agent(streamed(script, clock), tools=[fixed("look", "a table " * 7_000)])
            async with talking(clock.of(bot_with(agent, LinqAgent(memory=memory), stream=stream))) as phone:
                said = await answers(phone, "Tell me all")
                assert (len(said), said[-1]) == (11, MORE)
                assert await answers(phone, "And you?") == ["Fine."]
                assert "Tell me all" in kinds(script.requests[-1])[0]


async def test_a_stream_without_an_end_is_closed_when_nothing_more_of_it_is_said(client: Client) -> None:
    plugin = LinqAgent(sorry=SORRY, more=MORE, memory="person")

    def words() -> Iterator[str]:
        for number in count():
            yield f"word{number} " + ("\n\n" if number % 20 == 19 else "")

    async with asking(client, lambda _: Reply(words), plugin=plugin, stream=True) as (phone, model):
        said = await answers(phone, "Tell me all")
        assert (len(said), said[-1]) == (11, MORE)
        assert len(model.requests) == 1
        await model.is_left()
        model.answer = lambda _: Reply(["Fine."])
        assert await answers(phone, "And you?") == ["Fine."]
        assert "\n\n".join(said) in model.requests[-1].texts
        assert await phone.errors() == []
    # Most providers report tokens at the end of a stream only.
    assert plugin.counts.output_tokens > sum(map(len, said)) // 4
    assert (plugin.counts.runs, plugin.counts.outages) == (2, 0)


async def test_all_outputs_of_an_answer_count_together() -> None:
    poll, file = {"options": ["a", "b"]}, {"url": "https://example.com/menu.jpg"}
    one, loud = {"text": "One."}, {"text": "Two.", "effect": "confetti"}
    for outputs in (
        [one, {"name": "like"}, poll, one, one],
        [one, poll, file, loud],
        [file, poll, poll],
        [poll, loud, one],
    ):
        agent: Agent[None, Any] = Agent(
            Script(calls(tool("final_result", "c1", response=outputs))).model,
            output_type=list[Say | Tapback | Poll | Media],
            instructions="The menu: https://example.com/menu.jpg",
        )
        async with talking(bot_with(agent, LinqAgent(max_messages=2))) as phone:
            said = await answers(phone, "Tell me all")
            assert len(said) == 3, outputs
            assert said[-1] == MORE, outputs


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_learns_what_the_person_has_read(stream: bool) -> None:
    clock, requests = BotClock(), list[list[ModelMessage]]()

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        requests.append(messages)
        return [calls(tool("look", "c1"), narration=LONG), says(LONG), says("Yes.")][len(requests) - 1]

    agent = Agent(streamed(respond, clock), tools=[fixed("look", "free")])
    bot = bot_with(agent, LinqAgent(max_messages=3, memory="person"), stream=stream)
    async with talking(clock.of(bot)) as phone:
        assert await answers(phone, "Tell me all") == [*PARAGRAPHS[:3], MORE]
        assert await answers(phone, "Is that all?") == ["Yes."]
    assert (f"text: {TOO_LONG}" in kinds(requests[1])) is stream
    assert "text: " + "\n\n".join([*PARAGRAPHS[:3], MORE]) in kinds(requests[2])


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_answer_is_said_once_wherever_the_bot_is_killed(stream: bool) -> None:
    clock = BotClock()

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = " ".join(kinds(messages))
        return says("\n\n".join(each for each in [*PARAGRAPHS, "The end."] if each not in said))

    bot = clock.of(bot_with(Agent(streamed(respond, clock)), LinqAgent(max_messages=2), stream=stream))
    async for phone in killed_between_calls(bot, lambda phone: phone.text("Tell me all")):
        assert phone.messages[1:] == [*PARAGRAPHS[:2], MORE], phone.killed
