"""The durable execution of a pydantic-ai agent on the journal of a linqbot turn.

pydantic-ai's public interface for durability engines passes each tool call here, as a coroutine function with a constant
name. `Entries` answers it from the journal, or makes and records it. A model takes the place of the agent's own, and records
its responses. This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from pydantic import TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    CallToolResult,
    DurabilityCodec,
    DurabilityEngineSpec,
    DurableOperationId,
    JournalCallableOperationBackend,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    conversation_id_from_run_id,
    record_durable_unit,
    replay_scope,
)
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ToolFailed, UnexpectedModelBehavior
from pydantic_ai.messages import (
    BaseToolCallPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturn,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestContext,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_ai.usage import RunUsage
from pydantic_core import PydanticSerializationError, SchemaValidator, ValidationError, core_schema

from linqbot import BotError, Refused
from linqbot.characters import to_json
from linqbot.speakers import visible
from linqbot_agent.approvals import warn_of_unknown_names
from linqbot_agent.capabilities import SaidNothing
from linqbot_agent.entries import MOST_BYTES, ResultNotRecorded, digest_of
from linqbot_agent.foreign_data import clean, clean_arguments, json_text
from linqbot_agent.guard import REFUSED, ToolCall, running, running_tool
from linqbot_agent.links import without_invented
from linqbot_agent.memory import tally_of_call
from linqbot_agent.messages import parted, prompt_of, shown_to_model
from linqbot_agent.requests import Requests, Write, go_on, is_model_away, is_of_no_api, price_of_response
from linqbot_agent.run import ModelFailed, Prompt, ServerTool, Settings

T = TypeVar("T", bound=BaseToolCallPart)

AGENT = "agent"
"""The name in front of every step. The agent's own name would lose the record when it changes."""


_CUT: Final = ("length", "content_filter")
"""The reasons for which a provider ends a response before the model does."""
_INCOMING: Final = "incoming"
_PARAGRAPH: Final = "\n\n"

TOO_LONG: Final = "[This was too long, so the person has read only its beginning.]"


class Result(NamedTuple):
    output: Any  # what the agent returned; None if the model said nothing
    messages: Sequence[ModelMessage]  # the messages of the run
    is_said: bool  # True if the output is a text that was said while the model wrote it
    owes_words: bool = False  # True if tools have acted, and the model says nothing of it


def _failure(error: Exception, requests: Requests) -> ModelFailed:
    # Of a FallbackModel, each model has failed.
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    of_request = error is requests.error
    away = [each for each in errors if is_model_away(each) or (of_request and is_of_no_api(each))]
    waits = [each.retry_after for each in away if isinstance(each, ModelAPIError) and each.retry_after is not None]
    return ModelFailed(error, requests.model, is_away=bool(away), after_s=min(waits, default=None))


_requests: ContextVar[Requests] = ContextVar("linqbot_agent_requests")


@dataclass(slots=True)
class _Call(ToolCall):
    """A call of a tool of the agent.

    Attributes:
        part: The call as the model wrote it. The tools of one response run side by side, in any order, so its id tells them
            apart.
        is_recorded: False for a tool that changes `ctx.state` only. The state is stored with the turn, so each run of the turn
            calls it.
        usage: The usage of the run, to which other agents that the tool asks add theirs.
        added: The usage that the call has added to it, by the names of pydantic-ai.
    """

    part: ToolCallPart
    is_recorded: bool
    usage: RunUsage
    added: Counter[str] = field(default_factory=Counter)


async def completed(
    agent: AbstractAgent[Any, Any],
    requests: Requests,
    prompt: Prompt,
    tools: Sequence[ServerTool],
    *,
    capabilities: Sequence[AbstractCapability[Any]],
    **arguments: Any,
) -> Result:
    """Run an agent, with all that its earlier runs in this turn have recorded."""
    check_toolsets(agent)
    token = _requests.set(requests)
    arguments["usage"] = AttributedUsage()
    arguments["toolsets"] = [ServerTools(requests.settings, tools)] if tools else []
    # A history brings no system prompt of its own.
    arguments["capabilities"] = [LinqDurability(name=AGENT), ReinjectSystemPrompt(), *capabilities]
    try:
        with replay_scope():
            result = await agent.run(prompt, **arguments)
        return Result(result.output, result.new_messages(), requests.is_said and not result.response.tool_calls)
    except SaidNothing as silence:
        return Result(None, silence.messages, False, silence.owes_words)
    except Exception as error:
        if (deferred := requests.settings.entries.deferred) is not None:
            raise deferred from error
        if isinstance(error, AgentRunError) or error is requests.error:
            raise _failure(error, requests) from error
        raise
    finally:
        _requests.reset(token)


def _not_recorded() -> ResultNotRecorded:
    tool = running_tool.get()
    what = "A step was made" if tool is None else f"The tool {tool.tool} was called"
    return ResultNotRecorded(
        f"{what}, but its result cannot be recorded as JSON. Return what the model needs of it: texts, numbers, lists, "
        "dicts, dataclasses or pydantic models."
    )


class _CleanCodec(DurabilityCodec):
    """Makes JSON data of the results of tools, whatever they return."""

    def dump(self, tp: Any, value: Any) -> Any:
        try:
            # A warning of pydantic's says that it does not know the form of a value.
            return clean(_type_of(tp).dump_python(value, mode="json", warnings="error"))
        except (PydanticSerializationError, RecursionError, ValueError):
            return clean(_type_of(tp).dump_python(_with_clean_result(value), mode="json", warnings=False))

    def load(self, tp: Any, payload: Any) -> Any:
        return JSON_CODEC.load(tp, payload)


@cache
def _type_of(tp: Any) -> TypeAdapter[Any]:
    return TypeAdapter(tp)


def _with_clean_result(value: Any) -> Any:
    result = getattr(value, "result", None)
    if isinstance(result, ToolReturn):
        cleaned = _clean_result(result.return_value)
        result = replace(result, return_value=cleaned, metadata=_clean_result(result.metadata))
    elif result is not None:
        result = _clean_result(result)
    return value if result is None else replace(value, result=result)


def _clean_result(result: Any) -> Any:
    return clean(result, text_of=_no_text_of)


def _no_text_of(_: object) -> str:
    raise _not_recorded()  # an error of the author's, who hears of it


class LinqDurability(BaseDurabilityCapability[Any]):
    """Records the steps of an agent in the journal of the turn that runs it."""

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="linqbot",
        durable_unit_noun="step",
        durable_container_noun="turn",
        codec=_CleanCodec(),
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
    )

    @property
    def in_durable_context(self) -> bool:
        return True

    def get_durable_operation_backend(self) -> _Steps:
        config = RoleBasedOperationConfig(model=None, event=None, capability=None, tool=None)
        return _Steps(agent_name=self.name, default_model_id=self.default_model_id, config=config)

    def get_default_run_id(self) -> str:
        return _requests.get().settings.run_id

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return _requests.get().settings.event.chat_id or conversation_id_from_run_id(run_id)

    async def wrap_model_request(self, ctx: RunContext[Any], *, request_context: Any, handler: Any) -> ModelResponse:
        requests = _requests.get()
        await _add_incoming(request_context, ctx, requests.settings)
        offered = request_context.model_request_parameters.function_tools
        warn_of_unknown_names(requests.settings, (tool.name for tool in offered))
        _, live = parted(request_context.messages, ctx.run_id)
        requests.name, requests.model = f"{AGENT}__model.request@{digest(live)}", ctx.model.model_name
        requests.is_said = False
        response: ModelResponse = await handler(request_context)
        return response

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Leave the model as it is, which the base class would replace: see `get_wrapper_model`."""
        return request_context

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Note the messages. Behind the hooks, pydantic-ai joins those of the run and of its history."""
        requests = _requests.get()
        requests.given = request_context.messages
        return request_context

    def get_wrapper_model(self, model: Model) -> Model:
        return _RecordingModel(model)

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, handler: Any
    ) -> Any:
        """Name the call of a tool for its step, and hold it back from other chats."""
        settings, is_recorded = _requests.get().settings, (tool_def.metadata or {}).get("recorded") is not False
        is_free = ctx.tool_call_approved or call.tool_name in settings.turn.options.elsewhere
        tool = _Call(call.tool_name, settings.event.chat_id, is_free, call, is_recorded, ctx.usage)
        try:
            with running(tool):
                return await handler(args)
        except Refused as error:
            # The model learns of it, so that a message that talks it into such a call does not end the turn.
            raise ToolFailed(REFUSED) from error
        finally:
            settings.entries.has_spoken |= tool.has_spoken


class _Steps(JournalCallableOperationBackend[None]):
    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        settings = _requests.get().settings
        if isinstance(operation_id, ToolsetCallToolId):
            return await called(settings, name, body)

        async def make() -> object:
            return _fitted(await body())

        step = await settings.entries.step(name, make)
        record_durable_unit(executed=step.is_made)
        return step.result


_REFUSAL: Final = {"kind": "refused"}
"""The recorded result of a tool that the guard has refused something."""
_RETURNED: Final = (None, "tool_return", "tool_content_result")
"""The kinds of the recorded results of tools that have returned. None is that of the tool of a server."""


async def called(settings: Settings, name: str, call: Callable[[], Awaitable[object]]) -> Any:
    """Return the result of a call of a tool, as JSON data: from the record, or made now."""
    turn = settings.turn
    tool = running_tool.get()
    assert isinstance(tool, _Call)

    async def make() -> object:
        result: Any = await call()
        # The refusal is recorded in place of the result of a tool that has not noticed it. If nothing were recorded, later
        # runs of the turn would call the tool again.
        is_unnoticed = tool.was_refused and result.get("kind") in _RETURNED
        return _REFUSAL if is_unnoticed else _fitted(result)

    place = f"{name}@{tool.part.tool_call_id}"
    acted = tally_of_call(settings, place, tool.part, partial(_returned, tool.part))
    tallies = turn.account.tally_of_tool(tool.added), acted
    step = await settings.entries.step(place, make, is_recorded=tool.is_recorded, tallies=tallies)
    record_durable_unit(executed=step.is_made)
    if step.is_made:
        turn.shared.counts.tool_calls += 1
        turn.shared.counts.add(tool.added)  # of other agents that the tool has asked
    if step.result == _REFUSAL:
        raise Refused(REFUSED)
    return step.result


def _returned(call: ToolCallPart, result: Any) -> ToolReturnPart | None:
    """Return the recorded result of a tool as the model reads it; None if the tool has not returned."""
    if result.get("kind") not in _RETURNED:
        return None
    content = result["text"] if "text" in result else JSON_CODEC.load(CallToolResult, result).result
    content = content.return_value if isinstance(content, ToolReturn) else content
    return ToolReturnPart(call.tool_name, content, call.tool_call_id)


_OBJECT: Final = SchemaValidator(core_schema.dict_schema())


class ServerTools(AbstractToolset[Any]):
    """The tools of MCP servers. pydantic-ai wraps only the toolsets with which an agent was made, and these come later."""

    def __init__(self, settings: Settings, tools: Iterable[ServerTool]) -> None:
        self._settings = settings
        self._tools = {tool.name: tool for tool in tools}

    @property
    def id(self) -> str:
        return "mcp"

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        return {
            tool.name: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=tool.name,
                    parameters_json_schema=tool.schema,
                    description=tool.description,
                    metadata={"writes": tool.asks},
                ),
                max_retries=1,
                args_validator=_OBJECT,
            )
            for tool in self._tools.values()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        async def make() -> Any:
            text, is_error = await self._tools[name].call(tool_args)
            return {"text": text, "is_error": is_error}

        said = await called(self._settings, f"tool:{name}", make)
        if said["is_error"]:
            raise ToolFailed(said["text"])
        return said["text"]


class _RecordingModel(WrapperModel):
    """Records what a model answers. The hooks of the agent around it run again in each run of the turn.

    pydantic-ai keeps it in reference cycles of a run, so it must not hold a context, which holds the whole turn.
    """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response, which is said if the run says what the model writes."""
        requests, change = _requests.get(), None
        settings = requests.settings
        if settings.stream and settings.turn.options.known_links:
            change = partial(without_invented, shown=shown_to_model(requests.given, settings.run_id))

        async def ask(said: str, write: Write) -> object:
            given = messages
            if requests.refusals.level:
                less = _joined(await requests.refusals.less_of(requests.given))
                given = self.wrapped.prepare_messages(less, model_request_parameters)
                if isinstance(messages[-1], ModelResponse):  # that the provider has suspended: the request continues it
                    given = [*given, messages[-1]]
            given = [*given, *go_on(said)]
            if not settings.stream:
                response = await self.wrapped.request(given, model_settings, model_request_parameters)
                return _recorded(response)
            async with self.wrapped.request_stream(given, model_settings, model_request_parameters) as stream:
                is_whole = await _written(stream, write)
            response = stream.get()
            if not (response.parts or response.usage.input_tokens or response.usage.output_tokens):
                raise UnexpectedModelBehavior("What has answered is no response of the provider's API.")
            return _recorded(response if is_whole else _without_end(response))

        text = _text_of if settings.stream else None
        step = await requests.response(
            requests.name, ask, text=text, change=change, price=partial(price_of_response, settings)
        )
        record_durable_unit(executed=step.is_made)
        found = _loaded(step.response)
        if found.finish_reason in _CUT and any(isinstance(part, ToolCallPart) for part in found.parts):
            # Its arguments may be others than the model was about to write.
            raise UnexpectedModelBehavior("The provider has ended a response in a call of a tool.")
        before = [TextPart(f"{step.said}{_PARAGRAPH}")] if step.said else []
        after = [TextPart(TOO_LONG)] if settings.stream and settings.speech.is_cut else []
        return replace(found, parts=[*before, *found.parts, *after])

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the whole response to an agent that listens to its own events."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)


async def _written(stream: StreamedResponse, write: Write) -> bool:
    """Take the pieces of the text of a response as they come. Each part is a paragraph. Return False if no more are wanted."""
    last = -1
    async for event in stream:
        if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
            text = event.part.content
        elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
            text = event.delta.content_delta
        else:
            continue
        if visible(text):
            if not write(text if last in (-1, event.index) else f"{_PARAGRAPH}{text}"):
                return False
            last = event.index
    return True


def _without_end(response: ModelResponse) -> ModelResponse:
    """Return a response that was not read to its end. The model may have gone on to write the arguments of a call."""
    texts = [part for part in response.parts if isinstance(part, TextPart)]
    return replace(response, parts=texts, finish_reason="length", state="complete")


def _recorded(response: ModelResponse) -> Any:
    """Return a response as JSON data, with the arguments of calls as texts that are clean."""
    parts = [_with_clean_arguments(part) if isinstance(part, BaseToolCallPart) else part for part in response.parts]
    cleaned = response if parts == response.parts else replace(response, parts=parts)
    return _fitted(clean(JSON_CODEC.dump(ModelResponse, cleaned)))


def _with_clean_arguments(call: T) -> T:
    if isinstance(call.args, str):
        args = clean_arguments(call.args)
        return call if args == call.args else replace(call, args=args)
    # A provider may give any JSON.
    return call if isinstance(call.args, dict | None) else replace(call, args=json_text(call.args))


def _loaded(recorded: Any) -> ModelResponse:
    try:
        response: ModelResponse = JSON_CODEC.load(ModelResponse, recorded)
    except ValidationError as error:
        raise UnexpectedModelBehavior("The provider's response is none of its API.") from error
    return response


def _joined(messages: Iterable[ModelMessage]) -> list[ModelMessage]:
    """Return messages with those joined that people and tools have said one after the other."""
    joined: list[ModelMessage] = []
    for message in messages:
        last = joined[-1] if joined else None
        if isinstance(message, ModelRequest) and isinstance(last, ModelRequest):
            joined[-1] = replace(message, parts=[*last.parts, *message.parts])
        else:
            joined.append(message)
    return joined


def _text_of(recorded: Any) -> str:
    texts = (part["content"] for part in recorded["parts"] if part["part_kind"] == "text")
    return _PARAGRAPH.join(text for text in texts if text)


def _fitted(result: Any) -> object:
    """Return the result of a step: if it is too long to be recorded, as texts, which `Entries` cuts."""
    if len(to_json(result)) <= MOST_BYTES:
        return result
    if "parts" in result:
        # The provider would refuse the rest of a thought or of a file. Arguments as cut JSON text fit no tool.
        kept = [part for part in result["parts"] if part["part_kind"] not in ("thinking", "file")]
        parts = [{**part, "args": _as_text(part["args"])} if part.get("args") else part for part in kept]
        result = {**result, "parts": parts}
    elif "result" in result:
        result = {"kind": "tool_return", "result": _as_text(result["result"])}
    return result


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else to_json(value).decode()


def digest(messages: Sequence[ModelMessage]) -> str:
    """Return a digest of what messages say, which is the same in each run of a turn and in each release of pydantic-ai.

    If the code has changed since the turn began, so that a tool gives another result, the digest differs, and the model
    is asked again.
    """
    said = [
        [part.part_kind, *(getattr(part, name, None) for name in ("tool_name", "tool_call_id", "args", "content"))]
        for message in messages
        for part in message.parts
        if part.part_kind != "system-prompt"
    ]
    return digest_of(to_json(said, bytes_mode="base64", fallback=str))


def check_toolsets(agent: AbstractAgent[Any, Any]) -> None:
    """Check that each toolset has an id, by which its calls are found again."""
    nameless: list[str] = []

    def visit(toolset: Any) -> None:
        if toolset.id is None:
            tools = ", ".join(getattr(toolset, "tools", ()))
            nameless.append(f"{type(toolset).__name__}({tools})" if tools else type(toolset).__name__)

    for toolset in agent.toolsets:
        toolset.apply(visit)
    if nameless:
        raise BotError(
            f"A toolset of the agent has no id: {'; '.join(nameless)}. The id is part of the names under which its tool "
            "calls are recorded. Give it one, such as FunctionToolset(id='bookings') or "
            "MCPToolset(server, id='ledger')."
        )


async def _add_incoming(request: ModelRequestContext, run: RunContext[Any], settings: Settings) -> None:
    """Add the messages that have come since the last request to a request, and to the history of its run.

    Only in handlers with `overlap="steer"`. What a request has got is on record, so each run of the turn makes the same
    requests. What comes during the last request is not taken, and gets a turn of its own. `run.enqueue` would
    add them at the end, behind the part of an answer that was cut off by a crash.
    """
    if not settings.ctx.takes_incoming:
        return

    async def take() -> list[str]:
        return [prompt_of(message) async for message in settings.ctx.incoming()]

    step = await settings.entries.step(_INCOMING, take)
    for text in step.result:
        message = ModelRequest(parts=[UserPromptPart(text)], run_id=run.run_id)
        request.messages = [*request.messages, message]
        run.messages.append(message)


_BOOKED: Final = frozenset({"requests", "input_tokens", "output_tokens", "cost"})


class AttributedUsage(RunUsage):
    """The usage of a run. What a tool adds to it is counted in the call of the tool too."""

    def __setattr__(self, name: str, value: Any) -> None:
        call = running_tool.get()
        # A copy, on which limits are checked, is not the usage of the run.
        if isinstance(call, _Call) and name in _BOOKED and call.usage is self:
            call.added[name] += (value or 0) - (getattr(self, name, 0) or 0)
        super().__setattr__(name, value)
