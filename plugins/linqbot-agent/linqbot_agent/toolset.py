"""The tools of MCP servers as a toolset of pydantic-ai, each of whose calls is recorded.

pydantic-ai's durability wraps only the toolsets with which an agent was made, and those of a run come later. This module
imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic_ai import RunContext, ToolDefinition
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from linqbot_agent.durability import Run, called
from linqbot_agent.run import ServerTool

_OBJECT: Final = SchemaValidator(core_schema.dict_schema())


class ServerTools(AbstractToolset[Any]):
    def __init__(self, run: Run, tools: Iterable[ServerTool]) -> None:
        self._run = run
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

        said = await called(self._run, f"tool:{name}", make)
        if said["is_error"]:
            raise ToolFailed(said["text"])
        return said["text"]
