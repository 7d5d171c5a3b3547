"""Calls of tools that wait for a person, for days and across restarts: for an approval, or for the answer to a question.

The question is one of `ctx.ask`, so the handler ends and the process keeps nothing. The answer runs the handler again, and
the run goes on with what is on record. Each call has a question of its own. A tool asks by raising `CallDeferred`.
`ToolGuard` finds the calls that need an approval, and holds back output functions that act in another chat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic_ai import ApprovalRequired, ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDefinition, ToolDenied
from pydantic_core import to_json

from linqbot import AskCancelled, BotError, Context, MessageReceived, Refused, TextPart
from linqbot.language import sentences
from linqbot_agent.guard import REFUSED, ToolCall, running_tool
from linqbot_agent.run import Settings
from linqbot_agent.written import in_mark, said_by, visible

_LONGEST_VALUE: Final = 80
"""The most characters of an argument that a question shows. A model may have been talked into anything."""

Decision: TypeAlias = ToolApproved | ToolDenied


class PersonNeeded(BaseException):
    """Ends an agent's run at a call that waits for a person. Only the handler's task can ask, and pydantic-ai uses others."""

    def __init__(self, call_id: str, question: str, *, is_approval: bool) -> None:
        super().__init__(call_id)
        self.call_id = call_id
        self.question = visible(question)  # a model may have chosen a part of it
        self.is_approval = is_approval


@dataclass
class People(AbstractCapability[Any]):
    """Gives the calls of a run that wait for a person what the person has said, by their ids."""

    said: Mapping[str, Any]

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Return the decisions on calls, and the answers as the results of others."""
        for call in [*requests.approvals, *requests.calls]:
            if call.tool_call_id in self.said:
                continue
            is_approval = call in requests.approvals
            own = requests.metadata.get(call.tool_call_id, {}).get("question")
            if not is_approval and not (isinstance(own, str) and own.strip()):
                raise BotError(
                    f"The tool {call.tool_name} raised CallDeferred without a question, so its call can have no result. "
                    'Write: raise CallDeferred(metadata={"question": "Which name?"}).'
                )
            raise PersonNeeded(call.tool_call_id, own or question(call), is_approval=is_approval)
        return DeferredToolResults(
            approvals={call.tool_call_id: self.said[call.tool_call_id] for call in requests.approvals},
            calls={call.tool_call_id: self.said[call.tool_call_id] for call in requests.calls},
        )


async def decision(call_id: str, asked: str, settings: Settings) -> Decision:
    """Ask for an approval in the chat, and return the decision."""
    ctx, key = settings.ctx, f"{settings.name}/approve.{call_id}"
    if ctx.side is not None:
        return ToolDenied("Not now: the person has not answered another question yet. Nothing was done.")
    try:
        postpones = settings.turn.options.other_topic == "postpone"
        is_approved = await ctx.ask(
            TextPart(value=asked),  # a text that gets no preview card: see `saying.py`
            yes="like",
            who=settings.approver,
            also=settings.turn.options.approvers,
            tries=1,
            repeat=postpones,
            side_questions=postpones,
            key=key,
        )
    except AskCancelled as error:
        if error.reason == "word":
            return ToolDenied("The person does not want this any more.")
        if error.reason != "invalid":
            raise
        # Recorded, because later runs of the handler no longer know the message.
        said = await ctx.once(f"{key}/instead", lambda _: _text(ctx), kind=str, retry=True)
        return ToolDenied(f"The person has not approved this, and wrote instead: {said}")
    return ToolApproved() if is_approved else ToolDenied("The person said no.")


async def answer_of(call_id: str, question: str, settings: Settings) -> str:
    if settings.ctx.side is not None:
        return "Not now: the person has not answered another question yet."
    try:
        said = await settings.ctx.ask(TextPart(value=question), key=f"{settings.name}/ask.{call_id}")
    except AskCancelled as error:
        if error.reason != "word":
            raise
        return "The person does not want to answer."
    return said_by("They", said, always=False)


def _text(ctx: Context) -> str:
    return in_mark(ctx.event.text_to_me) if isinstance(ctx.event, MessageReceived) else ""


def question(call: ToolCallPart) -> str:
    """Return the question for approval of a call: the tool and its arguments in words."""
    said = ", ".join(f"{_words(name)} {_value(value)}" for name, value in call.args_as_dict().items())
    return sentences().may_i.format(call=f"{_words(call.tool_name)}{f' ({said})' if said else ''}")


def _words(name: str) -> str:
    return name.replace("_", " ").strip()


def _value(value: object) -> str:
    # With a character that turns the direction of text, the arguments behind it would be read in another order.
    text = " ".join(visible(value if isinstance(value, str) else to_json(value).decode()).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


@dataclass
class ToolGuard(AbstractCapability[Any]):
    """Decides which calls of tools need approval, and guards output functions."""

    chat_id: str | None
    elsewhere: Collection[str]
    unapproved: Collection[str]

    async def before_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any
    ) -> Any:
        if _writes(tool_def.metadata or {}) and not ctx.tool_call_approved and call.tool_name not in self.unapproved:
            raise ApprovalRequired
        return args

    async def wrap_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any, handler: Any
    ) -> Any:
        """Run an output function in the chat of the turn only: the model chooses its arguments, as for a tool."""
        name = output_context.function_name or "of the output"
        token = running_tool.set(ToolCall(name, self.chat_id, name in self.elsewhere))
        try:
            return await handler(output)
        except Refused as error:
            raise ModelRetry(REFUSED) from error
        finally:
            running_tool.reset(token)


def _writes(metadata: Mapping[str, Any]) -> bool:
    """Return True if a tool is marked as writing, or else if its MCP server says that it destroys something."""
    if "writes" in metadata:
        return bool(metadata["writes"])
    hints = metadata.get("annotations") or {}
    return hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True
