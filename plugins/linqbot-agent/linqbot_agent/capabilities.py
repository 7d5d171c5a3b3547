"""The capabilities of pydantic-ai that a run adds to an agent: approvals, guards of tools and outputs, known links, privacy.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from pydantic_ai import ApprovalRequired, ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    RetryPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDefinition, ToolDenied
from pydantic_core import to_jsonable_python

from linqbot import BotError, Refused
from linqbot_agent.approvals import Questions, needs_approval
from linqbot_agent.guard import REFUSED, ToolCall, running
from linqbot_agent.links import strings_in, without_invented
from linqbot_agent.messages import parted, shown_by_others, shown_to_model
from linqbot_agent.outputs import changed
from linqbot_agent.run import ASK_FOR_WORDS, Settings, owes_words
from linqbot_agent.saying import Media, Several


class SaidNothing(BaseException):
    """Ends a run at an empty response, which pydantic-ai would send back to the model: silence is an answer in a chat."""

    def __init__(self, messages: Sequence[ModelMessage], *, owes_words: bool) -> None:
        super().__init__()
        self.messages = messages  # of the run, the empty response last
        self.owes_words = owes_words  # True if tools have acted, and the person has heard nothing of it


@dataclass
class Rules(AbstractCapability[Any]):
    """The rules of each run: people decide about calls that need it, tools act in the chat, and answers are what they may be.

    A tool asks a question by raising `CallDeferred`. An empty response is silence. Linq fetches the address of a file, and one
    that a model makes up can carry what it was asked to keep secret, so such files are refused.
    """

    settings: Settings
    questions: Questions
    was_asked_for_words: bool = False

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Return the decisions on calls, and the answers as the results of others."""
        results = DeferredToolResults()
        for call in [*requests.approvals, *requests.calls]:
            own = requests.metadata.get(call.tool_call_id, {}).get("question")
            if call in requests.approvals:
                reason = await self.questions.approval(call.tool_name, call.tool_call_id, call.args_as_dict(), own)
                results.approvals[call.tool_call_id] = ToolApproved() if reason is None else ToolDenied(reason)
            elif isinstance(own, str) and own.strip():
                results.calls[call.tool_call_id] = await self.questions.answer(call.tool_call_id, own)
            else:
                raise BotError(
                    f"The tool {call.tool_name} raised CallDeferred without a question, so its call can have no result. "
                    'Write: raise CallDeferred(metadata={"question": "Which name?"}).'
                )
        return results

    async def before_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any
    ) -> Any:
        if ctx.tool_call_approved:
            return args
        settings, name = self.settings, call.tool_name
        is_writing = _writes(tool_def.metadata or {}) and name not in settings.turn.options.unapproved
        if is_writing or needs_approval(settings, name, call.args_as_dict()):
            raise ApprovalRequired
        return args

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Stop the run at an empty response, with `SaidNothing`. If tools have acted, the model is asked for words once."""
        _, live = parted(request_context.messages, ctx.run_id)
        is_empty = all(map(_is_empty, response.parts))
        if self.was_asked_for_words:
            offered = {tool.name for tool in request_context.model_request_parameters.function_tools}
            calls = any(isinstance(part, ToolCallPart) and part.tool_name in offered for part in response.parts)
            if is_empty or calls:
                raise SaidNothing(
                    [*live, response], owes_words=not (self.settings.stream and (response.text or "").strip())
                )
        # A response that the provider has cut off, or holds back, is a failure.
        if response.finish_reason in ("length", "content_filter") or not is_empty:
            return response
        owes = any(map(_has_acted, live)) and await owes_words(self.settings)
        if owes and ctx.retry < ctx.max_retries:
            self.was_asked_for_words = True
            raise ModelRetry(ASK_FOR_WORDS)
        raise SaidNothing([*live, response], owes_words=owes)

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        """Say without the model what was done, if it fails when it is asked for words."""
        if self.was_asked_for_words and self.settings.entries.deferred is None:
            raise SaidNothing(parted(request_context.messages, ctx.run_id)[1], owes_words=True)
        raise error

    async def wrap_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any, handler: Any
    ) -> Any:
        """Run an output function in the chat of the turn only: the model chooses its arguments, as for a tool."""
        name = output_context.function_name or "of the output"
        is_free = name in self.settings.turn.options.elsewhere
        try:
            with running(ToolCall(name, self.settings.event.chat_id, is_free)):
                result = await handler(output)
        except Refused as error:
            raise ModelRetry(REFUSED) from error
        # A function of the author's may send files at addresses of its own.
        if not ctx.partial_output and any(_is_made_up(file.url, output, ctx.messages) for file in _files(result)):
            raise ModelRetry("The url of a file must be one that a tool, the person or the instructions gave you.")
        return result


def _writes(metadata: Mapping[str, Any]) -> bool:
    """Return True if a tool is marked as writing, or else if its MCP server says that it destroys something."""
    if "writes" in metadata:
        return bool(metadata["writes"])
    hints = metadata.get("annotations") or {}
    return hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True


def _has_acted(message: ModelMessage) -> bool:
    """Return True for a message with the result of a tool that has done what it was called for."""
    return any(isinstance(part, ToolReturnPart) and part.outcome == "success" for part in message.parts)


def _is_empty(part: ModelResponsePart) -> bool:
    return isinstance(part, ThinkingPart) or (isinstance(part, TextPart) and not part.content.strip())


def _files(output: object) -> Iterator[Media]:
    if isinstance(output, Media):
        yield output
    elif isinstance(output, Several):
        yield from _files(output.outputs)
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _files(each)


def _is_made_up(url: str, given: object, messages: Sequence[ModelMessage]) -> bool:
    """Return True if an address is in what the model has given, and others have not shown it to the model as it is.

    In another form, such as with a password or with other letters encoded, it can carry a secret too.
    """
    is_given = any(url in text for text in strings_in(to_jsonable_python(given, fallback=str)))
    return is_given and url not in shown_by_others(messages).exact


class NoContent(AbstractCapability[Any]):
    """Leaves texts out of the spans of pydantic-ai's instrumentation, also if its settings include them."""

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        """Return the instrumentation of the agent with other settings. A capability of a run replaces that of the agent."""
        if not ctx.trace_include_content:
            return self
        settings = InstrumentationSettings()
        settings.tracer = ctx.tracer

        def copy_settings(each: AbstractCapability[Any]) -> None:
            nonlocal settings
            if isinstance(each, Instrumentation):
                settings = copy(each.settings)

        if ctx.agent is not None:
            ctx.agent.root_capability.apply(copy_settings)
        settings.include_content = False
        return await Instrumentation(settings=settings).for_run(ctx)


ASK_AGAIN: Final = (
    "Your answer has a web address or a phone number that occurs in nothing that you were shown. Do not invent any. Answer "
    "again, with addresses and numbers from the conversation, your instructions and results of tools only, or without."
)


@dataclass
class KnownLinks(AbstractCapability[Any]):
    """Checks the texts of an agent's output. Without `asks_again` it only cuts: the text was said already."""

    asks_again: bool

    async def after_output_process(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        if ctx.partial_output:
            return output
        shown = shown_to_model(ctx.messages, ctx.run_id)
        said = changed(output, lambda text: without_invented(text, shown))
        if said != output and self.asks_again and not _was_asked_again(ctx.messages) and ctx.retry < ctx.max_retries:
            raise ModelRetry(ASK_AGAIN)
        return said


def _was_asked_again(messages: Iterable[ModelMessage]) -> bool:
    return any(
        isinstance(part, RetryPromptPart) and part.content == ASK_AGAIN
        for message in messages
        for part in message.parts
    )
