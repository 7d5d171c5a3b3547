"""Commands made of functions: their parameters become arguments and options, and the result that they return is printed.

The annotation of a parameter gives the type, and `Arg` or `Opt` in `Annotated` the rest. A parameter without these is an
argument, which may be left out if its type has None. Some names have a meaning of their own. `by` is the operator, for the log
(options --as and --reason). `storage` is the open storage, or its URL if its type is `str`; `settings` are the settings with this
storage (options --storage and --dev). `confirm` asks the person (option --yes). `as_json` is True with --json, which every command
takes.
The table of the commands is `linqbot/cli/table.py`.
"""

from __future__ import annotations

import asyncio
import getpass
import inspect
import os
import signal
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import click

from linqbot.cli import output
from linqbot.cli.storage_option import hint, open_configured_storage, storage_url
from linqbot.settings import from_env
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage

Check: TypeAlias = Callable[[click.Context, click.Parameter, Any], Any]
Confirm: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Opt:
    """An option: its help, and what the name, the default and the type of its parameter do not say."""

    help: str
    name: str | None = None  # such as "--all"; None for the name of the parameter
    metavar: str | None = None
    type: Any = None  # a type of click, or a function that reads a text
    check: Check | None = None  # gets the value, and returns it
    bare: str | None = None  # the value of the option if none is written behind it


@dataclass(frozen=True, slots=True)
class Arg:
    metavar: str | None = None
    type: Any = None
    check: Check | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Flags:
    """One flag for each value of a parameter, with its help. The last one that is given wins."""

    helps: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    data: Any  # printed with --json
    # Printed for people: a text, rows of a table or facts about one thing, or a function that prints; None for `data`.
    shown: str | Sequence[dict[str, Any]] | dict[str, Any] | Callable[[], object] | None = None
    empty: str = ""  # printed in place of a table without rows
    failure: Exception | None = None  # raised after the result is printed
    exit_code: int = 0


def asked(question: str, *, default: bool = False) -> bool:
    """Ask a question that is answered with yes or no. Ctrl-C ends it at once, also in an async function."""
    # An event loop only notes Ctrl-C, and would cancel the function when the question is answered.
    before = signal.getsignal(signal.SIGINT)
    is_noted = before is not signal.SIG_IGN and threading.current_thread() is threading.main_thread()
    if is_noted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm(question, default=default, err=True)
    except click.Abort:
        click.echo(err=True)  # the cursor is in the middle of the question's line
        raise
    finally:
        if is_noted:
            signal.signal(signal.SIGINT, before)


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not asked(question):
        raise click.Abort


def operator(who: str | None, reason: str | None) -> By:
    """Return the operator who runs a command; without a name, that of the settings, or the user of the operating system."""
    who = who or from_env().operator
    if not who:
        try:
            who = getpass.getuser()
        except (KeyError, OSError):  # a container may run as a number that has no name
            who = f"user {os.getuid()}"
    return By(who, reason)


Limit: TypeAlias = Annotated[int, Opt("List at most this many.", type=output.Whole(1))]
OptionalBotFile: TypeAlias = Annotated[str | None, Arg(type=output.BOT, check=output.find_bot)]
"""The argument FILE of a command that also works without a bot: `bot.py` by default, if there is one."""
BotFile: TypeAlias = Annotated[str, Arg(type=output.BOT, check=output.require_bot, required=False)]
"""The argument FILE of a command that needs a bot: `bot.py` by default."""

_OF_THE_KIT: Final = frozenset({"as_json", "by", "confirm", "settings", "storage"})
"""The names of parameters that are no arguments and no options."""


def time_option(about: str) -> Opt:
    """Return an option that takes a time, such as 2026-11-05T17:30 or 2h."""
    return Opt(about, metavar="TIME", type=output.parse_time)


def command_of(function: Callable[..., Any], name: str) -> click.Command:
    hints = get_type_hints(function, include_extras=True)
    command = click.Command(name, help=inspect.getdoc(function), callback=partial(_run, function, hints))
    for each in inspect.signature(function).parameters.values():
        if each.name not in _OF_THE_KIT:
            _add(command, each, hints[each.name])
    if "confirm" in hints:
        click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")(command)
    if "by" in hints:
        as_help = "Your name in the log; without it, that of LINQBOT_OPERATOR, or your user name on this machine."
        click.option("--as", "who_acts", metavar="NAME", help=as_help)(command)
        click.option("--reason", metavar="WORDS", help="Why, for the log: linqbot waiting list --log.")(command)
    if "storage" in hints or "settings" in hints:
        click.option("--storage", metavar="URL", help="The storage; overrides LINQBOT_STORAGE.")(command)
        click.option("--dev", is_flag=True, help="The storage of the linqbot dev that runs in this folder.")(command)
    output.json_option(command)
    return command


def _add(command: click.Command, parameter: inspect.Parameter, hint: Any) -> None:
    hint, about = (get_args(hint)[0], hint.__metadata__[0]) if get_origin(hint) is Annotated else (hint, Arg())
    if isinstance(about, Flags):
        for value, text in about.helps.items():
            click.option(f"--{value}", parameter.name, flag_value=value, default=None, help=text)(command)
        return
    kind, is_many = _kind(hint)
    more: dict[str, Any] = {"type": about.type or kind, "metavar": about.metavar, "callback": about.check}
    has_default = parameter.default is not parameter.empty
    if isinstance(about, Arg):
        required = about.required and not has_default and types.NoneType not in get_args(hint)
        click.argument(parameter.name, nargs=-1 if is_many else 1, required=required, **more)(command)
        return
    names = [*(about.name or f"--{parameter.name.replace('_', '-')}").split(), parameter.name]
    if is_many:
        more["multiple"] = True
    elif kind is bool:
        more |= {"type": None, "is_flag": True, "default": parameter.default}
    elif not has_default:
        more["required"] = True
    else:
        more |= {"default": parameter.default, "show_default": parameter.default is not None}
    if about.bare is not None:
        more |= {"is_flag": False, "flag_value": about.bare}
    click.option(*names, help=about.help, **more)(command)


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return the type of click for an annotation, and whether it takes several values."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (each for each in get_args(hint) if each is not types.NoneType)
    if get_origin(hint) is tuple:
        return _kind(get_args(hint)[0])[0], True
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint)), False
    return click.Path(path_type=Path) if hint is Path else hint, False


def _chosen_storage(url: str | None, *, dev: bool) -> str | None:
    """Return the URL that --storage and --dev name; None for that of the settings."""
    if dev and url is not None:
        raise click.UsageError("Give either --storage or --dev: each names a storage.")
    return storage_url() if dev else url


def _filled(hints: dict[str, Any], given: dict[str, Any], url: str | None, *, as_json: bool) -> dict[str, Any]:
    """Return the arguments of a command's function: those that click gives, and those of the kit."""
    if "confirm" in hints:
        given["confirm"] = partial(_confirm, yes=given.pop("yes"))
    if "by" in hints:
        given["by"] = operator(given.pop("who_acts"), given.pop("reason"))
    if "settings" in hints:
        given["settings"] = from_env(storage=url)
    if "storage" in hints:
        given["storage"] = url
    if "as_json" in hints:
        given["as_json"] = as_json
    return given


def _run(function: Callable[..., Any], hints: dict[str, Any], /, *, as_json: bool, **options: Any) -> None:
    url = _chosen_storage(options.pop("storage", None), dev=options.pop("dev", False))
    given = _filled(hints, options, url, as_json=as_json)
    is_opened = hints.get("storage") is Storage

    async def work() -> Any:
        if not is_opened:
            return await function(**given)
        async with open_configured_storage(url) as opened:
            return await function(**given | {"storage": opened})

    result = asyncio.run(work()) if inspect.iscoroutinefunction(function) else function(**given)
    if result is None:  # the command has printed while it ran
        return
    print_result(result, as_json=as_json)
    # A linqbot dev in this folder has its own storage, which was perhaps meant.
    found = result.data.values() if isinstance(result.data, dict) else result.data
    if is_opened and url is None and not as_json and not any(found) and (said := hint()):
        output.warn(said)
    if result.failure is not None:
        raise result.failure
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)


def print_result(result: Result, *, as_json: bool) -> None:
    shown = result.data if result.shown is None else result.shown
    if as_json:
        click.echo(output.printable_json(result.data, indent=1))
    elif isinstance(shown, str):
        click.echo(shown)
    elif isinstance(shown, dict):
        output.print_facts(shown)
    elif callable(shown):
        shown()
    else:
        output.print_table(shown, empty=result.empty)
