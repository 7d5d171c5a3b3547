"""The `linqbot` command. The table of its commands is in `linqbot/cli/table.py`; each is imported only when it is called."""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from linqbot.cli import plugin_commands
from linqbot.cli.table import COMMANDS, GROUPS, PACKAGES, SECTIONS
from linqbot.errors import LinqbotError
from linqbot.nearest import nearest_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_NOT_WRITTEN: Final = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO}
"""The errors of a disk that takes no output."""

_NOT_ALLOWED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
"""The errors of a file or a folder that this user may not read or write."""


class ListedGroup(click.Group):
    """A group of the table. It is listed without importing its commands."""

    lines: Mapping[str, str]

    def __init__(self, *given: Any, lines: Mapping[str, str], **more: Any) -> None:
        super().__init__(*given, **more)
        self.lines = lines

    def has(self, name: str) -> bool:
        """Return True if a command is known by its name alone, without a look at plugins."""
        return name in self.lines

    def all_lines(self) -> Mapping[str, str]:
        return self.lines

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not self.has(args[0]) and args[0] not in (names := self.list_commands(ctx)):
            near = self.nearest(args[0], names)
            hint = f"Did you mean {near}?" if near else f"The commands are: {', '.join(names)}."
            raise click.UsageError(f"There is no command {args[0]}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def nearest(self, name: str, names: Sequence[str]) -> str | None:
        return nearest_name(name, names)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.all_lines())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(_module(str(self.name)), cmd_name) if cmd_name in self.lines else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # imported late: only a shell that completes needs it

        known = self.all_lines().items()
        named = [CompletionItem(name, help=about) for name, about in known if name.startswith(incomplete)]
        # Not `Group.shell_complete`: it imports every command to get its help text.
        return [*named, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))


class Commands(ListedGroup):
    """The commands at the top. Those of plugins are looked up only for a name that is not in the table."""

    def has(self, name: str) -> bool:
        return super().has(name) or name in PACKAGES

    def all_lines(self) -> Mapping[str, str]:
        return {**self.lines, **{name: command.about for name, command in plugin_commands.found().items()}}

    def sections(self) -> Mapping[str, Mapping[str, str]]:
        """Return the commands of each section of the help with their lines, those of plugins included."""
        sections = {title: dict(lines) for title, lines in SECTIONS.items()}
        for name, command in plugin_commands.found().items():
            sections.setdefault(command.section, {})[name] = command.about
        return sections

    def nearest(self, name: str, names: Sequence[str]) -> str | None:
        groups = [group for group, lines in GROUPS.items() if name in lines]
        return f"{groups[0]} {name}" if len(groups) == 1 else super().nearest(name, names)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *plugin_commands.missing()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lines:
            return plugin_commands.command(cmd_name)
        if cmd_name in GROUPS:
            return ListedGroup(cmd_name, lines=GROUPS[cmd_name], help=self.lines[cmd_name])
        return _command(_module(cmd_name), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, self.all_lines()))
        for title, commands in self.sections().items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), about) for name, about in commands.items()])
        if missing := plugin_commands.missing():
            with formatter.section("Not installed"):
                formatter.write_dl([(name.ljust(widest), f"It comes with {PACKAGES[name]}.") for name in missing])

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command line and end the process. An error is printed by `linqbot.cli.failure`."""
        _prepare_streams()
        arguments = sys.argv[1:] if args is None else list(args)
        extra["standalone_mode"] = False
        # See https://no-color.org, which click does not know.
        if os.environ.get("NO_COLOR"):
            extra["color"] = False
        try:
            code = super().main(arguments, *more, **extra)
        except (LinqbotError, click.ClickException, click.Abort) as error:
            _fail(error, arguments)
        except OSError as error:
            if error.errno in _NOT_ALLOWED and error.filename is not None:
                _fail(error, arguments)
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


def _fail(error: LinqbotError | click.ClickException | click.Abort | OSError, arguments: Sequence[str]) -> NoReturn:
    from linqbot.cli import failure

    failed = failure.of(error)
    failure.print_failure(failed, as_json=failure.wants_json(arguments))
    sys.exit(failed.exit_code)


@click.group(
    "linqbot", cls=Commands, lines=COMMANDS, invoke_without_command=True, epilog="Begin with: linqbot new mybot"
)
@click.version_option(package_name="linqbot")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Chatbots on iMessage, RCS and SMS through Linq."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _prepare_streams() -> None:
    """Let standard output and error take all that is written.

    A closed one, as of `>&- 2>&-`, leads to the null device: Python makes it None, which has no `isatty`, and the next file
    that is opened, such as the storage, would get its descriptor. What the encoding of the terminal does not have is written
    as an escape: else a handler would fail that prints a text in the wrong locale.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _module(name: str) -> ModuleType:
    # Imported modules are never garbage. Collections during the import take an eighth of the start-up time.
    gc.disable()
    try:
        return importlib.import_module(f"linqbot.cli.commands.{name}")
    finally:
        gc.freeze()
        gc.enable()


def _command(module: ModuleType, name: str) -> click.Command:
    written = getattr(module, "command", None)
    if isinstance(written, click.Command):
        return written
    from linqbot.cli.kit import command_of  # imported late: `linqbot serve` does not need it

    # The name of Python's own function gets an underscore.
    return command_of(getattr(module, f"{name}_", None) or getattr(module, name), name)
