"""Bots that run agents of several frameworks on one scripted model, without a network.

The model calls `reserve` and `charge`, then `notify`, and then says four paragraphs. It words each request in another way,
and goes on behind what it has said before it was cut off.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from linqbot_agent import LinqAgent, idempotency_key
from linqbot_agent.written import GO_ON

from linqbot import Bot, Context, MessageReceived, Running
from linqbot.clock import Clock

Answer: TypeAlias = Callable[..., Callable[[Context], Any]]
"""Takes an `Outside` and arguments of `run`, and returns what answers in a handler."""

PARAGRAPHS = ["A table is free at 8", "It is paid for", "The cook knows of it", "Enjoy your meal"]


class Overloaded(Exception):
    status_code = 529


class RequestRefused(Exception):
    status_code = 400


@dataclass
class Outside:
    """The systems outside of the bot: the model and what the tools write to.

    Attributes:
        effects: By tool and key, the number of times that a tool has acted.
        requests: The messages of each request, each as its role and its text.
        fails: The number of requests that are still to fail.
        cuts: The number of responses that are still to be cut after their first paragraph.
        acts: What tools do besides.
        paragraphs: What the model says at the end.
        narration: What it writes next to a call of a tool.
        shows: What each result of a tool says behind its text.
        reads: The most characters that the model reads. A longer request is refused.
        files: The files of each request.
        unreadable: A file that the model cannot read. A request with it is refused.
        refused: The number of requests that were refused.
        calls: The names of the tools that it calls.
    """

    clock: Clock | None = None
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: list[list[tuple[str, str]]] = field(default_factory=list)
    fails: int = 0
    cuts: int = 0
    acts: Callable[[], Awaitable[object]] | None = None
    paragraphs: Sequence[str] = tuple(PARAGRAPHS)
    narration: str = ""
    shows: str = ""
    reads: int = 100_000
    files: list[list[bytes]] = field(default_factory=list)
    unreadable: bytes = b""
    refused: int = 0
    calls: Sequence[str] = ("reserve", "charge", "notify")

    def reset(self) -> None:
        self.effects.clear()
        self.requests.clear()
        self.refused = 0

    def note(self, tool: str) -> str:
        self.effects[tool, idempotency_key()] += 1
        return f"{tool} is done{self.shows}"

    async def act(self, tool: str) -> str:
        if self.acts is not None:
            await self.acts()
        return self.note(tool)

    def response(
        self, messages: list[tuple[str, str]], results: int, files: list[bytes]
    ) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the paragraphs of a response, and the names and ids of the tools that it calls."""
        if sum(len(text) for _, text in messages) > self.reads or self.unreadable in files:
            self.refused += 1
            raise RequestRefused
        self.requests.append(messages)
        self.files.append(files)
        number = len(self.requests)
        if results < 3:
            narration = [self.narration] if self.narration else []
            calls = [*zip(self.calls, ("c1", "c2", "c3"), strict=True)]
            return narration, calls[2:] if results else calls[:2]
        said = messages[-2][1] if messages[-1][1] == GO_ON else ""
        read = len(said.split("\n\n")) if said else 0
        return [f"{each} ({number})." for each in self.paragraphs[read:]], []

    async def pause(self) -> None:
        assert self.clock is not None
        await self.clock.wait_until(self.clock.now() + 3)
        if self.cuts:
            self.cuts -= 1
            raise Overloaded


def without_number(text: str) -> str:
    return text.partition(" (")[0]


def bot_of(
    outside: Outside, answer: Callable[[Context], Any], plugin: LinqAgent | None = None, *, attempts: int = 5
) -> Bot:
    bot = Bot(plugins=[plugin or LinqAgent()], groups="all")

    @bot.on_start
    async def note_clock(running: Running) -> None:
        outside.clock = running.clock

    @bot.on_message(attempts=attempts)
    async def chat(message: MessageReceived, ctx: Context) -> None:
        await answer(ctx)

    return bot


class FakeAnthropic:
    """The API of Anthropic, for the transport of its client."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def __call__(self, request: Any) -> Any:
        import httpx2

        asked, outside = json.loads(request.content), self._outside
        if outside.fails:
            outside.fails -= 1
            return httpx2.Response(529, json={"type": "error", "error": {"type": "overloaded_error", "message": ""}})
        try:
            content = self._content(asked["messages"])
        except RequestRefused:
            return httpx2.Response(
                400, json={"type": "error", "error": {"type": "invalid_request_error", "message": ""}}
            )
        if asked.get("stream"):
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self._events(content))
        return httpx2.Response(200, json=_anthropic_message(content))

    def _content(self, messages: list[Any]) -> list[Any]:
        blocks = [block for each in messages if isinstance(each["content"], list) for block in each["content"]]
        results = sum(block["type"] == "tool_result" for block in blocks)
        shown = [(each["role"], text_of(each["content"])) for each in messages]
        paragraphs, calls = self._outside.response(shown, results, files_in(each["content"] for each in messages))
        tools = [{"type": "tool_use", "id": call_id, "name": name, "input": {}} for name, call_id in calls]
        return [*([{"type": "text", "text": "\n\n".join(paragraphs)}] if paragraphs else []), *tools]

    async def _events(self, content: list[Any]) -> AsyncIterator[bytes]:
        message = _anthropic_message(content)
        yield _sse("message_start", message={**message, "content": [], "stop_reason": None})
        for index, block in enumerate(content):
            empty = {**block, "text": ""} if block["type"] == "text" else block
            yield _sse("content_block_start", index=index, content_block=empty)
            for paragraph in block["text"].split("\n\n") if block["type"] == "text" else ():
                delta = {"type": "text_delta", "text": f"{paragraph}\n\n"}
                yield _sse("content_block_delta", index=index, delta=delta)
                await self._outside.pause()
            yield _sse("content_block_stop", index=index)
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        yield _sse("message_delta", delta=end, usage={"output_tokens": 2})
        yield _sse("message_stop")


def text_of(content: Any) -> str:
    """Return the text of a message, whose content is a text or blocks of any framework."""
    return content if isinstance(content, str) else "\n\n".join(each["text"] for each in content if "text" in each)


def files_in(contents: Iterable[Any]) -> list[bytes]:
    """Return the files in the contents of messages, whose blocks are those of any framework."""
    blocks = [block for content in contents if not isinstance(content, str) for block in content]
    data = (
        block.get("base64")
        or block.get("source", {}).get("data")
        or (block.get("image_url") or block.get("file_data") or "").partition(";base64,")[2]
        for block in blocks
    )
    return [b64decode(each) for each in data if each]


def _anthropic_message(content: list[Any]) -> Any:
    reason = "tool_use" if content and content[-1]["type"] == "tool_use" else "end_turn"
    facts: Any = {"id": "m1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}
    return {**facts, "content": content, "stop_reason": reason, "usage": {"input_tokens": 7, "output_tokens": 2}}


def _sse(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def tools_of(outside: Outside) -> list[Callable[[], Any]]:
    """Return the tools of each agent. One of them is no coroutine function."""

    async def reserve() -> str:
        """Reserve a table."""
        return await outside.act("reserve")

    def charge() -> str:
        """Charge the card."""
        return outside.note("charge")

    async def notify() -> str:
        """Notify the cook."""
        return await outside.act("notify")

    return [reserve, charge, notify]


def with_anthropic(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    import httpx2
    from anthropic import AsyncAnthropic
    from linqbot_agent.anthropic import run

    transport = httpx2.MockTransport(FakeAnthropic(outside))
    client = AsyncAnthropic(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=transport))

    return lambda ctx: run(client, ctx, model="claude-sonnet-4-6", tools=tools_of(outside), **how)


def with_openai(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    from agents import Agent, function_tool
    from fake_openai import FakeOpenAI
    from linqbot_agent.openai import run

    agent = Agent(
        "host",
        model=FakeOpenAI(outside),
        tools=[function_tool(each, failure_error_function=None) for each in tools_of(outside)],
    )
    return lambda ctx: run(agent, ctx, **how)


def with_langgraph(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    from fake_langchain import FakeChatModel
    from langchain.agents import create_agent
    from linqbot_agent.langgraph import durable, run

    model = FakeChatModel(outside=outside)

    def build(tools: Sequence[Any] = ()) -> Any:
        return create_agent(durable(model), [*map(durable, tools_of(outside)), *tools], system_prompt="Host.")

    graph = build if how.get("servers") else build()
    return lambda ctx: run(graph, ctx, **how)


def with_pydantic_ai(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    from fake_pydantic_ai import model_of
    from linqbot_agent import run
    from pydantic_ai import Agent

    agent: Agent[Any, str] = Agent(model_of(outside), tools=tools_of(outside))
    return lambda ctx: run(agent, ctx, **how)


_PACKAGES = {"anthropic": "anthropic", "openai": "agents", "langgraph": "langchain", "pydantic-ai": "pydantic_ai"}
FRAMEWORKS: dict[str, Answer] = {
    "anthropic": with_anthropic,
    "langgraph": with_langgraph,
    "openai": with_openai,
    "pydantic-ai": with_pydantic_ai,
}


@pytest.fixture(name="framework", params=sorted(FRAMEWORKS))
def each_framework(request: pytest.FixtureRequest) -> Answer:
    pytest.importorskip(_PACKAGES[request.param], reason=f"{_PACKAGES[request.param]} is not installed")
    return FRAMEWORKS[request.param]
