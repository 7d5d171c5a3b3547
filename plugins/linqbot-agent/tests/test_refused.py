"""Requests that the provider refuses: they are made again with less, and no chat falls silent because of its history."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable

import pytest
from answers import answers
from fake_provider import Reply, providing
from frameworks import Outside, bot_of
from linqbot_agent import LinqAgent
from linqbot_agent.memory import TALK, Kept
from linqbot_agent.plugin import SORRY
from pydantic_ai import Agent
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.exceptions import ModelContextWindowExceededError, ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from real_clients import CLIENTS, Client, asking, calls_first, each_client  # noqa: F401 - a fixture
from scripted_agents import bot_with, calls, files_of, fixed, kinds, says, tool
from structlog.testing import capture_logs

from linqbot import Context
from linqbot.testing import talking

PNG = b"\x89PNG\r\n\x1a\n" + b"good" * 9


class Provider:
    """A provider that refuses requests.

    Attributes:
        requests: The messages of each request.
        refused: The number of refused ones.
        model: Its model.
    """

    def __init__(self, refuses: Callable[[list[ModelMessage]], Exception | None]) -> None:
        self.refuses = refuses
        self.requests: list[list[ModelMessage]] = []
        self.refused = 0
        self.model = FunctionModel(self.respond)

    def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.requests.append(list(messages))
        if (error := self.refuses(messages)) is not None:
            self.refused += 1
            raise error
        return says(f"Read {sum(each.startswith('user-prompt') for each in kinds(messages))}.")


def longer_than(most: int, error: Exception | None = None) -> Callable[[list[ModelMessage]], Exception | None]:
    """Return what refuses more than so many prompts."""
    refusal = error or ModelHTTPError(400, "m", {"error": {"code": "context_length_exceeded"}})
    return lambda messages: refusal if sum(each.startswith("user-p") for each in kinds(messages)) > most else None


@pytest.mark.parametrize(
    "error",
    [None, ModelHTTPError(413, "m"), ModelContextWindowExceededError("m", "too long")],
    ids=["context_length_exceeded", "413", "overflow"],
)
async def test_a_full_context_window_is_answered_with_less_history(error: Exception | None) -> None:
    provider = Provider(longer_than(3, error))
    agent = Agent(provider.model, system_prompt="You are a cook.")
    async with talking(bot_with(agent, LinqAgent(history=12, memory="person"))) as phone:
        for number in range(8):
            await phone.text(f"{number}")
            assert (await phone.next_reply())[:4] == "Read"
            assert kinds(provider.requests[-1])[0] == "system-prompt: You are a cook."
            assert kinds(provider.requests[-1])[-1] == f"user-prompt: {number}"
    assert provider.refused > 0


async def test_a_message_alone_is_answered_if_all_of_the_history_is_too_much() -> None:
    provider = Provider(longer_than(1))
    async with talking(bot_with(Agent(FallbackModel(provider.model, provider.model)))) as phone:
        for number in range(3):
            assert await answers(phone, f"{number}") == ["Read 1."]


async def test_what_is_no_refusal_of_the_content_is_not_asked_again() -> None:
    wrong = []
    for status in (401, 402, 403, 404, 408, 425, 429, 500, 503):
        provider = Provider(longer_than(1, ModelHTTPError(status, "m")))
        async with talking(bot_with(Agent(provider.model))) as phone:
            await answers(phone, "One")
            (said,) = await answers(phone, "Two")
        if (provider.refused, said) != (1, SORRY):
            wrong.append((status, provider.refused, said))
    assert wrong == []


async def test_a_message_that_is_refused_alone_ends_in_one_apology_after_few_requests() -> None:
    provider = Provider(lambda messages: None)
    async with talking(bot_with(Agent(provider.model), LinqAgent(images=1))) as phone:
        for text in ("One", "Two", "Three"):
            await answers(phone, text)
        provider.refuses = longer_than(0)
        await phone.media(PNG, "a.png", text="Four")
        assert await phone.replies() == [SORRY]
        assert provider.refused <= 5
        provider.refuses = lambda messages: None
        await answers(phone, "Five")
        assert files_of(provider.requests[-1]) == [PNG]


async def test_a_response_that_the_provider_suspends_is_continued_after_a_refusal(subtests: pytest.Subtests) -> None:
    first, second = ModelResponse(parts=[TextPart("One. ")], state="suspended"), says("Two.")
    for refused_at in (1, 2):
        requests: list[list[str]] = []

        def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            requests.append(kinds(messages))  # noqa: B023 - called within this round of the loop
            if len(requests) == refused_at:  # noqa: B023
                raise ModelHTTPError(400, "m")
            return first if first not in messages else second

        with subtests.test(refused_at=refused_at):
            agent = Agent(FunctionModel(respond))
            async with talking(bot_with(agent, LinqAgent(images=1))) as phone:
                await phone.media(PNG, "a.png", text="Count")
                assert await phone.replies() == ["One. Two."]
            assert [said[-1] == "text: One. " for said in requests] == [False, refused_at == 2, True]


async def test_an_answer_that_was_begun_goes_on_behind_its_last_message_when_its_request_is_refused() -> None:
    requests: list[int] = []

    async def write(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        requests.append(len(messages))
        yield "Two." if len(requests) == 3 else "One.\n\n"
        if len(requests) == 2:
            raise ModelHTTPError(400, "m", "in the middle")

    async with talking(bot_with(Agent(FunctionModel(stream_function=write)), stream=True)) as phone:
        assert await answers(phone, "First") == ["One."]
        assert await answers(phone, "Second") == ["One.", "Two."]
    assert len(requests) == 3


async def test_a_file_that_the_framework_cannot_send_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(messages: list[ModelMessage]) -> Exception | None:
        return NotImplementedError("Only images") if files_of(messages) else None

    provider = Provider(unable)
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with capture_logs() as logs:
        async with talking(bot_with(Agent(provider.model), LinqAgent(documents=1))) as phone:
            await phone.media(b"%PDF-1.4", "menu.pdf", text="Look")
            assert (await phone.next_reply())[:4] == "Read"
    assert "[It cannot be read.]" in str(kinds(provider.requests[-1]))
    assert [each["why"] for each in logs if each["event"] == "agent.file_unreadable"] == ["Install linqbot-agent[pdf]."]


async def test_a_file_that_the_provider_refuses_is_not_sent_again_although_a_later_request_has_no_file() -> None:
    provider = Provider(lambda messages: ModelHTTPError(400, "m") if files_of(messages) else None)

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        read = provider.respond(messages, info)
        return read if kinds(messages)[-1].startswith("tool-return") else calls(tool("look", "c1"))

    def without_files(messages: list[ModelMessage]) -> list[ModelMessage]:
        is_later = kinds(messages)[-1].startswith("tool-return")
        return [each for each in messages if not is_later or not files_of([each])]

    agent = Agent(FunctionModel(respond), tools=[fixed("look", "free")], capabilities=[ProcessHistory(without_files)])
    async with talking(bot_with(agent, LinqAgent(images=1))) as phone:
        for text in ("Look", "And now?"):
            await phone.media(PNG, "a.png", text=text)
            assert (await phone.next_reply())[:4] == "Read"
    assert provider.refused == 1


async def test_a_history_that_a_client_cannot_send_is_left_out(client: Client) -> None:
    """Check a call whose number has no end, as an earlier release has stored it: Anthropic's client fails to write it."""
    poison: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart("A refund, please")]),
        ModelResponse(parts=[ToolCallPart("refund", '{"cents": 1e999}', "c1")]),
        ModelRequest(parts=[ToolReturnPart("refund", "not possible", "c1")]),
        ModelResponse(parts=[TextPart("It is not possible.")]),
    ]
    async with providing(lambda _: Reply(["Fine."])) as model:
        answer = client(model, [])

        async def chat(ctx: Context) -> None:
            kept = await ctx.state.person(Kept, name=TALK)
            kept.by_message.setdefault("m1", ModelMessagesTypeAdapter.dump_python(poison, mode="json"))
            await answer(ctx)

        with capture_logs() as logs:
            async with talking(bot_of(Outside(), chat, LinqAgent(memory="person"))) as phone:
                for text in ("Hello?", "And now?"):
                    assert await answers(phone, text) == ["Fine."]
                assert await phone.errors() == []
    asked_again = any(each["event"] == "agent.asked_again" for each in logs)
    assert asked_again is (client is CLIENTS["pydantic-ai with anthropic"])


@pytest.mark.parametrize("arguments", ['{"cents": 1e999}', '{"cents": "five"}', "[1]"])
async def test_a_call_whose_arguments_do_not_fit_the_tool_is_remembered_as_a_text(arguments: str) -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")

    async def refund(cents: int) -> str:
        """Send money back."""
        return "sent"

    for memory in ("chat", "person"):
        plugin = LinqAgent(memory=memory)
        answer = calls_first("refund", arguments, Reply(["It is not possible."]))
        async with asking(CLIENTS["pydantic-ai with anthropic"], answer, [refund], plugin) as (phone, model):
            await answers(phone, "A refund, please")
            model.answer = lambda _: Reply(["Fine."])
            assert await answers(phone, "Hello?") == ["Fine."]
            assert "call" not in {role for role, _ in model.requests[-1].said}
            assert "[You have called the tool refund with" in model.requests[-1].texts
