"""The argument FILE of commands that load a bot: `bot.py` of this folder, unless it names another file, folder or module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from linqbot.cli import completions

USUAL: Final = "bot.py"

F = TypeVar("F", bound=Callable[..., Any])


def file_argument(f: F) -> F:
    """Add the argument FILE, which is `bot.py` by default. A folder means the `bot.py` in it."""
    return _argument(_required)(f)


def optional_file_argument(f: F) -> F:
    """Add the argument FILE for a command that also works without a bot; then it is None."""
    return _argument(_found)(f)


def _argument(callback: Callable[[click.Context, click.Parameter, str | None], str | None]) -> Callable[[F], F]:
    return click.argument("file", required=False, callback=callback, shell_complete=completions.bot_files)


def _found(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    folder = Path(value or ".")
    # A folder with this file is a package, and its name is that of a module.
    if (folder / USUAL).is_file() and not (value and value.isidentifier() and (folder / "__init__.py").is_file()):
        return str(folder / USUAL)
    return value


def _required(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    found = _found(ctx, param, value)
    if found is None:
        message = f"There is no {USUAL} in this folder. Name the file with your bot."
        raise click.MissingParameter(message, ctx, param)
    return found
