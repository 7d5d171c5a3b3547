"""Agents with scripted models, and bots that run them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from linqbot_agent import LinqAgent, run
from pydantic_ai import Agent, Tool
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from linqbot import Bot, Context, MessageReceived, Running
from linqbot.clock import Clock


def says(text: str, **facts: Any) -> ModelResponse:
    """Return the response of a model that answers."""
    return ModelResponse(parts=[TextPart(text)], **facts)


def calls(*tools: ToolCallPart, narration: str = "", **facts: Any) -> ModelResponse:
    """Return the response of a model that calls tools."""
    return ModelResponse(parts=[*([TextPart(narration)] if narration else []), *tools], **facts)


def tool(name: str, call_id: str, **arguments: Any) -> ToolCallPart:
    """Return a call of a tool."""
    return ToolCallPart(name, arguments, call_id)


def fixed(name: str, result: object, **options: Any) -> Tool[Any]:
    """Return a tool for an agent that returns always the same."""

    def act() -> object:
        return result

    return Tool(act, name=name, **options)


Respond: TypeAlias = Callable[[list[ModelMessage], AgentInfo], ModelResponse]


def steps(*responses: ModelResponse) -> Respond:
    """Return the function of a model that answers each prompt with the same responses, one behind the other."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        step = 0
        for message in messages:
            is_prompt = any(isinstance(part, UserPromptPart) for part in message.parts)
            step = 0 if is_prompt else step + isinstance(message, ModelResponse)
        return responses[step]

    return respond


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
    bot = Bot(plugins=[plugin or LinqAgent()], groups="all", read=False, typing=False)
    return answering(bot, agent, **arguments)


def answering(bot: Bot, agent: Agent[Any, Any], **arguments: Any) -> Bot:
    """Let a bot answer each message, for which it has no handler yet, with an agent."""

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


def files_of(messages: list[ModelMessage]) -> list[bytes]:
    """Return the files in messages."""
    parts = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    return [item.data for part in parts for item in part.content if isinstance(item, BinaryContent)]


class BotClock:
    """The clock of a bot, for models and tools that take a while."""

    def __init__(self) -> None:
        self._clock: Clock | None = None

    def of(self, bot: Bot) -> Bot:
        @bot.on_start
        async def started(running: Running) -> None:
            self._clock = running.clock

        return bot

    async def wait(self, seconds: float) -> None:
        assert self._clock is not None
        await self._clock.wait_until(self._clock.now() + seconds)


def streamed(respond: Respond, clock: BotClock) -> FunctionModel:
    """Return a model that writes the texts of its responses in paragraphs, one in three seconds of the bot's clock."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        for number, part in enumerate(respond(messages, info).parts):
            if isinstance(part, TextPart):
                for piece in part.content.split("\n\n"):
                    yield f"{piece}\n\n"
                    await clock.wait(3)
            elif isinstance(part, ToolCallPart):
                yield {
                    number: DeltaToolCall(
                        name=part.tool_name, json_args=part.args_as_json_str(), tool_call_id=part.tool_call_id
                    )
                }

    return FunctionModel(respond, stream_function=stream)


def echoing() -> tuple[list[list[str]], Agent[None, str]]:
    """Return an agent that numbers its answers, and what its model was sent."""
    sent: list[list[str]] = []

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        sent.append(kinds(messages))
        return says(f"Answer {len(sent)}.")

    return sent, Agent(FunctionModel(respond))
