"""`linqbot broadcasts`: list the broadcasts of a bot, show one, pause, resume or cancel it. See `ops/broadcasts.py`.

The commands work next to a running server, which notices the changes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, get_args

import click

from linqbot.cli.output import iso_time, json_option, print_facts, print_table, printable, progress_bar, yes_option
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.linq.types.proactive import RecipientOutcome

if TYPE_CHECKING:
    from linqbot.linq.types.proactive import Broadcast, Recipient
    from linqbot.storage.backend import Storage
    from linqbot.storage.broadcasts import Order

_COUNTS = ("people", "sent", "opted_out", "refused", "failed", "cancelled", "pending")
_LOOK_EVERY_S = 0.5
_BAR = 40


@click.group("broadcasts")
def command() -> None:
    """List broadcasts; show, pause, resume or cancel one. Works next to a running server."""


@command.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="List at most this many.")
@storage_option
@json_option
def list_(limit: int, storage: str | None, as_json: bool) -> None:
    """List the broadcasts, the newest first, with the number of people for each outcome."""

    async def work() -> list[dict[str, Any]]:
        async with open_configured_storage(storage) as inbox:
            return [_row(each) for each in await inbox.broadcasts(limit=limit)]

    print_table(asyncio.run(work()), as_json=as_json, empty="There are no broadcasts.")


@command.command("show")
@click.argument("name")
@click.option("--watch", is_flag=True, help="Wait until it has ended, with a progress bar.")
@click.option(
    "--outcome", type=click.Choice(get_args(RecipientOutcome)), help="Also list the people with this outcome."
)
@storage_option
@json_option
def show(*, name: str, watch: bool, outcome: RecipientOutcome | None, storage: str | None, as_json: bool) -> None:
    """Show the broadcast NAME: the people for each outcome, and why some were refused."""
    from linqbot.ops import broadcasts

    async def work() -> tuple[broadcasts.BroadcastReport, list[dict[str, Any]]]:
        async with open_configured_storage(storage) as inbox:
            if watch:
                await _watch(inbox, name)
            report = await broadcasts.report(inbox, name)
            people = [] if outcome is None else [_person(one) async for one in broadcasts.people(inbox, name, outcome)]
        return report, people

    report, people = asyncio.run(work())
    row = _row(report.broadcast)
    if as_json:
        row |= {"reasons": {"refused": report.refused, "failed": report.failed}}
        print_facts(row if outcome is None else row | {"recipients": people}, as_json=True)
        return
    print_facts({name: value for name, value in row.items() if value != 0}, as_json=False)
    for title, reasons in (("refused", report.refused), ("failed", report.failed)):
        for reason, count in reasons.items():
            click.echo(f"{title:<12} {count} × {printable(reason)}")
    click.echo(_bar(report.broadcast))
    if outcome is not None:
        print_table(people, as_json=False, empty=f"No recipient is {outcome}.")


@command.command("pause")
@click.argument("name")
@storage_option
@json_option
def pause(name: str, storage: str | None, as_json: bool) -> None:
    """Pause the broadcast NAME. What is being sent now is still sent."""
    _carry_out(name, "pause", storage, as_json=as_json)


@command.command("resume")
@click.argument("name")
@storage_option
@json_option
def resume(name: str, storage: str | None, as_json: bool) -> None:
    """Resume the paused broadcast NAME at the next person."""
    _carry_out(name, "resume", storage, as_json=as_json)


@command.command("cancel")
@click.argument("name")
@yes_option
@storage_option
@json_option
def cancel(*, name: str, yes: bool, storage: str | None, as_json: bool) -> None:
    """Cancel the broadcast NAME: no further person gets it. It cannot be begun again under this name."""
    if not yes:
        _check(name, "cancel", storage)
        click.confirm(f"Cancel the broadcast {name}? It cannot be resumed", abort=True, err=True)
    _carry_out(name, "cancel", storage, as_json=as_json)


def _check(name: str, order: Order, url: str | None) -> None:
    """Refuse an order that cannot be carried out, before the question whether it should be."""
    from linqbot.ops import broadcasts

    async def work() -> None:
        async with open_configured_storage(url) as inbox:
            await broadcasts.check(inbox, name, order)

    asyncio.run(work())


def _carry_out(name: str, order: Order, url: str | None, *, as_json: bool) -> None:
    from linqbot.ops import broadcasts

    async def work() -> Broadcast:
        async with open_configured_storage(url) as inbox:
            return await broadcasts.carry_out(inbox, name, order)

    row = _row(asyncio.run(work()))
    print_facts(row if as_json else {name: value for name, value in row.items() if value != 0}, as_json=as_json)


async def _watch(inbox: Storage, name: str) -> None:
    from linqbot.ops import broadcasts

    seen = 0
    with progress_bar((await broadcasts.find(inbox, name)).people, name) as advance:

        def note(broadcast: Broadcast) -> None:
            nonlocal seen
            reached = broadcast.people - broadcast.pending
            advance(reached - seen)
            seen = reached

        await broadcasts.wait_for_end(inbox, name, pause=lambda: asyncio.sleep(_LOOK_EVERY_S), note=note)


def _row(broadcast: Broadcast) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": broadcast.name,
        "status": broadcast.status,
        "line": broadcast.line,
        "per_minute": broadcast.per_minute,
        "created_at": iso_time(broadcast.created_at.timestamp()),
    }
    return facts | {name: getattr(broadcast, name) for name in _COUNTS}


def _person(recipient: Recipient) -> dict[str, Any]:
    return {
        "n": recipient.n,
        "handle": recipient.handle,
        "outcome": recipient.outcome,
        "at": None if recipient.at is None else iso_time(recipient.at.timestamp()),
        "reason": recipient.reason,
    }


def _bar(broadcast: Broadcast) -> str:
    """Return a progress bar, with the time that the rest takes at its pace while it is running."""
    reached = broadcast.people - broadcast.pending
    share = reached / broadcast.people if broadcast.people else 1.0
    full = int(share * _BAR)
    left = ""
    if broadcast.status == "running" and broadcast.pending:
        left = f", {_duration(broadcast.pending / broadcast.per_minute * 60)} left"
    return f"[{'#' * full}{'-' * (_BAR - full)}] {reached} of {broadcast.people}{left}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
