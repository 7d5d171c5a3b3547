"""The `linqbot` command. Each subcommand is a module in `linqbot.cli.commands`, imported only when it is called."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from linqbot.errors import LinqbotError
from linqbot.nearest import nearest_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_NOT_WRITTEN: Final = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO}
"""The errors of a disk that takes no output."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of `linqbot --help`."""

    title: str
    commands: Mapping[str, str]  # each command with its line of help


SECTIONS = (
    Section(
        "Write a bot",
        {
            "new": "Create a folder with a bot, its tests and its settings.",
            "dev": "Try a bot on an emulated phone in the browser; no account needed.",
            "emulator": "Run the emulator of Linq without a bot.",
            "rehearse": "Let simulated people talk to a bot while things go wrong.",
            "trigger": "Send a signed event of any type to a bot.",
        },
    ),
    Section(
        "Run it",
        {
            "webhooks": "Subscribe a bot to exactly the events it handles; rotate the secret.",
            "doctor": "Find what keeps a bot from going live, and how to fix it.",
            "serve": "Run a bot in production.",
        },
    ),
    Section(
        "Look after it",
        {
            "inbox": "List waiting deliveries and dead letters; retry, replay, back up.",
            "asks": "List open questions of ctx.ask; answer or end one.",
            "broadcasts": "List broadcasts; show, pause, resume or cancel one.",
            "state": "Show, edit and export what a bot has stored with ctx.state.",
            "storage": "Check, migrate and copy the storage, also to PostgreSQL and back.",
            "send": "Send one message.",
            "forget": "Erase what is stored about a person.",
            "plugins": "List plugins; find the plugin that breaks an event.",
        },
    ),
    Section(
        "Find your way",
        {
            "explain": "Explain an error code: its meaning, its causes, what to do.",
            "completion": "Let your shell complete commands, event types, codes, ids.",
        },
    ),
)

COMMANDS = dict(sorted(each for section in SECTIONS for each in section.commands.items()))
"""Each command of linqbot with its line of help, by name."""


class Commands(click.Group):
    """Looks up commands by name in `COMMANDS`, so that `linqbot serve` does not import the other commands.

    Commands of plugins are looked up only for a name that is not in `COMMANDS`.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name.

        Raises:
            UsageError: there is no such command. The message names the nearest one.
        """
        if args and args[0] not in COMMANDS and args[0] not in (names := self.list_commands(ctx)):
            near = nearest_name(args[0], names)
            hint = f"Did you mean {near}?" if near else f"The commands are: {', '.join(names)}."
            raise click.UsageError(f"There is no command {args[0]}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *_plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return _plugin_commands().get(cmd_name)
        # Imported modules are never garbage. Collections during the import take an eighth of the start-up time.
        gc.disable()
        try:
            module = importlib.import_module(f"linqbot.cli.commands.{cmd_name}")
        finally:
            gc.freeze()
            gc.enable()
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # imported late: only a shell that completes needs it

        known = _all_commands().items()
        named = [CompletionItem(name, help=about) for name, about in known if name.startswith(incomplete)]
        # Not `Group.shell_complete`: it imports every command to get its help text.
        return [*named, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = _all_commands()
        widest = max(map(len, known))
        others = {name: about for name, about in known.items() if name not in COMMANDS}
        for title, commands in [*((each.title, each.commands) for each in SECTIONS), ("From plugins", others)]:
            if rows := [(name.ljust(widest), about) for name, about in commands.items()]:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command line and end the process. An error is printed by `linqbot.cli.failure`."""
        _open_closed_streams()
        arguments = sys.argv[1:] if args is None else list(args)
        extra["standalone_mode"] = False
        if os.environ.get("NO_COLOR"):  # see https://no-color.org; click does not know it
            extra["color"] = False
        try:
            code = super().main(arguments, *more, **extra)
        except (LinqbotError, click.ClickException, click.Abort) as error:
            from linqbot.cli import failure

            failed = failure.of(error)
            failure.print_failure(failed, as_json=failure.wants_json(arguments))
            sys.exit(failed.exit_code)
        except OSError as error:
            # Of a file, the error would have a name; a storage translates its own.
            if error.errno not in _NOT_WRITTEN or error.filename is not None:
                raise
            with suppress(OSError):
                click.echo(f"The output cannot be written: {error.strerror}.", err=True)
            # Python would try again at its end to write what is left, and report that it cannot.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        # With standalone_mode off, click returns the exit code of `ctx.exit(1)` instead of exiting.
        sys.exit(code if isinstance(code, int) else 0)


@click.group("linqbot", cls=Commands, invoke_without_command=True, epilog="Begin with: linqbot new mybot")
@click.version_option(package_name="linqbot")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Chatbots on iMessage, RCS and SMS through Linq."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _open_closed_streams() -> None:
    """Connect standard streams that are closed, as after `linqbot serve bot.py <&- >&- 2>&-`, with the null device.

    Otherwise the next files and sockets get their numbers, and libuv aborts the process when it closes such a socket.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - open until the process ends


def _plugin_commands() -> dict[str, click.Command]:
    from linqbot.cli.plugin_commands import commands

    return commands(frozenset(COMMANDS))


def _all_commands() -> dict[str, str]:
    """Return the one-line help of each command by its name, plugins' commands last."""
    return COMMANDS | {name: command.get_short_help_str(80) for name, command in _plugin_commands().items()}
