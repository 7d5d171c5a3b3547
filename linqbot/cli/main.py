"""The `linqbot` command. Each subcommand is a module of this package, imported only when it is called."""

from __future__ import annotations

import difflib
import gc
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from linqbot.errors import LinqbotError

COMMANDS = {
    "completion": "Let your shell complete commands, event types, codes, ids.",
    "dev": "Try a bot on an emulated phone in the browser; no account needed.",
    "doctor": "Find what keeps a bot from going live, and what to do about it.",
    "emulator": "Run the emulator of Linq alone.",
    "explain": "Say what a code means, why it comes, what to do.",
    "forget": "Erase what is stored about a person.",
    "inbox": "Look at what waits or gave up; retry it, replay it, back it up.",
    "new": "Make a folder with a bot, its tests and its settings.",
    "plugins": "Look at what is plugged in; find out which plugin breaks an event.",
    "send": "Send one message.",
    "serve": "Run a bot in production.",
    "trigger": "Send any event of Linq's, signed, to a bot.",
    "webhooks": "Subscribe a bot to exactly the events it handles; rotate the secret.",
}

SECTIONS = {
    "Write a bot": ("new", "dev", "emulator", "trigger"),
    "Run it": ("webhooks", "doctor", "serve"),
    "Look after it": ("inbox", "send", "forget", "plugins"),
    "Find your way": ("explain", "completion"),
}
"""The commands by what they are for, as `linqbot` alone shows them."""


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
        # What is imported stays: to look for garbage in it again and again takes an eighth of the start.
        gc.disable()
        try:
            module = importlib.import_module(f"linqbot.cli.commands.{cmd_name}")
        finally:
            gc.enable()
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        known = _all_commands().items()
        named = [CompletionItem(name, help=about) for name, about in known if name.startswith(incomplete)]
        # Not the group's own way, which would import every command to ask for its help.
        return [*named, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        placed = {name for names in SECTIONS.values() for name in names}
        known = _all_commands()
        widest = max(map(len, known))
        others = tuple(name for name in known if name not in placed)
        for title, names in {**SECTIONS, "From plugins": others}.items():
            if rows := [(name.ljust(widest), known[name]) for name in names if name in known]:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command line and end the process, showing what went wrong as `linqbot.cli.failure` does."""
        arguments = sys.argv[1:] if args is None else list(args)
        extra["standalone_mode"] = False
        try:
            code = super().main(arguments, *more, **extra)
        except (LinqbotError, click.ClickException, click.Abort) as error:
            from linqbot.cli import failure

            failed = failure.of(error)
            failure.tell(failed, as_json=failure.wants_json(arguments))
            sys.exit(failed.exit_code)
        # Without click's own mode, `ctx.exit(1)` arrives as a value.
        sys.exit(code if isinstance(code, int) else 0)


@click.group("linqbot", cls=Commands, invoke_without_command=True, epilog="Begin with: linqbot new mybot")
@click.version_option(package_name="linqbot")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Chatbots on iMessage, RCS and SMS through Linq."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _added() -> dict[str, click.Command]:
    from linqbot.cli.plugin_commands import commands

    return commands(frozenset(COMMANDS))


def _all_commands() -> dict[str, str]:
    """Each command with its sentence, those of plugins last."""
    return COMMANDS | {name: command.get_short_help_str(80) for name, command in _added().items()}
