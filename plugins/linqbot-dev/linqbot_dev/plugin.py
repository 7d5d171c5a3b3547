"""The plugin `dev`: the commands of this package. It is imported by every `linqbot --help`, so it imports nothing else of it."""

from __future__ import annotations

from linqbot.hookspecs import PluginCommand, hookimpl


@hookimpl
def register_commands() -> list[PluginCommand]:
    write, look_after = "Write a bot", "Look after it"
    return [
        _command("dev", "Try a bot on an emulated phone in the browser, with no account.", write),
        _command("rehearse", "Let simulated people talk to a bot while things go wrong.", write),
        _command("trigger", "Send a signed event of any type to a bot.", write),
        _command("replay", "Run a bot on stored deliveries without sending; compare code.", look_after),
    ]


def _command(name: str, about: str, section: str) -> PluginCommand:
    return PluginCommand(name, about, f"linqbot_dev.commands.{name}:command", section)
