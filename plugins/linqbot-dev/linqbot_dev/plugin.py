"""The plugin `dev`: the commands of this package, and its tools. Every `linqbot --help` imports it, so it imports nothing else of it."""

from __future__ import annotations

from linqbot import hookimpl
from linqbot.hookspecs import AgentTool, PluginCommand


@hookimpl
def register_commands() -> list[PluginCommand]:
    write, look_after = "Write a bot", "Look after it"
    return [
        _command("dev", "Try a bot on an emulated phone in the browser, with no account.", write),
        _command("judge", "Judge any bot of Linq's, in any language, while things go wrong.", write),
        _command("rehearse", "Let simulated people talk to a bot while things go wrong.", write),
        _command("trigger", "Send a signed event of any type to a bot.", write),
        _command("replay", "Run a bot on stored deliveries without sending; compare code.", look_after),
    ]


@hookimpl
def register_tools(dev: str | None) -> list[AgentTool]:
    if dev is None:
        return []
    from linqbot_dev.phone_tools import phone_tools

    return phone_tools(dev)


def _command(name: str, about: str, section: str) -> PluginCommand:
    return PluginCommand(name, about, f"linqbot_dev.commands.{name}:command", section)
