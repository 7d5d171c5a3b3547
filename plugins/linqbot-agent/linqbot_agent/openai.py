"""`run`: answers a message with an agent of the OpenAI Agents SDK. Its model and its function tools are recorded."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final

import agents
from agents import (
    Agent,
    AgentOutputSchema,
    AgentOutputSchemaBase,
    FunctionTool,
    Handoff,
    Model,
    ModelBehaviorError,
    ModelProvider,
    ModelResponse,
    ModelSettings,
    RunConfig,
    RunResult,
    Tool,
)
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import ResponseOutputMessage, ResponseOutputText
from pydantic import BaseModel, Field, TypeAdapter

from linqbot import BotError, Context, MessageEdited, MessageReceived
from linqbot.characters import to_json
from linqbot_agent.foreign_data import arguments_in, clean_arguments, json_text
from linqbot_agent.loops import Framework, Loop, Message, NoEnd, loop_of, reading
from linqbot_agent.memory import summary_key as conversation_key
from linqbot_agent.outputs import KNOWN, OUTPUTS, can_be_said
from linqbot_agent.progress import PROGRESS
from linqbot_agent.requests import Write
from linqbot_agent.run import MOST_REQUESTS, Prompt, ServerTool, Settings, agent_run

if TYPE_CHECKING:
    from linqbot_agent.mcp import McpServer

_HOSTED: Final = (
    agents.CodeInterpreterTool,
    agents.FileSearchTool,
    agents.HostedMCPTool,
    agents.ImageGenerationTool,
    agents.WebSearchTool,
)
"""Tools that the provider runs. What they did is a part of its response."""

_OUTPUTS: Final = agents.ToolOutputText | agents.ToolOutputImage | agents.ToolOutputFileContent | list

_responses: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


async def run(
    agent: Agent[Any],
    ctx: Context,
    prompt: Prompt | None = None,
    *,
    deps: object = None,
    stream: bool = False,
    max_turns: int = MOST_REQUESTS,
    run_config: RunConfig | None = None,
    timeout_s: float = 60.0,
    progress: str | None = PROGRESS,
    progress_after_s: float = 5.0,
    sorry: str | EllipsisType | None = ...,
    approver: str = "asker",
    servers: Sequence[McpServer] = (),
) -> str | None:
    """Answer the event's message with an agent of the OpenAI Agents SDK, in the event's chat.

    Each response of a model and each call of a function tool is recorded before the next one begins, those of agents to
    which it hands over included. If the turn runs again, recorded ones are not repeated. A request or a call that was cut
    off is made again: see `idempotency_key`.

    Args:
        agent: The agent. Its output is text, or one or several of the output types of this package.
        prompt: The prompt: a text, or texts and `BinaryContent` of pydantic-ai. None is the text of the event's message.
        deps: The context of tools, `wrapper.context`; None is `ctx`.
        stream: True says texts while the model writes them, and also those that it writes before it calls a tool.
        max_turns: The most requests to models. After that the person hears `sorry`.
        run_config: As for `Runner.run`. Without one, the SDK traces nothing.
        timeout_s: The longest time of one request, in seconds.
        progress: The text to say, once, if nothing was said for a while; None says nothing.
        progress_after_s: The seconds after which it is said.
        sorry: The text to say when the model fails; None says nothing. Without it, that of `LinqAgent`.
        approver: Who approves calls of tools that need approval: `asker` is the person who caused the event, unless
            `LinqAgent` names `approvers`; else the handle of a person, who is asked where they are, next to those.
        servers: MCP servers whose tools the agent gets; see `linqbot_agent.mcp`.
    Returns:
        The text that was said; None if the model failed, or the person has used up the budget.
    Raises:
        BotError: the bot has no plugin LinqAgent, another agent of this turn is running, the agent has another output type,
            it has MCP servers, or a tool that runs on this machine and is no function, or a tool of an agent that is a
            tool itself needs approval.

    Example: `await run(agent, ctx)`
    """
    # A call on record may be of a tool that a deploy has taken away.
    given = ctx if deps is None else deps
    config = run_config or RunConfig(tracing_disabled=True, tool_not_found_behavior="return_error_to_model")
    async with (
        agent_run(
            ctx,
            stream=stream,
            timeout_s=timeout_s,
            progress=progress,
            progress_after_s=progress_after_s,
            sorry=sorry,
            approver=approver,
            servers=servers,
        ) as settings,
        loop_of(settings, _FRAMEWORK) as loop,
    ):
        first = await _in_charge(agent, settings)
        messages: Any = await loop.conversation(prompt)
        recorded = _Recording(loop, config.model_provider)
        own = recorded.model(config.model) if isinstance(config.model, Model) else config.model
        config = replace(config, model=own, model_provider=recorded)
        recorded.servers = [*map(_of_server, loop.tools)]
        made = recorded.agent(first)
        loop.offer(recorded.tools)
        last: list[str] = []
        said = await loop.answer(
            _to_the_end(agents.Runner.run(made, messages, context=given, max_turns=max_turns, run_config=config), last)
        )
        await _keep_charge(agent, last[-1], settings)
        return said
    return None


class InCharge(BaseModel):
    """The agents to which others have handed over in the conversations of a person.

    Attributes:
        by_chat: The names of the agents by the id of the chat; "" for `memory="person"`.
    """

    by_chat: dict[str, str] = Field(default_factory=dict)


IN_CHARGE: Final = "linqbot_agent.InCharge"
"""The name of the state, next to the states of the bot's author."""


def _reachable(agent: Agent[Any]) -> dict[str, Agent[Any]]:
    """Return an agent, and all agents to which it and they hand over, by name. A `Handoff` does not name its agent."""
    found, left = dict[str, Agent[Any]](), [agent]
    while left:
        each = left.pop()
        if each.name not in found:
            found[each.name] = each
            left += (other for other in each.handoffs if isinstance(other, Agent))
    return found


async def _in_charge(agent: Agent[Any], settings: Settings) -> Agent[Any]:
    """Return the agent with which the last run of the conversation has ended; else the agent of the handler."""
    if not agent.handoffs or not _is_kept(settings):
        return agent
    ctx = settings.ctx
    name = (await ctx.state.person(InCharge, name=IN_CHARGE)).by_chat.get(conversation_key(settings), agent.name)
    # Recorded, because another turn may run while this one waits for an approval.
    name = await ctx.once(f"{settings.name}/agent", lambda _: name, kind=str, retry=True, restartable=True)
    return _reachable(agent).get(name, agent)


async def _keep_charge(agent: Agent[Any], last: str, settings: Settings) -> None:
    """Note with which agent a run has ended. It is stored with the turn."""
    if not agent.handoffs or not _is_kept(settings):
        return
    if last not in _reachable(agent):
        settings.ctx.log.warning(
            "agent.handoff_not_kept",
            agent=last,
            why="The next message begins with the first agent: a handoff(…) does not say which agent it is for. Give the "
            "agent itself: Agent(handoffs=[…]).",
        )
        last = agent.name
    by_chat = (await settings.ctx.state.person(InCharge, name=IN_CHARGE)).by_chat
    by_chat.pop(conversation_key(settings), None)
    if last != agent.name:
        by_chat[conversation_key(settings)] = last


def _is_kept(settings: Settings) -> bool:
    event = settings.event
    is_of_person = isinstance(event, MessageReceived | MessageEdited) and not event.zero_retention
    return is_of_person and settings.turn.options.memory is not None


async def _to_the_end(run: Awaitable[RunResult], last: list[str]) -> Any:
    """Return the output of a run, and note the name of its last agent.

    Raises:
        BotError: a tool of an agent that is a tool itself has stopped the run, to be approved.
    """
    result = await run
    if stopped := result.interruptions:
        tools = ", ".join(sorted({str(each.name) for each in stopped}))
        raise BotError(
            f"A tool of an agent that is a tool itself wants to be approved: {tools}. A question ends the handler, which "
            "would cut the outer tool off. Move needs_approval=True from there to the agent, agent.as_tool(…, needs_approval=True), "
            "or give the tool to the agent of the run."
        )
    last.append(result.last_agent.name)
    output = result.final_output
    return output if output is None or isinstance(output, (list, tuple, *OUTPUTS)) else str(output)


def check(agent: object) -> None:
    """Check that `run` can say what an agent returns, and record what it does. Other objects pass.

    Raises:
        BotError: it cannot.
    """
    if not isinstance(agent, Agent):
        return
    schema = agent.output_type
    kind = schema.output_type if isinstance(schema, AgentOutputSchema) else schema
    if not can_be_said(kind):
        raise BotError(f"The agent {agent.name} has the output_type {kind}, and run() says texts. Use {KNOWN}.")
    if agent.mcp_servers:
        raise BotError(
            f"The agent {agent.name} has mcp_servers, which linqbot_agent.openai does not record. Write: "
            "run(agent, ctx, servers=[McpServer(…)])."
        )
    for tool in agent.tools:
        if not isinstance(tool, (FunctionTool, *_HOSTED)):
            raise BotError(f"The tool {tool.name} is no function tool: linqbot_agent.openai cannot record it.")


class _Recording(ModelProvider):
    """Makes agents, and the models of their names, that record what they do."""

    def __init__(self, loop: Loop, provider: ModelProvider) -> None:
        self._loop = loop
        self._provider = provider
        self._agents: dict[int, Agent[Any]] = {}
        self.servers: list[FunctionTool] = []  # the tools of MCP servers, which each agent gets
        self.tools: list[str] = []  # the names of the recorded tools of all agents

    def get_model(self, model_name: str | None) -> Model:
        return self.model(self._provider.get_model(model_name))

    def model(self, model: Model) -> Model:
        return _RecordedModel(model, self._loop)

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        if (made := self._agents.get(id(agent))) is not None:
            return made
        check(agent)
        model = self.model(agent.model) if isinstance(agent.model, Model) else agent.model
        tools = [self._tool(tool) for tool in [*agent.tools, *self.servers]]
        made = agent.clone(model=model, model_settings=agent.model_settings, tools=tools, handoffs=[])
        self._agents[id(agent)] = made  # agents may hand over to each other
        made.handoffs = [
            self.agent(each) if isinstance(each, Agent) else self._handoff(each) for each in agent.handoffs
        ]
        return made

    def _handoff(self, handoff: Handoff[Any, Any]) -> Handoff[Any, Any]:
        async def invoke(context: Any, arguments: str) -> Any:
            return self.agent(await handoff.on_invoke_handoff(context, arguments))

        return replace(handoff, on_invoke_handoff=invoke)

    def _tool(self, tool: Any) -> Any:
        if isinstance(tool, _HOSTED):
            return tool

        async def invoke(context: Any, arguments: str) -> Any:
            async def make() -> Any:
                found = await tool.on_invoke_tool(context, arguments)
                return found if isinstance(found, str | _OUTPUTS) else json_text(found)

            given, asks = arguments_in(arguments), tool.needs_approval
            if not isinstance(asks, bool):
                asks = given is not None and await asks(context, given, context.tool_call_id)
            return await self._loop.call(tool.name, context.tool_call_id, arguments, make, asks=asks)

        self.tools.append(tool.name)
        made = copy.copy(tool)
        made.on_invoke_tool, made.needs_approval = invoke, False
        return made


class _RecordedModel(Model):
    def __init__(self, model: Model, loop: Loop) -> None:
        self._model = model
        self._loop = loop
        self._name = str(getattr(model, "model", "")) or None

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        *rest: Any,
        **named: Any,
    ) -> ModelResponse:
        more = (model_settings, tools, output_schema, *rest)
        is_text = output_schema is None or output_schema.is_plain_text()

        async def ask(given: list[Any], write: Write) -> Any:
            if self._loop.stream:
                events = self._model.stream_response(system_instructions, given, *more, **named)
                response, is_cut = await _streamed(events, write)
            else:
                response = await self._model.get_response(system_instructions, given, *more, **named)
                is_cut = False
            return _recorded(response, is_cut=is_cut, is_text=is_text)

        step = await self._loop.ask(
            input, ask, model=self._name, instructions=system_instructions or "", is_text=is_text
        )
        with reading():
            response = _responses.validate_python(step.response)
        if step.said:
            response.output = [_said(step.said), *response.output]
        return response

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise BotError("linqbot_agent.openai streams by itself: write run(agent, ctx, stream=True).")


def _block(item: Any) -> Message:
    if isinstance(item, str):
        return {"type": "input_text", "text": item}
    if item.is_image:
        return {"type": "input_image", "image_url": item.data_uri, "detail": "auto"}
    return {"type": "input_file", "filename": item.identifier, "file_data": item.data_uri}


def _of_server(tool: ServerTool) -> FunctionTool:
    async def call(_: object, arguments: str) -> str:
        text, _is_error = await tool.call(arguments_in(arguments) or {})
        return text

    return FunctionTool(tool.name, tool.description, tool.schema, call, strict_json_schema=False)


async def _streamed(events: AsyncIterator[Any], write: Write) -> tuple[ModelResponse, bool]:
    """Return the response at the end of a stream, and True if the provider has cut it off."""
    said = ""
    try:
        async for event in events:
            if event.type == "response.output_text.delta":
                said += event.delta
                if not write(event.delta):
                    return ModelResponse(output=[_said(said)], usage=agents.Usage(), response_id=None), False
            elif event.type in ("response.completed", "response.incomplete"):
                # Behind an incomplete response the SDK raises an error, which would drop what the model has written.
                with reading():
                    return _ended(event.response), event.type == "response.incomplete"
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    raise NoEnd


def _ended(response: Any) -> ModelResponse:
    usage, tokens = agents.Usage(), response.usage
    if tokens is not None:
        usage = agents.Usage(
            1,
            input_tokens=tokens.input_tokens,
            input_tokens_details=tokens.input_tokens_details,
            output_tokens=tokens.output_tokens,
        )
    return ModelResponse(output=response.output, usage=usage, response_id=response.id)


def _recorded(response: ModelResponse, *, is_cut: bool, is_text: bool) -> Any:
    """Return a response as JSON data. Its texts may be JSON themselves, which the SDK reads."""
    with reading():
        # The SDK gives the next request the fields that are set, and OpenAI refuses fields that it does not know.
        found = _responses.dump_python(response, mode="json", by_alias=True, exclude_unset=True, warnings=False)
        found["usage"]["cache_read_tokens"] = response.usage.input_tokens_details.cached_tokens
        for item in found["output"]:
            if item["type"] == "function_call":
                item["arguments"] = clean_arguments(item["arguments"])
            elif item["type"] == "message" and not is_text:
                for part in item["content"]:
                    if part["type"] == "output_text":
                        part["text"] = clean_arguments(part["text"])
        _text(found)
        return {**found, "is_cut": is_cut}


def _texts(response: Any) -> list[str]:
    items = (item for item in response["output"] if item["type"] == "message")
    return [part["text"] for item in items for part in item["content"] if part["type"] == "output_text"]


def _text(response: Any) -> str:
    return "".join(_texts(response))


def _is_cut(response: Any) -> bool:
    """Return True if a response was cut off, or has no text, not even an empty one, and no call: then it is a refusal."""
    return bool(response.get("is_cut")) or not (_texts(response) or _calls_tool(response))


def _is_empty(response: Any) -> bool:
    return not response.get("is_cut") and all(item["type"] == "reasoning" for item in response["output"])


def _calls_tool(response: Any) -> bool:
    return any(item["type"] == "function_call" for item in response["output"])


def _said(text: str) -> ResponseOutputMessage:
    """Return what was said before a response that was cut off, as an item in front of it."""
    content = [ResponseOutputText(type="output_text", text=text, annotations=[])]
    return ResponseOutputMessage(
        id=FAKE_RESPONSES_ID, type="message", role="assistant", status="completed", content=content
    )


def _result(result: Any) -> str:
    without_data = [*map(_without_data, result)] if isinstance(result, list) else _without_data(result)
    return to_json(without_data).decode()


def _without_data(item: Any) -> Any:
    """Return an output of a tool without the data of a picture or a file, of which a text is of no use."""
    if not isinstance(item, dict):
        return item
    return {name: each for name, each in item.items() if name != "file_data" and not str(each).startswith("data:")}


_FRAMEWORK: Final = Framework(
    block=_block,
    text=_text,
    calls_tool=_calls_tool,
    is_cut=_is_cut,
    is_empty=_is_empty,
    result=_result,
    failures=(agents.MaxTurnsExceeded, ModelBehaviorError),
)
