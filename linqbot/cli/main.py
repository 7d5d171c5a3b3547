"""The `linqbot` command. Each subcommand is a module of this package, imported only when it is called."""

from __future__ import annotations

import difflib
import importlib
import sys

import click

from linqbot.errors import ConfigError, LinqbotError

COMMANDS = {
    "dev": "Try a bot on an emulated phone in the browser; no account needed.",
    "emulator": "Run the emulator of Linq alone.",
    "forget": "Erase what is stored about a person.",
    "inbox": "Look at what waits or gave up; retry it, replay it, back it up.",
    "plugins": "Look at what is plugged in; find out which plugin breaks an event.",
    "send": "Send one message.",
    "serve": "Run a bot in production.",
    "trigger": "Send any event of Linq's, signed, to a bot.",
}


class Commands(click.Group):
    """Looks commands up by name in `COMMANDS`, so that `linqbot serve` does not pay for the others' imports.

    A name that is not there may be a plugin's.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and args[0] not in (names := self.list_commands(ctx)):
            near = difflib.get_close_matches(args[0], names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
            raise click.UsageError(f"There is no command {args[0]}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *_added()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return _added().get(cmd_name)
        module = importlib.import_module(f"linqbot.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            added = [(name, command.get_short_help_str(80)) for name, command in _added().items()]
            formatter.write_dl([*COMMANDS.items(), *added])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _complain(error)
            sys.exit(2)
        except LinqbotError as error:
            _complain(error)
            sys.exit(1)


@click.group("linqbot", cls=Commands)
@click.version_option(package_name="linqbot")
def main() -> None:
    """Chatbots on iMessage, RCS and SMS through Linq."""


def _added() -> dict[str, click.Command]:
    from linqbot.cli.plugged import commands

    return commands(frozenset(COMMANDS))


def _complain(error: LinqbotError) -> None:
    click.secho(f"Error: {error} [{error.lqb}]", fg="red", err=True)
