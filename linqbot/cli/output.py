r"""The shared parts of commands: the argument FILE, tables and facts as text or JSON, times, progress bars.

Texts that other people chose are printed without control characters, which could clear the screen, rename the window or
write over earlier lines. Characters that turn the direction of text could hide the real text. All of these are printed
as escapes, such as `\x1b`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    import asyncio


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

USUAL: Final = "bot.py"
"""The file of a bot, unless a command names another file, folder or module."""


def find_bot(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Return the file of the bot that a value names; without a value `bot.py`, if there is one in this folder."""
    if value is not None and value.endswith(".py"):
        return value
    folder = Path(value or ".")
    # A folder with this file is a package, and its name is that of a module.
    if (folder / USUAL).is_file() and not (value and value.isidentifier() and (folder / "__init__.py").is_file()):
        return str(folder / USUAL)
    return value


def require_bot(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """Return the file of the bot that a value names, or `bot.py` if there is one."""
    found = find_bot(ctx, param, value)
    if found is None:
        message = f"There is no {USUAL} in this folder. Name the file with your bot."
        raise click.MissingParameter(message, ctx, param)
    return found


BOT: Final = click.Path(readable=False)
"""The type of an argument that names a bot: a shell completes it as a file."""

file_argument = click.argument("file", type=BOT, required=False, callback=require_bot)
"""The argument FILE, which is `bot.py` by default. A folder means the `bot.py` in it."""


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: str) -> float | None:
    found = re.fullmatch(r"(\d+)([smhd])", value)
    return None if found is None else float(int(found[1]) * _UNITS[found[2]])


def parse_duration(value: str) -> float:
    """Read a duration such as 90s, 15m, 2h or 7d, and return its seconds.

    Raises:
        click.BadParameter: the text is none.
    """
    seconds = _seconds(value)
    if not seconds:
        raise click.BadParameter(f"{value!r} is no duration. Write 90s, 15m, 2h or 7d.")
    return seconds


def parse_time(value: str) -> float:
    """Read a time: ISO 8601; a time of day of the last 24 hours; or how long ago it was, such as 90s, 15m, 2h or 7d.

    A time without a zone is UTC.

    Returns:
        Unix seconds.
    """
    if (ago := _seconds(value)) is not None:
        return time.time() - ago
    try:
        return _time_of(value).timestamp()
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time. Write 2026-11-05T17:30, 17:30, or how long ago: 90s, 15m, 2h, 7d."
        ) from None


def _time_of(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        if ":" not in value:  # Python reads 2026-11 as a time of day, with a zone
            raise
    of_day = clock.fromisoformat(value)
    now = datetime.now(of_day.tzinfo or UTC)
    at = datetime.combine(now.date(), of_day, now.tzinfo)
    return at if at <= now else at - timedelta(days=1)


def iso_time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


_TIMES: Final = ("at", "due", "until", "not_before")


def columns(thing: object, *names: str) -> dict[str, Any]:
    """Return attributes of a thing, each by its name. Times, which have such names as `due` and `first_at`, are texts."""
    values = {name: getattr(thing, name) for name in names}
    return {
        name: iso_time(value) if name in _TIMES or name.endswith("_at") else value for name, value in values.items()
    }


def call_name(call: Mapping[str, Any]) -> str:
    """Return the name of a stored call to Linq, such as `chats.messages.send`."""
    return f"{call.get('noun')}.{call.get('verb')}"


def print_table(rows: Sequence[dict[str, Any]], *, empty: str = "") -> None:
    """Print rows in columns. A column in which every value is None, "" or 0 is left out.

    On a terminal that is too narrow, each row is a block of lines.
    """
    if not rows:
        click.echo(empty)
        return
    names = [name for name in rows[0] if any(row[name] not in (None, "", 0) for row in rows)]
    cells = [[name.replace("_", " ") for name in names]] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) - 2 > shutil.get_terminal_size().columns:
        # Lines that the terminal breaks would not be columns any more.
        for number, values in enumerate(cells[1:]):
            click.echo(nl=number > 0)
            print_facts(dict(zip(names, values, strict=True)))
        return
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(line, bold=number == 0 or None)


def print_facts(row: dict[str, Any]) -> None:
    """Print the facts about one thing, one on a line, without those that are None, "" or []."""
    shown = {name.replace("_", " "): value for name, value in row.items() if value not in (None, "", [])}
    width = max(12, *map(len, shown)) if shown else 12
    for name, value in shown.items():
        click.echo(f"{name:<{width}} {printable_lines(str(value))}")


def print_started(row: dict[str, Any]) -> None:
    """Print one line of JSON that says what has started, and flush it: a program may be waiting for this line."""
    click.echo(printable_json(row))
    sys.stdout.flush()


def warn(text: str) -> None:
    click.secho(text, fg="yellow", err=True)


class Whole(click.IntRange):
    """A whole number in a range. The error about another value says the range in words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            bounds = f"of {self.min} or more" if self.max is None else f"from {self.min} to {self.max}"
            self.fail(f"{value} is not a whole number {bounds}.", param, ctx)


class Number(click.FloatRange):
    name = "number"


LINE_EVERY_S: Final = 10.0
"""Seconds between two lines about the progress of long work, where no bar can be shown."""


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of work on standard error. Yield a function that takes the work done and the total work.

    It is a bar on a terminal, elsewhere a line from time to time, and nothing with --json. The function ends the work after
    Ctrl-C.
    """
    from asyncio import CancelledError  # imported late, as below

    ctx, outer, next_at = click.get_current_context(silent=True), _current_task(), time.monotonic() + LINE_EVERY_S
    is_shown, has_bar = ctx is None or not ctx.params.get("as_json"), sys.stderr.isatty()
    with ExitStack() as stack:
        bar: Any = None

        def progress(done: int, total: int) -> None:
            nonlocal bar, next_at
            share = done / max(total, 1)
            if is_shown and has_bar:
                # Not before: the work may end with an error before it begins.
                bar = bar or stack.enter_context(click.progressbar(length=1000, label=label, file=sys.stderr))
                bar.update(int(share * 1000) - bar.pos)
            elif is_shown and time.monotonic() >= next_at:
                next_at += LINE_EVERY_S
                click.echo(f"{label}: {share * 100:.0f} %", err=True)
            task = outer or _current_task()
            if task is not None and (task.done() or task.cancelling()):
                # Ctrl-C cancels the task, which may not notice: the work keeps its event loop, or runs in a thread.
                raise CancelledError

        yield progress


def _current_task() -> asyncio.Task[Any] | None:
    import asyncio  # imported late: it takes a while, and an error may be printed before it can be imported

    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        return None


def _cell(value: Any) -> str:
    # An id, an error or a question with a numbered list may hold line breaks, and a row is one line.
    return _without_controls("" if value is None else str(value).replace("\n", " "), lambda _: "�")


_JOINERS: Final = "\u200c\u200d"
"""The zero-width characters that change how their neighbours look. Python does not count them as printable."""


def printable(text: str) -> str:
    """Return a text on one line, with escapes for control characters and for line breaks."""
    return _without_controls(text, lambda letter: repr(letter)[1:-1])


def _without_controls(text: str, instead: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or _is_space(letter) or _joins(text, at) else instead(letter)
        for at, letter in enumerate(text)
    )


def printable_lines(text: str) -> str:
    """Return a text with its lines and its indentation, and with escapes for all other control characters."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def printable_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON in which characters that a terminal obeys are JSON's own escapes.

    Other characters beyond ASCII are not escaped, so that people can read them.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Only strings hold such characters. The line breaks are those between the values.
    return "\n".join(
        line if line.isprintable() else "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)
        for line in text.split("\n")
    )


def _is_space(letter: str) -> bool:
    """Return True for any space, such as that of `7:00\\u202fPM` or the wide one of Japanese.

    Python calls only the space of ASCII printable.
    """
    return unicodedata.category(letter) == "Zs"


def _joins(text: str, at: int) -> bool:
    """Return True for a joiner between two printable characters, as in family emoji and in Persian words."""
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    return text[at] in _JOINERS and len(around) == 2 and around.isprintable()
