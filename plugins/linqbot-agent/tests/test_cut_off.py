"""A response that ends in a call of a tool, or in a stream without an end: no tool is called with half of its arguments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
from answers import answers
from fake_provider import Asked, Reply
from frameworks import Answer, Call, FakeAnthropic, Outside, Response, bot_of, with_anthropic, with_langgraph
from linqbot_agent import LinqAgent
from real_clients import Client, asking, each_client  # noqa: F401 - a fixture

from linqbot.testing import talking

SORRY: Final = "Sorry."


class Transferring(Outside):
    """A model whose response is cut off while it writes "cents": 1000, and a tool that sends the money."""

    def __init__(self, arguments: str) -> None:
        super().__init__()
        self.cut = Response(["I send it now."], [Call("transfer", "c1", arguments)], "max_tokens")
        self.sent: list[int] = []

    def response(self, messages: list[tuple[str, str]], results: int, files: list[bytes]) -> Response:
        return Response(["Sent."]) if results else self.cut

    def tools(self) -> list[Callable[..., Any]]:
        async def transfer(cents: int) -> str:
            """Send money."""
            self.sent.append(cents)
            return "sent"

        return [transfer]

    async def pause(self) -> None:
        """Write at once."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("package", "framework", "arguments"),
    [
        ("anthropic", with_anthropic, '{"cents": 10}'),  # the SDK completes the arguments in a stream
        ("langchain", with_langgraph, '{"cents": 10}'),
        ("langchain", with_langgraph, '{"cents": 10'),  # which LangChain completes in a stream
    ],
)
async def test_a_call_that_was_cut_off_is_not_made(
    package: str, framework: Answer, arguments: str, stream: bool
) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    outside = Transferring(arguments)
    async with talking(bot_of(outside, framework(outside, stream=stream), LinqAgent(sorry=SORRY))) as phone:
        assert (await answers(phone, "Send $10"))[-1] == SORRY
        assert outside.sent == []
        assert await phone.errors() == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_without_arguments_in_a_response_that_was_cut_off_is_not_made(
    client: Client, stream: bool
) -> None:
    sent = list[int]()

    async def transfer(cents: int = 1000) -> str:
        """Send money."""
        sent.append(cents)
        return "sent"

    def answer(asked: Asked) -> Reply:
        stop = asked.said[-1][1]
        return Reply(["Fine."]) if stop == "And now?" else Reply(["I send it."], [Call("transfer", "c1")], stop)

    async with asking(client, answer, [transfer], stream=stream) as (ann, _):
        for place, stop in enumerate(("max_tokens", "refusal")):
            phone = ann.person(f"+1415555018{place}")
            assert (await answers(phone, stop))[-1] == SORRY
            assert await answers(phone, "And now?") == ["Fine."]
        assert await ann.errors() == []
    assert sent == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_text_that_was_cut_off_is_said(client: Client, stream: bool) -> None:
    async with asking(client, lambda _: Reply(["Half of"], stop="max_tokens"), stream=stream) as (phone, _):
        # Without a stream, the SDK of OpenAI drops the text.
        assert await answers(phone, "Tell me") in (["Half of"], [SORRY])
        assert await phone.errors() == []


async def test_a_stream_of_anthropic_that_ends_without_an_error_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")
    whole = FakeAnthropic.events

    async def without_end(self: FakeAnthropic, message: Any) -> AsyncIterator[bytes]:
        async for event in whole(self, message):
            yield event
            return

    monkeypatch.setattr(FakeAnthropic, "events", without_end)
    outside = Outside()
    async with talking(bot_of(outside, with_anthropic(outside, stream=True), LinqAgent(sorry=SORRY))) as phone:
        assert await answers(phone, "Hello") == [SORRY]
        assert await phone.errors() == []
