"""`linqbot mcp`: an MCP server on standard input and output, for a coding agent or an assistant.

Its tools come from plugins, by the hook `register_tools`; those of this package are in `command_tools.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import click
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from linqbot.cli import logs, plugin_commands
from linqbot.errors import LinqbotError
from linqbot.hookspecs import AgentTool

PAGE: Final = "http://127.0.0.1:4010"


@click.command("mcp")
@click.option("--allow-writes", is_flag=True, help="Also offer the tools that mute, retry, answer and send.")
@click.option(
    "--dev",
    is_flag=True,
    help="Of the linqbot dev that runs in this folder; an agent texts its bot and moves its clock.",
)
@click.option("--page", metavar="URL", default=PAGE, show_default=True, help="With --dev: where the phone page is.")
def command(*, allow_writes: bool, dev: bool, page: str) -> None:
    """Serve an MCP server on standard input and output, with the commands of operators as tools.

    A coding agent starts it, such as with: claude mcp add linqbot -- linqbot mcp --dev
    """
    server = MCPServer(
        "linqbot", instructions="Tools to find out what a chatbot did and why, by Linq's ids and handles."
    )
    logs.configure("error", "auto")  # on standard error
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the server shows the log of all modules
    tools = plugin_commands.ask("register_tools", AgentTool, dev=page if dev else None, allow_writes=allow_writes)
    for tool in tools:
        hints = ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.read_only or tool.idempotent,
            open_world_hint=False,
        )
        server.add_tool(_shown(tool.run), title=tool.title, annotations=hints)
    server.run("stdio")


def _shown(tool: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a tool whose errors of linqbot an agent is shown: the server shows the words of no other error than its own."""

    @wraps(tool)
    async def run(**given: Any) -> Any:
        try:
            return await tool(**given)
        except LinqbotError as error:
            raise ToolError(str(error)) from error

    return run
