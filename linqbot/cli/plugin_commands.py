"""The commands that installed plugins add. Plugins are loaded only for a command of theirs, or for the list of all."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any

import click

from linqbot.errors import ConfigError
from linqbot.hookspecs import GROUP


@cache
def commands(taken: frozenset[str]) -> dict[str, click.Command]:
    """Return the plugins' commands by name.

    A plugin that cannot be loaded is reported on standard error, and so is a command whose name is taken.
    """
    if not entry_points(group=GROUP):
        return {}
    # Imported here, so that `linqbot --help` stays fast while no plugin is installed.
    from linqbot.cli import logs
    from linqbot.settings import from_env

    logs.configure("error", "auto")
    found: dict[str, click.Command] = {}
    try:
        plugins = from_env().load_plugins()
        for impl, added in plugins.ask("register_commands", _commands):
            if wrong := sorted((taken | found.keys()) & added.keys()):
                problem = ConfigError(f"there is a command {wrong[0]} already")
                plugins.blame(impl.plugin, impl.hook, problem)
            else:
                found |= added
    except ConfigError as error:
        click.secho(f"No plugin's commands: {error}", fg="red", err=True)
        return {}
    return found


def _commands(given: Any) -> dict[str, click.Command]:
    commands = list(given)
    for each in commands:
        if not isinstance(each, click.Command) or not each.name:
            raise TypeError(f"a {type(each).__name__} is not a click command with a name")
    return {str(each.name): each for each in commands}
