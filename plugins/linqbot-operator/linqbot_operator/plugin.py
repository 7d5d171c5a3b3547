"""The plugin `operator`: the page, the command and its tools. Every command imports it, so it imports nothing else of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linqbot import Running, hookimpl
from linqbot.features.bot_options import MuteByHand
from linqbot.hookspecs import AgentTool, Listener, PluginCommand

if TYPE_CHECKING:
    from starlette.applications import Starlette


@hookimpl
def register_listeners(running: Running, page: bool) -> list[Listener]:
    if not page:
        return []
    from linqbot.settings import from_env

    settings = from_env()

    def make_app() -> Starlette:
        from linqbot_operator.page.app import page_app

        return page_app(settings, mute_s=running.options.of(MuteByHand).for_s)

    return [Listener("page", "The operator's page", settings.page_port, "LINQBOT_PAGE_PORT", make_app)]


@hookimpl
def register_commands() -> list[PluginCommand]:
    about = "Let a coding agent see what a bot does, text it and act."
    return [PluginCommand("mcp", about, "linqbot_operator.mcp:command", "Write a bot")]


@hookimpl
def register_tools(dev: str | None, allow_writes: bool) -> list[AgentTool]:
    from linqbot_operator.command_tools import command_tools

    return command_tools(dev, allow_writes=allow_writes)
