"""Data that no JSON holds, of models and tools: it is replaced before it is recorded, and no tool is called again for it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from answers import answers
from fake_provider import Asked, Reply, providing
from frameworks import Call, Outside, bot_of
from linqbot_agent import LinqAgent, Say, idempotency_key
from linqbot_agent.foreign_data import NO_OBJECT, arguments_in, clean, clean_arguments, json_text
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from real_clients import CLIENTS, Client, asking, calls_first, each_client  # noqa: F401 - a fixture

from linqbot.testing import talking


class Booking(BaseModel):
    name: str


@dataclass
class Table:
    picture: bytes


class Unknown:
    def __str__(self) -> str:
        return "an object"


ENDLESS: Final[list[Any]] = []
ENDLESS.append(ENDLESS)
DEEP: Final[list[Any]] = []
for _ in range(3000):
    DEEP[:] = [[*DEEP]]

CLEAN: Final[list[tuple[Any, Any]]] = [
    ("cut \ud83d here", "cut \ufffd here"),
    ("\ud83d\ude00", "\U0001f600"),
    ("a\0b", "ab"),
    (dict.fromkeys(("\ud83d", "\udc00"), 1), {"\ufffd": 1, "\ufffd_": 1}),
    ({"wind": math.inf, "rain": -math.inf, "sun": math.nan}, {"wind": "Infinity", "rain": "-Infinity", "sun": "NaN"}),
    ([b"text", b"\xff\xfe", bytearray(b"\xff")], ["text", "[2 bytes that are no text]", "[1 bytes that are no text]"]),
    ({1: {2.5: None}, ("a", 1): True}, {"1": {"2.5": None}, "a,1": True}),
    ({1, 2}, [1, 2]),
    ((each for each in "ab"), ["a", "b"]),
    (10**5000, "[a number that is too long]"),
    (10**30, 10**30),
    ([datetime(2026, 11, 30, tzinfo=UTC), Unknown()], ["2026-11-30T00:00:00Z", "an object"]),
    ([Booking(name="\ud83d"), Table(b"\xff")], [{"name": "\ufffd"}, {"picture": "[1 bytes that are no text]"}]),
    (ENDLESS, ["[There is more inside, which cannot be shown.]"]),
    ("NaN and Infinity are words", "NaN and Infinity are words"),
    ({"plain": [1, 2.5, None, True, "é"]}, {"plain": [1, 2.5, None, True, "é"]}),
]


def test_any_value_becomes_data_that_each_reader_of_json_reads() -> None:
    for value, expected in CLEAN:
        assert clean(value) == expected
    for value in [*(value for value, _ in CLEAN), DEEP]:
        found = clean(value)
        assert from_json(to_json(found), allow_inf_nan=False) == found
        assert from_json(json_text(found)) == found


def test_the_arguments_of_a_call_stay_as_they_are_unless_they_are_odd() -> None:
    for written, kept, found in (
        ('{"cents": 1.50 }', '{"cents": 1.50 }', {"cents": 1.5}),
        ("", "", {}),
        ('{"cents": 1e999}', '{"cents":"Infinity"}', {"cents": "Infinity"}),
        ('{"cents": NaN}', '{"cents":"NaN"}', {"cents": "NaN"}),
        (r'{"note": "\ud83d"}', '{"note":"\ufffd"}', {"note": "\ufffd"}),
        ("[1]", "[1]", None),
        ("null", "null", None),
        ('{"cents": 5', '{"cents": 5', None),
        ("[" * 3000 + "]" * 3000, '"[There is more inside, which cannot be shown.]"', None),
        (
            '{"cents": ' + "9" * 5000 + "}",
            '{"cents":"[a number that is too long]"}',
            {"cents": "[a number that is too long]"},
        ),
    ):
        assert (clean_arguments(written), arguments_in(written)) == (kept, found), written[:40]


HALVES: Final = dict.fromkeys(("\ud83d", "\udc00"), 1)

RESULTS: Final[list[tuple[Any, str]]] = [
    ("cut \ud83d here", "cut \ufffd here"),
    ({"a": ["\ud83d"]}, "\ufffd"),
    (HALVES, "\ufffd"),
    ({"wind": math.inf, "rain": math.nan}, "rain"),
    (b"\xff\xfe", "2 bytes that are no text"),
    ({"raw": b"\xff\xfe"}, "2 bytes that are no text"),
    (ENDLESS, "There is more inside"),
    (DEEP, "There is more inside"),
    (10**5000, "too long"),
    ("a\0b", "ab"),
    ({1: {2: 3}}, "2"),
    ({1, 2}, "1"),
    (None, ""),
]
"""Results of tools, and what the model reads of each."""


async def test_a_tool_is_called_once_whatever_it_returns(client: Client, subtests: pytest.Subtests) -> None:
    acts, result = Counter[str](), list[Any]()

    async def scrape() -> object:
        """Scrape a page."""
        acts[idempotency_key()] += 1
        return result[0]

    async with asking(client, calls_first("scrape", "{}", Reply(["Done."])), [scrape]) as (phone, model):
        for returned, read in RESULTS:
            with subtests.test(read, result=type(returned).__name__):
                result[:] = [returned]
                acts.clear()
                assert await answers(phone, f"Page {len(model.requests)}?") == ["Done."]
                assert [*acts.values()] == [1]
                assert read in model.requests[-1].results[0]
        assert await phone.errors() == []


ODD_ARGUMENTS: Final[dict[str, list[str]]] = {
    r'{"note": "cut \ud83d here"}': ["cut \ufffd here"],
    r'{"note": "a\u0000b"}': ["ab"],
    '{"cents": 1e999}': [],
    '{"cents": -Infinity}': [],
    '{"cents": "five"}': [],
    '{"note": {"a": 1}}': [],
}
NO_OBJECTS: Final = ("[1]", "5", '"text"', "null", "[]")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_writes_odd_arguments_learns_of_it_and_the_chat_goes_on(
    client: Client, stream: bool, subtests: pytest.Subtests
) -> None:
    noted, arguments = list[str](), [""]

    async def note(cents: int = 5, note: str = "") -> str:
        """Take a note."""
        noted.append(note)
        return "noted"

    def answer(asked: Asked) -> Reply:
        return Reply(["Done."]) if asked.results else Reply(calls=[Call("note", "c1", arguments[0])])

    # LangChain reads arguments itself if they are not streamed, and refuses those that are no object, or empties them.
    no_objects = () if client is CLIENTS["langgraph"] and not stream else NO_OBJECTS
    async with asking(client, answer, [note], stream=stream) as (phone, model):
        for written, notes in [*ODD_ARGUMENTS.items(), *((each, []) for each in no_objects)]:
            with subtests.test(written):
                arguments[:] = [written]
                noted.clear()
                assert await answers(phone, f"Note this: {written}") == ["Done."]
                assert noted == notes
                assert (model.requests[-1].results == ["noted"]) is bool(notes)
        assert await phone.errors() == []


@pytest.mark.parametrize("prompt", ["cut \ud83d here", ["What is this?", "cut \ud83d here"]])
async def test_a_prompt_of_the_author_may_be_cut_from_a_page(prompt: Any) -> None:
    pytest.importorskip("openai", reason="openai is not installed")
    async with asking(CLIENTS["pydantic-ai"], lambda _: Reply(["Fine."]), prompt=prompt) as (phone, model):
        assert await answers(phone, "Hello") == ["Fine."]
    assert "cut \ufffd here" in model.requests[-1].texts


async def test_a_node_of_a_graph_calls_a_durable_tool_with_arguments_and_gets_its_result() -> None:
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph
    from linqbot_agent.langgraph import durable, run

    keys, fails, read = Counter[str](), [True], list[Any]()

    async def look_up(city: str) -> dict[str, float]:
        """Look up the weather."""
        keys[f"{city} {idempotency_key()}"] += 1
        return {"wind": math.inf, "rain": 0.5}

    tool, model = durable(look_up), GenericFakeChatModel(messages=iter([AIMessage("Windy.")]))

    async def look(_: MessagesState) -> dict[str, Any]:
        read.extend([await tool.ainvoke({"city": city}) for city in ("Rome", "Oslo", "Rome")])
        if fails:
            raise ConnectionError(fails.pop())
        return {"messages": [await durable(model).ainvoke("Hello")]}

    node: Any = look
    graph = StateGraph(MessagesState).add_node("look", node).add_edge(START, "look").compile()
    async with talking(bot_of(Outside(), lambda ctx: run(graph, ctx))) as phone:
        await phone.text("The weather?")
        assert [type(error) for error in await phone.errors()] == [ConnectionError]
        await phone.advance(60)
        assert await phone.replies() == ["Windy."]
    assert read == [{"wind": "Infinity", "rain": 0.5}] * 6
    assert sorted(each.split()[0] for each in keys) == ["Oslo", "Rome", "Rome"]
    assert set(keys.values()) == {1}


HALF: Final = '{"text": "Half \\ud83d\\u0000 of it", "effect": null}'
WHOLE: Final = "Half \ufffd of it"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_data_is_said_without_its_odd_characters_and_one_that_is_no_object_is_given_again(
    stream: bool,
) -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")

    def answer(asked: Asked) -> Reply:
        return Reply(calls=[Call("answer_with_say", f"c{len(asked.results)}", HALF if asked.results else "[1, 2]")])

    async with asking(CLIENTS["anthropic"], answer, output_type=Say, stream=stream) as (phone, model):
        assert await answers(phone, "Hello") == [WHOLE]
        assert model.requests[1].results == [NO_OBJECT]
        assert await phone.errors() == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_text_that_is_data_is_said_without_its_odd_characters(stream: bool) -> None:
    agents = pytest.importorskip("agents", reason="openai-agents is not installed")
    from linqbot_agent.openai import run
    from openai import AsyncOpenAI

    async with providing(lambda _: Reply([f'{{"response": {HALF}}}'])) as model:
        client = AsyncOpenAI(api_key="k", base_url=f"{model.url}/v1", max_retries=0, http_client=model.http)
        agent = agents.Agent("host", model=agents.OpenAIResponsesModel("gpt-5", client), output_type=Say)
        async with talking(bot_of(Outside(), lambda ctx: run(agent, ctx, stream=stream), LinqAgent())) as phone:
            assert await answers(phone, "Hello") == [WHOLE]
            assert await phone.errors() == []
