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
from typing import Any, NamedTuple, TypeAlias

import pytest
from linqbot_agent import LinqAgent, Say, Several, Silence, Tapback, idempotency_key
from linqbot_agent.requests import GO_ON

from linqbot import Bot, Context, MessageReceived, Running
from linqbot.clock import Clock
from linqbot.storage.backend import Storage

Answer: TypeAlias = Callable[..., Callable[[Context], Any]]
"""Takes an `Outside` and arguments of `run`, and returns what answers in a handler."""

PARAGRAPHS = ["A table is free at 8", "It is paid for", "The cook knows of it", "Enjoy your meal"]


class Failed(Exception):
    """The provider has failed, or refused a request."""

    def __init__(self, status_code: int) -> None:
        super().__init__(status_code)
        self.status_code = status_code


class Call(NamedTuple):
    """A call of a tool, as a model writes it."""

    name: str
    id: str
    arguments: str = "{}"


class Response(NamedTuple):
    """A response of the model. `stop` is `max_tokens` or `refusal` if it ended for that reason."""

    paragraphs: Sequence[str] = ()
    calls: Sequence[Call] = ()
    stop: str = ""


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
        reads: The most characters that the model reads. A longer request is refused.
        files: The files of each request.
        unreadable: A file that the model cannot read. A request with it is refused.
        refused: The number of requests that were refused.
        names: The names of the tools that it calls: two, then a third. Fewer leave out later ones.
        instructions: The instructions of the agent.
        middleware: The middleware of an agent of LangChain.
        has_outputs: True gives the agent the output types of `OUTPUTS`.
        answering: Returns the response by which a model of the framework answers with an output: its type and its arguments.
    """

    clock: Clock | None = None
    storage: Storage | None = None
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: list[list[tuple[str, str]]] = field(default_factory=list)
    fails: int = 0
    cuts: int = 0
    acts: Callable[[], Awaitable[object]] | None = None
    paragraphs: Sequence[str] = tuple(PARAGRAPHS)
    reads: int = 100_000
    files: list[list[bytes]] = field(default_factory=list)
    unreadable: bytes = b""
    refused: int = 0
    names: Sequence[str] = ("reserve", "charge", "notify")
    instructions: str = "Host."
    middleware: Sequence[Any] = ()
    has_outputs: bool = False
    answering: Callable[[str, Any], Response] = field(init=False)

    def reset(self) -> None:
        self.effects.clear()
        self.requests.clear()
        self.refused = 0

    def note(self, tool: str) -> str:
        self.effects[tool, idempotency_key()] += 1
        return f"{tool} is done"

    async def act(self, tool: str) -> str:
        if self.acts is not None:
            await self.acts()
        return self.note(tool)

    def response(self, messages: list[tuple[str, str]], results: int, files: list[bytes]) -> Response:
        """Return the response to messages, of which so many are results of tools."""
        if self.fails:
            self.fails -= 1
            raise Failed(529)
        if sum(len(text) for _, text in messages) > self.reads or self.unreadable in files:
            self.refused += 1
            raise Failed(400)
        self.requests.append(messages)
        self.files.append(files)
        if calls := self.calls(results):
            return Response((), calls)
        said = messages[-2][1] if messages[-1][1] == GO_ON else ""
        read = len(said.split("\n\n")) if said else 0
        return Response([f"{each} ({self.wording()})." for each in self.paragraphs[read:]])

    def calls(self, results: int) -> list[Call]:
        """Return the tools that the model calls after so many results."""
        calls = [*map(Call, self.names, ("c1", "c2", "c3"))]
        return calls[:2] if not results else calls[2:] if results < 3 else []

    def wording(self) -> str:
        """Return what tells the words of one response from those of another."""
        return str(len(self.requests))

    def tools(self) -> list[Callable[..., Any]]:
        """Return the tools of the agent. One of them is no coroutine function."""

        async def reserve() -> str:
            """Reserve a table."""
            return await self.act("reserve")

        def charge() -> str:
            """Charge the card."""
            return self.note("charge")

        async def notify() -> str:
            """Notify the cook."""
            return await self.act("notify")

        return [reserve, charge, notify]

    async def pause(self) -> None:
        assert self.clock is not None
        await self.clock.wait_until(self.clock.now() + 3)
        if self.cuts:
            self.cuts -= 1
            raise Failed(529)


def without_numbers(texts: Iterable[str]) -> list[str]:
    return [text.partition(" (")[0] for text in texts]


def bot_of(
    outside: Outside, answer: Callable[[Context], Any], plugin: LinqAgent | None = None, *, attempts: int = 5
) -> Bot:
    bot = Bot(plugins=[plugin or LinqAgent()], groups="all", read=False, typing=False)

    @bot.on_start
    async def note_clock(running: Running) -> None:
        outside.clock, outside.storage = running.clock, running.storage

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

        asked = json.loads(request.content)
        try:
            message = self._message(asked["messages"])
        except Failed as error:
            kind = "overloaded_error" if error.status_code == 529 else "invalid_request_error"
            body = {"type": "error", "error": {"type": kind, "message": ""}}
            return httpx2.Response(error.status_code, json=body)
        if asked.get("stream"):
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.events(message))
        return httpx2.Response(200, json=message)

    def _message(self, messages: list[Any]) -> Any:
        blocks = [block for each in messages if isinstance(each["content"], list) for block in each["content"]]
        results = sum(block["type"] == "tool_result" for block in blocks)
        shown = [(each["role"], text_of(each["content"])) for each in messages]
        files = files_in(each["content"] for each in messages)
        paragraphs, calls, stop = self._outside.response(shown, results, files)
        text = [{"type": "text", "text": "\n\n".join(paragraphs)}] if paragraphs else []
        tools = [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _object(call.arguments)} for call in calls
        ]
        facts: Any = {"id": "m1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}
        reason = stop or ("tool_use" if tools else "end_turn")
        usage = {"input_tokens": 7, "output_tokens": 2}
        return {**facts, "content": [*text, *tools], "stop_reason": reason, "usage": usage}

    async def events(self, message: Any) -> AsyncIterator[bytes]:
        yield _sse("message_start", message={**message, "content": [], "stop_reason": None})
        for index, block in enumerate(message["content"]):
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


def _object(arguments: str) -> Any:
    """Return arguments as the API gives them: it writes no other JSON than an object."""
    try:
        return json.loads(arguments) or {}
    except ValueError:
        return {"raw": arguments}


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


def _sse(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


OUTPUTS: Any = (Say, Tapback, Silence, Several)


def _calling(tool: str, arguments: Any) -> Response:
    return Response((), [Call(tool, "o1", json.dumps(arguments))])


def with_anthropic(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    import httpx2
    from anthropic import AsyncAnthropic
    from linqbot_agent.anthropic import run

    transport = httpx2.MockTransport(FakeAnthropic(outside))
    client = AsyncAnthropic(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=transport))

    options: Any = {"model": "claude-sonnet-4-6", "system": outside.instructions, "tools": outside.tools()}
    outside.answering = lambda kind, given: _calling(f"answer_with_{kind.lower()}", given)
    if outside.has_outputs:
        options["output_type"] = [str, *OUTPUTS]
    return lambda ctx: run(client, ctx, **options, **how)


def with_openai(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    from agents import Agent, FunctionTool, function_tool
    from fake_openai import FakeOpenAI
    from linqbot_agent.openai import run

    output_type: Any = str | Say | Tapback | Silence | Several
    outside.answering = lambda kind, given: Response([json.dumps({"response": given})])
    agent = Agent(
        "host",
        model=FakeOpenAI(outside),
        instructions=outside.instructions,
        tools=[
            each if isinstance(each, FunctionTool) else function_tool(each, failure_error_function=None)
            for each in outside.tools()
        ],
        output_type=output_type if outside.has_outputs else None,
    )
    return lambda ctx: run(agent, ctx, **how)


def with_langgraph(outside: Outside, **how: Any) -> Callable[[Context], Any]:
    from langchain.agents import create_agent
    from langchain.agents.structured_output import ToolStrategy
    from linqbot_agent.langgraph import durable, run
    from scripted_langchain import model_of

    model, outside.answering = model_of(outside), _calling
    form: Any = ToolStrategy(Say | Tapback | Silence | Several) if outside.has_outputs else None

    def build(tools: Sequence[Any] = ()) -> Any:
        own = map(durable, outside.tools())
        return create_agent(
            durable(model),
            [*own, *tools],
            system_prompt=outside.instructions,
            response_format=form,
            middleware=outside.middleware,
        )

    graph = build if how.get("servers") else build()
    return lambda ctx: run(graph, ctx, **how)


def with_pydantic_ai(outside: Outside, capabilities: Sequence[Any] = (), **how: Any) -> Callable[[Context], Any]:
    from fake_pydantic_ai import model_of
    from linqbot_agent import run
    from pydantic_ai import Agent

    outside.answering = lambda kind, given: _calling(f"final_result_{kind}", given)
    output_type: Any = [str, *OUTPUTS] if outside.has_outputs else str
    agent: Agent[Any, Any] = Agent(
        model_of(outside),
        tools=outside.tools(),
        instructions=outside.instructions,
        capabilities=capabilities,
        output_type=output_type,
    )
    return lambda ctx: run(agent, ctx, **how)


FRAMEWORKS: dict[str, Answer] = {
    "anthropic": with_anthropic,
    "langgraph": with_langgraph,
    "openai": with_openai,
    "pydantic-ai": with_pydantic_ai,
}
PACKAGES = {"anthropic": "anthropic", "openai": "agents", "langgraph": "langchain", "pydantic-ai": "pydantic_ai"}


@pytest.fixture(name="framework", params=sorted(FRAMEWORKS))
def each_framework(request: pytest.FixtureRequest) -> Answer:
    pytest.importorskip(PACKAGES[request.param], reason=f"{PACKAGES[request.param]} is not installed")
    return FRAMEWORKS[request.param]


ONE_FRAMEWORK = pytest.mark.parametrize("framework", ["pydantic-ai"], indirect=True)
"""For tests of what is on record and of what is written for a model, which are the same for each."""
