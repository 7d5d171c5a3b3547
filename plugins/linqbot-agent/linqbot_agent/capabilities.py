"""The capabilities of pydantic-ai that a run adds to an agent for approvals. Output functions act in the chat of their turn.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_ai import ApprovalRequired, ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDefinition, ToolDenied

from linqbot import BotError, Refused
from linqbot_agent.approvals import Questions, needs_approval
from linqbot_agent.guard import REFUSED, ToolCall, running_tool
from linqbot_agent.run import Settings


@dataclass
class People(AbstractCapability[Any]):
    """Asks people about the calls of a run that wait for them. A tool asks by raising `CallDeferred`."""

    questions: Questions

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


@dataclass
class ToolGuard(AbstractCapability[Any]):
    """Decides which calls of tools need approval, and guards output functions."""

    settings: Settings

    async def before_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any
    ) -> Any:
        event, options, name = self.settings.event, self.settings.turn.options, call.tool_name
        if ctx.tool_call_approved:
            return args
        is_writing = _writes(tool_def.metadata or {}) and name not in options.unapproved
        if is_writing or needs_approval(options.needs_approval, name, call.args_as_dict(), event.actor):
            raise ApprovalRequired
        return args

    async def wrap_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any, handler: Any
    ) -> Any:
        """Run an output function in the chat of the turn only: the model chooses its arguments, as for a tool."""
        name = output_context.function_name or "of the output"
        is_free = name in self.settings.turn.options.elsewhere
        token = running_tool.set(ToolCall(name, self.settings.event.chat_id, is_free))
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
