"""The commands that installed plugins add: those of linqbot's own packages, and those of others.

A command of linqbot's own package is found by its name alone. So it needs no setting, other plugins are not loaded for it,
and LINQBOT_PLUGINS, which says what a bot loads, does not leave it out.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from linqbot.cli.table import COMMANDS, PACKAGES
from linqbot.errors import ConfigError

if TYPE_CHECKING:
    from linqbot.hookspecs import PluginCommand
    from linqbot.plugins.registry import Plugins

T = TypeVar("T")

_OURS: Final = frozenset(package.removeprefix("linqbot-") for package in PACKAGES.values())
"""The names of the plugins of linqbot's own packages."""


def command(name: str) -> click.Command | None:
    """Return a command by its name, or None if no plugin has it.

    Raises:
        ConfigError: the package of the command is not installed.
    """
    if name not in PACKAGES:
        found = of_others().get(name)
    elif (found := of_packages().get(name)) is None:
        from linqbot.installing import plugin_advice

        package = PACKAGES[name]
        raise ConfigError(
            f"linqbot {name} needs the package {package}, which is not installed. {plugin_advice(package)}"
        )
    return None if found is None else _imported(found)


def found() -> Mapping[str, PluginCommand]:
    return {**of_packages(), **of_others()}


def missing() -> Collection[str]:
    """Return the commands whose package is not installed."""
    return sorted(PACKAGES.keys() - of_packages().keys())


def of_packages() -> Mapping[str, PluginCommand]:
    """Return the commands of those packages of linqbot's repository that are installed."""
    return _added(packages(), COMMANDS)


def of_others() -> Mapping[str, PluginCommand]:
    """Return the commands of all other plugins that are installed and allowed.

    A plugin that cannot be loaded is reported on standard error, and so is a command whose name is taken.
    """
    return {} if (plugins := others()) is None else _added(plugins, {*COMMANDS, *PACKAGES}, leave_out=_OURS)


def ask(hook: str, kind: type[T], **facts: Any) -> list[T]:
    """Collect the objects of a class that these plugins add to a command through another hook. See `Plugins.ask`."""
    from linqbot.plugins.registry import only

    fit = only(kind)
    found = packages().ask(hook, fit, **facts)
    if (plugins := others()) is not None:
        found += [(impl, added) for impl, added in plugins.ask(hook, fit, **facts) if impl.plugin.name not in _OURS]
    return [each for _, added in found for each in added]


@cache
def packages() -> Plugins:
    """Return the plugins of linqbot's own packages that are installed."""
    from linqbot.plugin_loading import installed, load  # imported late: a command of the core needs no plugin

    return load(sorted(_OURS & {entry.name for entry in installed()}), lenient=True)


@cache
def others() -> Plugins | None:
    """Return all plugins that are installed and allowed; None if there are only those of `packages`, or settings are wrong."""
    from linqbot.cli import logs
    from linqbot.plugin_loading import installed
    from linqbot.settings import from_env

    if not {entry.name for entry in installed()} - _OURS:
        return None
    logs.configure("error", "auto")
    try:
        return from_env().load_plugins()
    except ConfigError as error:
        click.secho(f"No plugin's commands: {error}", fg="red", err=True)
        return None


def _added(plugins: Plugins, taken: Iterable[str], leave_out: Collection[str] = ()) -> Mapping[str, PluginCommand]:
    added: dict[str, PluginCommand] = {}
    for impl, commands in plugins.ask("register_commands", _checked):
        if impl.plugin.name in leave_out:
            continue
        if wrong := sorted({*taken, *added} & commands.keys()):
            plugins.blame(impl.plugin, impl.hook, ConfigError(f"there is a command {wrong[0]} already"))
        else:
            added |= commands
    return added


def _checked(given: Any) -> dict[str, PluginCommand]:
    from linqbot.hookspecs import PluginCommand
    from linqbot.plugins.registry import only

    commands = {each.name: each for each in only(PluginCommand)(given)}
    if "" in commands:
        raise TypeError("a PluginCommand has no name")
    return commands


def _imported(added: PluginCommand) -> click.Command:
    module, _, name = added.target.partition(":")
    imported = getattr(importlib.import_module(module), name, None)
    if not isinstance(imported, click.Command):
        raise ConfigError(
            f"The plugin's command {added.name} is at {added.target}, where no click.Command is. Correct the plugin."
        )
    return imported
