"""Agents with scripted models, and bots that run them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from linqbot_agent import LinqAgent, run
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from linqbot import Bot, Context, MessageReceived


def says(text: str) -> ModelResponse:
    """Return the response of a model that answers."""
    return ModelResponse(parts=[TextPart(text)])


def calls(*tools: ToolCallPart, narration: str = "") -> ModelResponse:
    """Return the response of a model that calls tools."""
    return ModelResponse(parts=[*([TextPart(narration)] if narration else []), *tools])


def tool(name: str, call_id: str, **arguments: Any) -> ToolCallPart:
    """Return a call of a tool."""
    return ToolCallPart(name, arguments, call_id)


class Script:
    """A model that answers each request with the next response of a list, and remembers what it was sent.

    Attributes:
        requests: The messages of each request.
    """

    def __init__(self, *responses: ModelResponse | Exception) -> None:
        self.responses: Iterator[ModelResponse | Exception] = iter(responses)
        self.requests: list[list[ModelMessage]] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.requests.append(list(messages))
        response = next(self.responses)
        if isinstance(response, Exception):
            raise response
        return response

    @property
    def model(self) -> FunctionModel:
        return FunctionModel(self)


def bot_with(agent: Agent[Any, Any], plugin: LinqAgent | None = None, **arguments: Any) -> Bot:
    """Return a bot that answers each message with an agent."""
    bot = Bot(plugins=[plugin or LinqAgent()], groups="all")

    @bot.on_message
    async def chat(message: MessageReceived, ctx: Context) -> None:
        await run(agent, ctx, **arguments)

    return bot


def kinds(messages: list[ModelMessage]) -> list[str]:
    """Return what messages say, in short: `kind: content`."""
    return [
        f"{part.part_kind}: {getattr(part, 'content', getattr(part, 'tool_name', ''))}"
        for message in messages
        if isinstance(message, ModelRequest | ModelResponse)
        for part in message.parts
    ]
