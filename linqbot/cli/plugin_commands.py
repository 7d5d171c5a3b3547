"""The commands that installed plugins bring. Looked for only when somebody asks for one, or for the list."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any

import click

from linqbot.errors import ConfigError
from linqbot.hookspecs import GROUP


@cache
def commands(taken: frozenset[str]) -> dict[str, click.Command]:
    """By name, without those whose names are `taken`. What cannot be loaded is told on standard error."""
    if not entry_points(group=GROUP):
        return {}
    # Late: whoever only asks for help should not wait for the house, as long as there is no plugin.
    from linqbot.cli import logs
    from linqbot.plugins.registry import Plugins
    from linqbot.settings import from_env

    logs.configure("error", "auto")
    found: dict[str, click.Command] = {}
    try:
        plugins: Plugins = from_env().load_plugins()
        for impl, added in plugins.ask("register_commands", _commands):
            if wrong := sorted((taken | found.keys()) & added.keys()):
                problem = ConfigError(f"there is a command {wrong[0]} already")
                plugins.blame(impl.plugin, impl.hook, problem, with_message=True)
            else:
                found |= added
    except ConfigError as error:
        click.secho(f"No plugin's commands: {error}", fg="red", err=True)
    return found


def _commands(given: Any) -> dict[str, click.Command]:
    commands = list(given)
    for each in commands:
        if not isinstance(each, click.Command) or not each.name:
            raise TypeError(f"a {type(each).__name__} is no click command with a name")
    return {str(each.name): each for each in commands}
