"""Holds back tools that change something until a person approves, and output functions that act in another chat.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_ai import ApprovalRequired, ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import ToolDefinition

from linqbot import Refused
from linqbot_agent.guard import REFUSED, ToolCall, running_tool


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
