"""Output types in each framework: tapbacks, silence, effects, polls and files, each said once, and nothing that was made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from answers import answers
from every_output import EVERYTHING, PHOTO, assert_is_said_once
from frameworks import (
    FRAMEWORKS,
    Answer,
    Call,
    Outside,
    Response,
    bot_of,
    each_framework,  # noqa: F401 - a fixture
    with_anthropic,
    with_langgraph,
)
from linqbot_agent import LinqAgent, Tapback
from linqbot_agent.memory import TALK, Kept
from pydantic import BaseModel
from structlog.testing import capture_logs

from linqbot import Bot, BotError, Context, MessageReceived
from linqbot.errors import ConfigError
from linqbot.testing import killed_between_calls, talking

EVIL = "https://evil.example/?secret=4711"


class Saying(Outside):
    """A model that calls a tool, and then answers with an output, by what the person wrote.

    Args:
        outputs: By the texts of the person: the type and the arguments of an output.
    """

    def __init__(self, outputs: Mapping[str, tuple[str, Any]]) -> None:
        super().__init__(has_outputs=True, names=["reserve"], instructions=f"Our room: {PHOTO}")
        self.outputs = outputs

    def response(self, messages: list[tuple[str, str]], results: int, files: list[bytes]) -> Response:
        self.requests.append(messages)
        if not results:
            return Response((), [Call("reserve", "c1")])
        said = (text for role, text in reversed(messages) if role == "user")
        kind, given = next(self.outputs[each] for text in said for each in self.outputs if each in text)
        return self.answering(kind, given)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_answers_with_a_tapback_or_says_nothing(framework: Answer, stream: bool) -> None:
    outside = Saying({"Thanks": ("Tapback", {"name": "love"}), "Bye": ("Silence", {})})
    async with talking(bot_of(outside, framework(outside, stream=stream))) as phone:
        thanks = await phone.text("Thanks!")
        tapback = await phone.next_tapback()
        assert (tapback, tapback.on) == ("love", thanks)
        assert await answers(phone, "Bye") == []
        assert await phone.errors() == []
    assert sum(outside.effects.values()) == 2


@pytest.mark.slow
async def test_several_outputs_are_said_in_their_order_and_once_wherever_the_bot_is_killed(framework: Answer) -> None:
    outside, points = Saying({"job": ("Several", {"outputs": EVERYTHING})}), 0
    bot = bot_of(outside, framework(outside), LinqAgent(memory="person"))
    async for phone in killed_between_calls(bot, lambda phone: phone.text("I got the job!")):
        points += 1
        assert_is_said_once(phone)
        (talk,) = (await phone.state(Kept, name=TALK)).by_message.values()
        told = talk[-1]["parts"][-1]["content"]
        assert "When shall we meet?" in told, phone.killed
        assert "Congratulations!" in told, phone.killed
    assert points > 10


async def test_a_file_whose_address_the_model_has_made_up_is_not_sent(framework: Answer) -> None:
    outside = Saying({"Hi": ("Several", {"outputs": [{"text": "Look:"}, {"url": EVIL}]})})
    with capture_logs() as log:
        async with talking(bot_of(outside, framework(outside))) as phone:
            await phone.text("Hi")
            await phone.quiet()
            assert not any(message.media for message in phone.messages)
            if framework is not FRAMEWORKS["pydantic-ai"]:  # which asks the model again
                assert phone.messages[1:] == ["Look:"]
    assert EVIL not in str(log)


async def test_an_address_that_the_model_has_made_up_is_cut_out_of_its_outputs(framework: Answer) -> None:
    outside = Saying({"Hi": ("Several", {"outputs": [{"text": f"See {EVIL} !"}, {"options": [f"{EVIL} a", "b"]}]})})
    async with talking(bot_of(outside, framework(outside), LinqAgent(known_links=True))) as phone:
        said = await answers(phone, "Hi")
        assert said[0] == "See [address removed] !"
        assert EVIL not in str(said[1].parts)


async def test_a_tool_that_answers_with_wrong_arguments_lets_the_model_try_again() -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")
    wrong, right = [{"name": "shrug"}], [{"text": "Hi!"}]

    class Wrong(Saying):
        def response(self, messages: list[tuple[str, str]], results: int, files: list[bytes]) -> Response:
            self.requests.append(messages)
            return self.answering("Several", {"outputs": right if results else wrong})

    outside = Wrong({})
    async with talking(bot_of(outside, with_anthropic(outside))) as phone:
        assert await answers(phone, "Hi") == ["Hi!"]
    assert len(outside.requests) == 2


class Booking(BaseModel):
    """A booking."""

    hour: int


async def _is_refused(answer: Any, words: str) -> None:
    async with talking(bot_of(Outside(), answer, LinqAgent(sorry="Sorry."), attempts=1)) as phone:
        for said in (["Sorry."], []):  # at most once an hour
            await phone.text("Hi")
            (error,) = await phone.errors()
            assert isinstance(error, BotError), words
            assert words in str(error)
            assert await phone.replies() == said


async def test_an_output_of_another_type_is_an_error_that_says_what_to_use() -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")
    pytest.importorskip("agents", reason="openai-agents is not installed")
    from agents import Agent, AgentOutputSchema
    from linqbot_agent import openai

    others: list[Any] = [Booking, AgentOutputSchema(Booking), list[Booking], str | Booking]
    for kind in others:
        agent: Any = Agent("host", output_type=kind)
        await _is_refused(lambda ctx: openai.run(agent, ctx), "Use str, Say, Tapback, Poll, Media, Silence and Several")  # noqa: B023
    for kinds in (Booking, [str, list[Booking]]):
        answer = with_anthropic(Outside(), output_type=kinds)
        await _is_refused(answer, "Use str, Say, Tapback, Poll, Media, Silence and Several")


async def test_an_agent_that_cannot_be_run_is_refused_when_the_bot_starts() -> None:
    pytest.importorskip("agents", reason="openai-agents is not installed")
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    from agents import Agent
    from langgraph.graph import START, MessagesState, StateGraph
    from linqbot_agent import langgraph, openai

    agent: Agent[Any] = Agent("host", output_type=Booking)
    nodes = StateGraph(MessagesState).add_node("book", lambda state: {}).add_edge(START, "book")
    graph = nodes.compile(interrupt_before=["book"])
    run, go = openai.run, langgraph.run
    bots = [Bot(plugins=[LinqAgent()]) for _ in range(2)]

    @bots[0].on_message
    async def of_openai(message: MessageReceived, ctx: Context) -> None:
        await run(agent, ctx)

    @bots[1].on_message
    async def of_langgraph(message: MessageReceived, ctx: Context) -> None:
        await go(graph, ctx)

    for bot, words in zip(bots, ("has the output_type", "interrupt_before="), strict=True):
        with pytest.raises(ConfigError, match=words):
            async with talking(bot):
                pass


async def test_a_response_format_of_a_graph_that_cannot_be_said_is_an_error_before_the_model_is_asked() -> None:
    langchain = pytest.importorskip("langchain.agents", reason="langchain is not installed")
    from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
    from linqbot_agent.langgraph import durable, run
    from scripted_langchain import Scripted

    def respond(_: object) -> str:
        raise AssertionError

    for form in (Booking, ToolStrategy(Booking), ProviderStrategy(Tapback), ToolStrategy(Tapback | Booking)):
        graph = langchain.create_agent(durable(Scripted(respond=respond)), [], response_format=form)
        await _is_refused(lambda ctx: run(graph, ctx), "response_format=ToolStrategy(Say | Tapback | Silence)")  # noqa: B023


async def test_a_node_that_needs_data_for_itself_asks_a_durable_model_for_it_and_it_is_not_said() -> None:
    pytest.importorskip("langchain", reason="langchain is not installed")
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph
    from linqbot_agent.langgraph import durable, run
    from scripted_langchain import Scripted, calling

    reader: Any = durable(
        Scripted(respond=lambda _: calling(Call("Booking", "c1", '{"hour": 8}')))
    ).with_structured_output(Booking)

    async def book(state: MessagesState) -> Any:
        found = await reader.ainvoke(state["messages"])
        return {"messages": [AIMessage(f"At {found.hour}.")]}

    graph = StateGraph(MessagesState).add_node("book", book).add_edge(START, "book").compile()
    async with talking(bot_of(Outside(), lambda ctx: run(graph, ctx))) as phone:
        assert await answers(phone, "At eight") == ["At 8."]


async def test_a_graph_says_a_text_in_place_of_an_output() -> None:
    pytest.importorskip("langchain", reason="langchain is not installed")
    outside = Outside(has_outputs=True, names=(), paragraphs=["Hello"])
    async with talking(bot_of(outside, with_langgraph(outside))) as phone:
        assert await answers(phone, "Hi") == ["Hello (1)."]
