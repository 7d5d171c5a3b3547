"""Options that choose deliveries, and the count of those that a command has changed, for the commands of `linqbot inbox`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from linqbot.cli import completions
from linqbot.cli.event_types import advice_on
from linqbot.cli.output import parse_time, print_facts

F = TypeVar("F", bound=Callable[..., Any])


def _doubted(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Warn of a type that is probably misspelt. It is not refused: Linq may have types that linqbot does not know."""
    if value is not None:
        # Imported here, so that shell completion and --help do not wait for the events to be imported.
        from linqbot.events.parse import EVENT_TYPES

        if value not in EVENT_TYPES:
            click.secho(f"linqbot knows no event type {value}. {advice_on(value)}", fg="yellow", err=True)
    return value


lane_option = click.option("--lane", help="Only this lane, such as c:<chat id>.")
type_option = click.option(
    "--type",
    "event_type",
    shell_complete=completions.event_types,
    callback=_doubted,
    help="Only this event type, such as message.received.",
)
limit_option = click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="List at most this many."
)


def period_option(what: str) -> Callable[[F], F]:
    """Add the options --since and --until. Their help begins with `what`, such as "Accepted"."""

    def both(f: F) -> F:
        since = click.option(
            "--since",
            type=parse_time,
            metavar="TIME",
            help=f"{what} at this time or later: 2026-11-05T17:30, or 2h for two hours ago.",
        )
        return since(click.option("--until", type=parse_time, metavar="TIME", help=f"{what} before this time.")(f))

    return both


def print_count(count: int, name: str, sentence: str, *, as_json: bool) -> None:
    """Print the number of deliveries that a command has changed.

    Args:
        name: Its key in the JSON.
        sentence: Its line for people. `{}` stands for the deliveries.
    """
    if as_json:
        print_facts({name: count}, as_json=True)
    else:
        click.echo(sentence.format(deliveries(count)))


def deliveries(count: int) -> str:
    """Return a number of deliveries in words, such as `1 delivery`."""
    return f"{count} deliver{'y' if count == 1 else 'ies'}"
