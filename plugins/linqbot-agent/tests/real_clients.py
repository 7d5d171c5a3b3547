"""Agents of each framework on its real client, which asks a provider on loopback: see `fake_provider`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import pytest
from fake_provider import Answer, Asked, Provider, Raw, Reply, providing
from frameworks import Call, Outside, bot_of
from linqbot_agent import LinqAgent

from linqbot import Context
from linqbot.testing import Phone, talking

Tools: TypeAlias = Sequence[Callable[..., Any]]
Answering: TypeAlias = Callable[[Context], Any]
Client: TypeAlias = Callable[..., Answering]
"""Takes a provider, tools, and arguments of `run`, and returns what answers in a handler."""
INSTRUCTIONS: Final = "You are a host."


def anthropic(provider: Provider, tools: Tools, **how: Any) -> Answering:
    from anthropic import AsyncAnthropic
    from linqbot_agent.anthropic import run

    client = AsyncAnthropic(api_key="k", base_url=provider.url, max_retries=0, http_client=provider.http)
    options: Any = {"model": "claude-sonnet-4-6", "system": INSTRUCTIONS, "tools": tools, **how}
    return lambda ctx: run(client, ctx, **options)


def openai(provider: Provider, tools: Tools, **how: Any) -> Answering:
    from agents import Agent, OpenAIResponsesModel, function_tool
    from linqbot_agent.openai import run
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=0, http_client=provider.http)
    own: list[Any] = [function_tool(each) for each in tools]
    agent = Agent("host", model=OpenAIResponsesModel("gpt-5", client), instructions=INSTRUCTIONS, tools=own)
    return lambda ctx: run(agent, ctx, **how)


def langgraph(provider: Provider, tools: Tools, **how: Any) -> Answering:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from linqbot_agent.langgraph import durable, run

    options: Any = {"api_key": "k", "base_url": f"{provider.url}/v1", "http_async_client": provider.http}
    model = ChatOpenAI(model="gpt-5", max_retries=0, **options)

    def build(servers: Sequence[Any] = ()) -> Any:
        return create_agent(durable(model), [*map(durable, tools), *servers], system_prompt=INSTRUCTIONS)

    graph = build if how.get("servers") else build()
    return lambda ctx: run(graph, ctx, **how)


def pydantic_ai(provider: Provider, tools: Tools, **how: Any) -> Answering:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(api_key="k", base_url=f"{provider.url}/v1", max_retries=0, http_client=provider.http)
    return _pydantic_ai(OpenAIChatModel("gpt-5", provider=OpenAIProvider(openai_client=client)), tools, **how)


def pydantic_ai_with_anthropic(provider: Provider, tools: Tools, **how: Any) -> Answering:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(api_key="k", base_url=provider.url, max_retries=0, http_client=provider.http)
    model = AnthropicModel("claude-sonnet-4-6", provider=AnthropicProvider(anthropic_client=client))
    return _pydantic_ai(model, tools, **how)


def _pydantic_ai(model: Any, tools: Tools, **how: Any) -> Answering:
    from linqbot_agent import run
    from pydantic_ai import Agent

    agent: Agent[Any, str] = Agent(model, tools=tools, instructions=INSTRUCTIONS)
    return lambda ctx: run(agent, ctx, **how)


CLIENTS: Final[dict[str, Client]] = {
    "anthropic": anthropic,
    "openai": openai,
    "langgraph": langgraph,
    "pydantic-ai": pydantic_ai,
    "pydantic-ai with anthropic": pydantic_ai_with_anthropic,
}
_PACKAGES: Final = {
    "anthropic": ["anthropic"],
    "openai": ["agents"],
    "langgraph": ["langchain", "langchain_openai"],
    "pydantic-ai": ["openai"],
    "pydantic-ai with anthropic": ["anthropic"],
}


@pytest.fixture(name="client", params=CLIENTS)
def each_client(request: pytest.FixtureRequest) -> Client:
    for package in _PACKAGES[request.param]:
        pytest.importorskip(package, reason=f"{package} is not installed")
    return CLIENTS[request.param]


SORRY: Final = "Sorry."


@asynccontextmanager
async def asking(
    client: Client, answer: Answer, tools: Tools = (), plugin: LinqAgent | None = None, **how: Any
) -> AsyncIterator[tuple[Phone, Provider]]:
    """Run a bot whose agent asks a provider with a real client, for the duration of a block."""
    async with providing(answer) as provider:
        bot = bot_of(Outside(), client(provider, tools, **how), plugin or LinqAgent(sorry=SORRY))
        async with talking(bot) as phone:
            yield phone, provider


def calls_first(name: str, arguments: str, then: Reply | Raw) -> Answer:
    """Return a model that answers each message with a call of a tool, and its result with the same response."""

    def answer(asked: Asked) -> Reply | Raw:
        return then if asked.results else Reply(calls=[Call(name, f"c{len(asked.said)}", arguments)])

    return answer
