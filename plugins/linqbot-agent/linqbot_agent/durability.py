"""The durable execution of a pydantic-ai agent on the journal of a linqbot turn.

pydantic-ai's public interface for durability engines passes each model request and each tool call here, as a coroutine
function with a constant name. `Entries` answers it from the journal, or makes and records it. This module imports
pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import httpx
from pydantic import TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationId,
    EventStreamHandlerId,
    JournalCallableOperationBackend,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    conversation_id_from_run_id,
    record_durable_unit,
    replay_scope,
)
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ModelUnavailableError,
    RetryModelRequest,
    ToolFailed,
)
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.usage import RunUsage
from pydantic_core import to_json, to_jsonable_python

from linqbot import BotError, Context, Draft, Refused, Tally
from linqbot.errors import TurnDeferred
from linqbot_agent.bubbles import TOO_LONG, SaidNothing, WrittenText, go_on, segments_of, text_of_response
from linqbot_agent.budget import Use, Used
from linqbot_agent.capabilities import shown_to_model
from linqbot_agent.entries import MOST_BYTES, Entries, ResultNotRecorded, Step, with_cut_texts
from linqbot_agent.guard import REFUSED, ToolCall, running_tool
from linqbot_agent.links import without_invented
from linqbot_agent.memory import Refusals
from linqbot_agent.prices import known
from linqbot_agent.run import ModelFailed, Prompt, Settings, is_away
from linqbot_agent.written import Change, prompt_of

AGENT = "agent"
"""The name in front of every step. The agent's own name would lose the record when it changes."""


_INCOMING: Final = "incoming"


class Result(NamedTuple):
    output: Any  # what the agent returned; None if the model said nothing
    messages: Sequence[ModelMessage]  # the messages of the run
    is_called: bool  # True if the output is the arguments of a call, and no text


def _failure(error: Exception, model: str) -> ModelFailed:
    # Of a FallbackModel, each model has failed.
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    last, away = errors[-1], [each for each in errors if _is_away(each)]
    facts = {
        "error": type(error).__name__,
        "status": getattr(last, "status_code", None),
        "model": getattr(last, "model_name", None) or model,
    }
    waits = [each.retry_after for each in away if isinstance(each, ModelAPIError) and each.retry_after is not None]
    return ModelFailed(facts, is_away=bool(away), after_s=min(waits, default=None))


def _is_away(error: Exception) -> bool:
    """Return True for an error of the provider, or of the way to it. A request that the provider refuses is none."""
    if isinstance(error, ModelAuthenticationError | ModelQuotaExceededError | ModelUnavailableError):
        return True
    if isinstance(error, ModelHTTPError):
        return is_away(error.status_code)
    is_of_way = isinstance(error, ModelAPIError | OSError | httpx.TransportError)
    return is_of_way and not isinstance(error, ModelRequestRejectedError)


def _is_refusal(error: Exception) -> bool:
    """Return True if a provider has refused what a request says: it may accept a request that says less."""
    if isinstance(error, ExceptionGroup):  # of all models of a FallbackModel
        return any(map(_is_refusal, error.exceptions))
    is_unknown_model = isinstance(error, ModelNotFoundError) or getattr(error, "status_code", None) == 404
    is_refused = isinstance(error, ModelRequestRejectedError | ModelHTTPError)
    return is_refused and not (is_unknown_model or _is_away(error))


@dataclass(slots=True)
class Run:
    settings: Settings
    entries: Entries
    # The name under which the present request to the model is recorded: without the model's id, so that another model goes
    # on with the record. A streamed request is made in the context of another task, so it is no context variable.
    place: str = ""
    written: WrittenText = field(default_factory=WrittenText)
    answers: list[Any] = field(default_factory=list)  # what the provider has answered to the present request, as JSON
    recorded: Sequence[Any] = ()  # the answers on record to the present request
    model_error: Exception | None = None  # the last error of a request to the model
    deferred: TurnDeferred | None = None  # set if the provider has cut a response that was being said
    model: str = ""  # the name of the model of the present request
    messages: list[ModelMessage] = field(default_factory=list)  # all messages of the present request
    refusals: Refusals = field(init=False)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.settings.ctx, self.settings.run_id)


_run: ContextVar[Run | None] = ContextVar("linqbot_agent_run", default=None)
_detail: ContextVar[str] = ContextVar("linqbot_agent_detail", default="")
"""The id of the tool call, which the name of its step says besides pydantic-ai's name."""

_is_recorded: ContextVar[bool] = ContextVar("linqbot_agent_is_recorded", default=True)
"""False for a tool that changes `ctx.state` only. The state is stored with the turn, so each run of the turn calls it."""


async def completed(
    agent: AbstractAgent[Any, Any],
    run: Run,
    prompt: Prompt,
    *,
    deps: object,
    history: Sequence[ModelMessage] = (),
    capabilities: Sequence[AbstractCapability[Any]] = (),
    toolsets: Sequence[AbstractToolset[Any]] = (),
) -> Result:
    """Run an agent, with all that its earlier runs in this turn have recorded."""
    check_toolsets(agent)
    token = _run.set(run)
    arguments: dict[str, Any] = {"deps": deps, "message_history": history, "usage": AttributedUsage()}
    arguments["toolsets"] = toolsets
    # A history brings no system prompt of its own.
    arguments["capabilities"] = [_durability(run), ReinjectSystemPrompt(), *capabilities]
    try:
        with replay_scope():
            result = await agent.run(prompt, **arguments)
        return Result(result.output, result.new_messages(), bool(result.response.tool_calls))
    except SaidNothing as silence:
        return Result(None, silence.messages, False)
    except Exception as error:
        if run.deferred is not None:
            raise run.deferred from error
        if isinstance(error, AgentRunError) or error is run.model_error:
            raise _failure(error, run.model) from error
        raise
    finally:
        _run.reset(token)


def _not_recorded() -> ResultNotRecorded:
    tool = running_tool.get()
    what = "A step was made" if tool is None else f"The tool {tool.tool} was called"
    return ResultNotRecorded(
        f"{what}, but its result cannot be recorded as JSON. Return what the model needs of it: texts, numbers, lists, "
        "dicts, dataclasses or pydantic models."
    )


class LinqDurability(BaseDurabilityCapability[Any]):
    """Records the steps of an agent in the journal of the turn that runs it."""

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="linqbot",
        durable_unit_noun="step",
        durable_container_noun="turn",
        codec=JSON_CODEC,
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
        serialization_failure=lambda _: _not_recorded(),
    )

    @property
    def in_durable_context(self) -> bool:
        return _run.get() is not None

    def get_durable_operation_backend(self) -> _Steps:
        config = RoleBasedOperationConfig(model=None, event=None, capability=None, tool=None)
        return _Steps(agent_name=self.name, default_model_id=self.default_model_id, config=config)

    def get_default_run_id(self) -> str | None:
        run = _run.get()
        return None if run is None else run.settings.run_id

    def get_default_conversation_id(self, run_id: str) -> str | None:
        run = _run.get()
        return (run and run.settings.event.chat_id) or conversation_id_from_run_id(run_id)

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        """Register the model of `agent.override(model=…)`, which tests use."""
        agent, model = self.agent, ctx.model
        if agent is None or ctx.model_id is not None or not isinstance(model, Model) or model is agent.model:
            return self
        return _durability(_run.get(), models={"override": model}).for_agent(agent)

    async def wrap_model_request(self, ctx: RunContext[Any], *, request_context: Any, handler: Any) -> ModelResponse:
        base, run = super().wrap_model_request, _run.get()
        if run is None:
            return await base(ctx, request_context=request_context, handler=handler)
        await _add_incoming(request_context, ctx, run.settings.ctx, run.entries)

        async def ask(further: Sequence[ModelMessage]) -> ModelResponse:
            context = request_context
            if further:
                context = replace(request_context, messages=[*request_context.messages, *further])
            return await base(ctx, request_context=context, handler=handler)

        run.model = ctx.model.model_name
        new = [message for message in request_context.messages if message.run_id == ctx.run_id]
        name, change = f"{AGENT}__model.request@{digest(new)}", None
        run.place = run.entries.next_step(name)
        run.refusals.begin(run.place)
        if run.settings.stream and run.settings.turn.options.known_links:
            change = partial(without_invented, shown=shown_to_model(request_context.messages, ctx.run_id))
        response = await _Request(run, ask).response(name, change)
        run.refusals.accepted(run.messages)
        return response

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Leave out of an attempt that for which the provider has refused earlier ones."""
        if (run := _run.get()) is not None:
            run.messages = request_context.messages
            request_context.messages = await run.refusals.less_of(run.messages)
        return await super().prepare_model_request(ctx, request_context)

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        """Let a request that the provider refuses be made again with less. The decision is recorded first."""
        run = _run.get()
        if run is None or run.written.draft.has_text:
            raise error
        if not await run.refusals.ask_again(run.messages, error, is_refusal=_is_refusal(error)):
            raise error
        raise RetryModelRequest from error

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, handler: Any
    ) -> Any:
        """Name the call of a tool for its step, and hold it back from other chats."""
        # The tools of one response run side by side, in any order, so their ids tell them apart.
        token = _detail.set(call.tool_call_id)
        recorded = _is_recorded.set((tool_def.metadata or {}).get("recorded") is not False)
        run = _run.get()
        is_free = run is None or ctx.tool_call_approved or call.tool_name in run.settings.turn.options.elsewhere
        running = ToolCall(call.tool_name, run.settings.event.chat_id if run else None, is_free)
        tool = running_tool.set(running)
        try:
            with used_by_tool(ctx.usage):
                noticed = partial(_noticed, handler, running)
                return await super().wrap_tool_execute(ctx, call=call, tool_def=tool_def, args=args, handler=noticed)
        except Refused as error:
            # The model learns of it, so that a message that talks it into such a call does not end the turn.
            raise ToolFailed(REFUSED) from error
        finally:
            running_tool.reset(tool)
            _is_recorded.reset(recorded)
            _detail.reset(token)


async def _noticed(handler: Any, running: ToolCall, args: Any) -> Any:
    """Run a tool. One that has not noticed that a call of it was refused fails like one that has."""
    result = await handler(args)
    if running.was_refused:
        raise Refused(REFUSED)
    return result


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
        run = _run.get()
        if run is None or isinstance(operation_id, EventStreamHandlerId):
            return await body()
        if isinstance(operation_id, ToolsetCallToolId):
            return await called(run, name, body)
        is_request = isinstance(operation_id, ModelRequestId)
        step = await (_answer(run, body) if is_request else run.entries.step(name, partial(_fitting, body)))
        record_durable_unit(executed=step.is_made)
        if is_request and step.is_made:
            run.settings.turn.count(step.result)
        return step.result


async def called(run: Run, name: str, call: Callable[[], Awaitable[object]]) -> Any:
    """Return the result of a call of a tool, as JSON data: from the record, or made now."""
    turn = run.settings.turn
    tally = turn.account.tally_of_tool(tool_use)
    step = await run.entries.step(
        f"{name}@{_detail.get()}", partial(_fitting, call), is_recorded=_is_recorded.get(), tally=tally
    )
    record_durable_unit(executed=step.is_made)
    turn.counts.tool_calls += step.is_made
    return step.result


@dataclass(slots=True)
class _Request:
    """One request to the model, with the hooks of the agent around it. Only the answer of the provider is recorded."""

    run: Run
    ask: Callable[[Sequence[ModelMessage]], Awaitable[ModelResponse]]  # takes messages to add at the end
    # What the hooks have made of the answer: an error, if one has raised it.
    outcome: ModelResponse | Exception | SaidNothing | None = None

    async def response(self, name: str, change: Change | None) -> ModelResponse:
        """Return the response, which is said if the run says what the model writes.

        Args:
            change: Changes each line of the text that is said.
        """
        run, say, stream = self.run, None, None
        run.written.change = change
        speech = run.settings.speech
        if run.settings.stream:
            say, stream = partial(text_of_response, change=change), speech.stream
        tally = booked(run.settings, f"{run.settings.run_id}/{run.place}")
        try:
            step = await run.entries.model_step(name, self._made, say=say, stream=stream, tally=tally)
        except TurnDeferred as deferred:
            run.deferred = deferred
            raise
        if not step.is_made:
            await self._answered((), segments_of(step.response))
        found = self.outcome
        if isinstance(found, SaidNothing) and step.said:
            found = found.response  # there was nothing to add
        if not isinstance(found, ModelResponse):
            assert found is not None
            raise found
        before = [TextPart(f"{step.said}\n\n")] if step.said else []
        after = [TextPart(TOO_LONG)] if say is not None and speech.is_cut else []
        return replace(found, parts=[*before, *found.parts, *after]) if before or after else found

    async def _made(self, draft: Draft) -> object:
        self.run.written.draft = draft
        await self._answered(go_on(draft.said))
        if not self.run.answers:  # a hook has answered in place of the model
            return to_jsonable_python(self.outcome)
        return _as_one(self.run.answers)

    async def _answered(self, further: Sequence[ModelMessage], recorded: Sequence[Any] = ()) -> None:
        self.run.answers, self.run.recorded, self.run.model_error = [], recorded, None
        try:
            self.outcome = await self.ask(further)
        except asyncio.CancelledError:
            # pydantic-ai cancels this task when a response is cut that it has begun to read.
            if self.run.model_error is None:
                raise
            raise self.run.model_error from None
        except (Exception, SaidNothing) as error:
            if not self.run.answers:
                raise
            self.outcome = error


async def _answer(run: Run, body: Callable[[], Awaitable[object]]) -> Step:
    """Return the answer of the provider to the present request: the next one on record, or one that is made now."""
    if is_made := len(run.answers) >= len(run.recorded):
        answer = with_cut_texts(await _fitting(partial(_asked, run, body)))
    else:
        answer = run.recorded[len(run.answers)]
    run.answers.append(answer)
    return Step(answer, is_made)


def _as_one(answers: Sequence[Any]) -> Any:
    """Return the answers to a request, of which there are several if the provider has suspended it, as one response."""
    if len(answers) == 1:
        return answers[0]
    tokens = ("input_tokens", "output_tokens")
    usage = {name: sum(each["usage"].get(name, 0) for each in answers) for name in tokens}
    return {**answers[-1], "usage": usage, "segments": list(answers)}


async def _fitting(make: Callable[[], Awaitable[object]]) -> object:
    """Make a step, and return its result: if it is too long to be recorded, as texts, which `Entries` cuts."""
    result: Any = await make()
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


def booked(settings: Settings, request: str = "") -> Tally[Used] | None:
    """Return what books a request on the budget of the person; None if there is no budget."""
    return settings.turn.account.tally(lambda answer: price(answer, settings.ctx, settings.turn.unpriced), request)


def _durability(run: Run | None, models: Mapping[str, Model] | None = None) -> LinqDurability:
    hear = run.written.take if run is not None and run.settings.stream else None
    return LinqDurability(name=AGENT, models=models, event_stream_handler=hear)


async def _asked(run: Run, body: Callable[[], Awaitable[object]]) -> object:
    """Make a request to a model, with a time limit. Its error is kept, to tell it from the error of a tool."""
    async with run.settings.turn.account.reserving(f"{run.settings.run_id}/{run.place}", for_s=run.settings.timeout_s):
        try:
            async with asyncio.timeout(run.settings.timeout_s):
                return await body()
        except Exception as error:
            run.model_error = error
            raise


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
    return hashlib.blake2b(to_json(said, bytes_mode="base64", fallback=str), digest_size=8).hexdigest()


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


async def _add_incoming(request: ModelRequestContext, run: RunContext[Any], ctx: Context, entries: Entries) -> None:
    """Add the messages that have come since the last request to a request, and to the history of its run.

    Only in handlers with `overlap="steer"`. What a request has got is on record, so each run of the turn makes the same
    requests. What comes during the last request is not taken, and gets a turn of its own. `run.enqueue` would
    add them at the end, behind the part of an answer that was cut off by a crash.
    """
    if not ctx.takes_incoming:
        return

    async def take() -> list[str]:
        return [prompt_of(message) async for message in ctx.incoming()]

    step = await entries.step(_INCOMING, take)
    for text in step.result:
        message = ModelRequest(parts=[UserPromptPart(text)], run_id=run.run_id)
        request.messages = [*request.messages, message]
        run.messages.append(message)


_responses: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


def price(recorded: Any, ctx: Context, unpriced: set[str]) -> Decimal:
    """Return the price of a recorded answer in US dollars; 0 if it is not known, which is logged once for each model."""
    response = _responses.validate_python(recorded)
    if response.usage.cost is not None:
        return Decimal(response.usage.cost)
    return known(lambda: response.cost().total_price, response.model_name, ctx, unpriced)


_BOOKED: Final = frozenset({"requests", "input_tokens", "output_tokens", "cost"})


class AttributedUsage(RunUsage):
    """The usage of a run. What is added to it inside of `used_by_tool` is counted there too."""

    def __setattr__(self, name: str, value: Any) -> None:
        call = _call.get()
        # A copy, on which limits are checked, is not the usage of the run.
        if call is not None and name in _BOOKED and call.usage is self:
            call.added[name] += (value or 0) - (getattr(self, name, 0) or 0)
        super().__setattr__(name, value)


class _ToolUse:
    def __init__(self, usage: RunUsage) -> None:
        self.usage = usage
        self.added: Counter[str] = Counter()  # what the call has added to it, by the names of pydantic-ai

    def total(self) -> Use:
        added = self.added
        return Use(added["requests"], added["input_tokens"] + added["output_tokens"], Decimal(added["cost"]))


_call: ContextVar[_ToolUse | None] = ContextVar("linqbot_agent_tool_use", default=None)


@contextmanager
def used_by_tool(usage: RunUsage) -> Iterator[None]:
    """Count what the call of a tool adds to the usage of its run, if that is an `AttributedUsage`."""
    token = _call.set(_ToolUse(usage))
    try:
        yield
    finally:
        _call.reset(token)


def tool_use() -> Use:
    call = _call.get()
    return Use() if call is None else call.total()
