"""What commands beside a running server share: its storage, times as people write them, tables, progress bars."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from linqbot.errors import ConfigError

if TYPE_CHECKING:
    from linqbot.storage.backend import Storage

storage_option = click.option("--storage", metavar="URL", help="The storage; overrides LINQBOT_STORAGE.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def time_given(value: str) -> float:
    """The type of an option that is a time: ISO 8601, in UTC without a zone, or so long ago; in Unix seconds."""
    if ago := re.fullmatch(r"(\d+)([smhd])", value):
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time. Write 2026-11-05T17:30, or how long ago: 90s, 15m, 2h, 7d."
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[Storage]:
    """The storage the settings name, beside whatever process serves it.

    Raises:
        ConfigError: there is none; says where to look.
    """
    # Late: a command that only prints a table needs no house.
    from linqbot.settings import from_env

    settings = from_env(storage=url)
    if settings.storage.startswith("memory:"):
        raise ConfigError(
            "A storage in memory ends with its process, so there is nothing to look at. "
            "Name the one that is served: LINQBOT_STORAGE or --storage, such as sqlite:///linqbot.db"
        )
    async with settings.open_storage(serving=False) as storage:
        yield storage


def moment(at: float | None) -> str | None:
    """A time in Unix seconds as ISO 8601."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def table(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows: JSON for programs, columns for people. Columns nobody filled are left out."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    if not rows:
        click.echo(empty)
        return
    names = [name for name in rows[0] if any(row[name] not in (None, "", 0) for row in rows)]
    cells = [[name.replace("_", " ") for name in names]] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(line, bold=number == 0)


def facts(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one thing: JSON for programs, a line for each fact for people."""
    if as_json:
        click.echo(json.dumps(row, ensure_ascii=False, indent=1))
        return
    for name, value in row.items():
        if value not in (None, "", []):
            click.echo(f"{name.replace('_', ' '):<12} {value}")


def started(row: dict[str, Any]) -> None:
    """Print one line of JSON about what now runs, for the program that waits for it. The process goes on."""
    click.echo(json.dumps(row, ensure_ascii=False))
    sys.stdout.flush()


@contextmanager
def bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal: call with how much more is done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield shown.update


def _cell(value: Any) -> str:
    # One line a row, whatever an id or an error holds.
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "�" for letter in text)
