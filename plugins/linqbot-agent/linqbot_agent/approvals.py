"""Approvals: a call of a tool that needs one waits until a person says yes, for days and across restarts.

The question is one of `ctx.ask`, so the handler ends and the process keeps nothing. The answer runs the handler again, and
the run goes on with what is on record. Each call has a question of its own. `ToolGuard` finds the calls that need one, and
holds back output functions that act in another chat.
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

from linqbot import AskCancelled, Context, MessageReceived, Refused, TextPart
from linqbot_agent.guard import REFUSED, ToolCall, running_tool
from linqbot_agent.turn import PersonNeeded, Settings
from linqbot_agent.written import in_mark, visible

_LONGEST_VALUE: Final = 80
"""The most characters of an argument that a question shows. A model may have been talked into anything."""

Decision: TypeAlias = ToolApproved | ToolDenied


class ApprovalNeeded(PersonNeeded):
    """Ends an agent's run at a call whose approval is not decided yet."""


@dataclass
class Approvals(AbstractCapability[Any]):
    """Decides on the calls of a run that need approval, by their ids."""

    decisions: Mapping[str, Decision]

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Return the decisions on calls.

        Raises:
            ApprovalNeeded: one of them is not decided yet.
        """
        for call in requests.approvals:
            if call.tool_call_id not in self.decisions:
                own = requests.metadata.get(call.tool_call_id, {}).get("question")
                raise ApprovalNeeded(call.tool_call_id, own or question(call))
        return DeferredToolResults(
            approvals={call.tool_call_id: self.decisions[call.tool_call_id] for call in requests.approvals}
        )


async def decision(call_id: str, asked: str, settings: Settings) -> Decision:
    """Ask for an approval in the chat, and return the decision.

    Raises:
        AskTimeout: no answer came in time.
        AskCancelled: an operator ended the question, or it could not be sent.
    """
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


def _text(ctx: Context) -> str:
    return in_mark(ctx.event.text_to_me) if isinstance(ctx.event, MessageReceived) else ""


def question(call: ToolCallPart) -> str:
    """Return the question for approval of a call: the tool and its arguments in words."""
    said = ", ".join(f"{_words(name)} {_value(value)}" for name, value in call.args_as_dict().items())
    return f"May I {_words(call.tool_name)}{f' ({said})' if said else ''}? 👍 or yes, 👎 or no"


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
        """Return the arguments of a call that may be made.

        Raises:
            ApprovalRequired: the tool changes something, and no person has approved the call.
        """
        if _writes(tool_def.metadata or {}) and not ctx.tool_call_approved and call.tool_name not in self.unapproved:
            raise ApprovalRequired
        return args

    async def wrap_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any, handler: Any
    ) -> Any:
        """Run an output function in the chat of the turn only: the model chooses its arguments, as for a tool.

        Raises:
            ModelRetry: the guard refused a call of the function to Linq.
        """
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
