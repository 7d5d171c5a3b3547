"""`linqbot inbox`: list waiting deliveries and dead letters, and retry, replay, purge or back them up.

The commands work next to a running server, which notices deliveries that are put back. None prints what people wrote,
with two exceptions: `show --body`, and the tracebacks that `replay` prints. The storage does the work
(`storage/upkeep.py`). `retry` and `replay` are in `inbox_replay.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from linqbot.cli import completions
from linqbot.cli.commands.inbox_replay import (
    lane_option,
    limit_option,
    period_option,
    print_count,
    replay,
    retry,
    type_option,
)
from linqbot.cli.output import (
    iso_time,
    json_option,
    parse_time,
    print_facts,
    print_table,
    printable_json,
    share_bar,
    yes_option,
)
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.errors import StorageError
from linqbot.linq.events.delivery import decode
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer


@click.group("inbox")
def command() -> None:
    """List waiting deliveries and dead letters; retry, replay, back up. Works next to a running server."""


@command.command("list")
@lane_option
@type_option
@click.option(
    "--ambiguous",
    is_flag=True,
    help="List the calls and steps (ctx.once) instead of which it is unknown if they were done.",
)
@limit_option
@storage_option
@json_option
def list_(
    *, lane: str | None, event_type: str | None, ambiguous: bool, limit: int, storage: str | None, as_json: bool
) -> None:
    """List the deliveries that wait to be handled, in the order in which they were accepted."""
    if ambiguous:
        print_table(asyncio.run(_ambiguous(storage, limit)), as_json=as_json, empty="Nothing is ambiguous.")
        return

    async def work() -> list[dict[str, Any]]:
        async with open_configured_storage(storage) as inbox:
            waiting = await inbox.waiting(lane=lane, type=event_type, limit=limit)
        return [
            {
                "id": each.id,
                "state": each.state,
                "type": each.type,
                "lane": each.lane,
                "received_at": iso_time(each.received_at),
                "attempts": each.attempts,
                "crashes": each.crashes,
                "replay": each.replay,
                "not_before": iso_time(each.not_before),
                "error": each.error,
            }
            for each in waiting
        ]

    rows = asyncio.run(work())
    print_table(rows, as_json=as_json, empty="Nothing waits.")
    _mention_dev(rows, storage)


async def _ambiguous(url: str | None, limit: int) -> list[dict[str, Any]]:
    async with open_configured_storage(url) as inbox:
        return [{"id": entry.turn, **_entry(entry), "key": entry.key} for entry in await inbox.ambiguous(limit=limit)]


@command.command("dead")
@lane_option
@type_option
@period_option("Dead-lettered")
@limit_option
@storage_option
@json_option
def dead(
    *,
    lane: str | None,
    event_type: str | None,
    since: float | None,
    until: float | None,
    limit: int,
    storage: str | None,
    as_json: bool,
) -> None:
    """List dead letters: deliveries that were given up. The newest is first."""

    async def work() -> list[dict[str, Any]]:
        async with open_configured_storage(storage) as inbox:
            letters = await inbox.dead_letters(lane=lane, type=event_type, since=since, until=until, limit=limit)
        return [
            {
                "id": letter.delivery.id,
                "type": letter.delivery.type,
                "lane": letter.delivery.lane,
                "dead_lettered_at": iso_time(letter.dead_lettered_at),
                "attempts": letter.attempts,
                "crashes": letter.crashes,
                "handler": letter.handler,
                "error": without_messages(letter.error).rpartition("\n")[2],
            }
            for letter in letters
        ]

    rows = asyncio.run(work())
    print_table(rows, as_json=as_json, empty="There are no dead letters.")
    _mention_dev(rows, storage)


@command.command("show")
@click.argument("delivery_id", metavar="ID", shell_complete=completions.waiting)
@click.option(
    "--body",
    is_flag=True,
    help="Also print what was received and the text of an error. Both may hold people's messages.",
)
@storage_option
@json_option
def show(delivery_id: str, body: bool, storage: str | None, as_json: bool) -> None:
    """Show one delivery: its state, and the calls that were made for it."""

    async def work() -> dict[str, Any]:
        async with open_configured_storage(storage) as inbox:
            return await _description(inbox, delivery_id, body=body)

    row = asyncio.run(work())
    if not as_json:
        row["journal"] = "".join(f"\n  {_line(entry)}" for entry in row["journal"])
        if "body" in row:
            row["body"] = printable_json(row["body"], indent=1)
        row["error"] = row["error"] and "\n" + row["error"]
    print_facts(row, as_json=as_json)


async def _description(inbox: Storage, delivery_id: str, *, body: bool) -> dict[str, Any]:
    found = await inbox.delivery(delivery_id)
    if found is None:
        raise StorageError(
            f"There is no delivery {delivery_id}. Handled deliveries are kept only with history on. "
            "To see what there is: linqbot inbox list, linqbot inbox dead"
        )
    row: dict[str, Any] = {
        "id": found.id,
        "type": found.type,
        "lane": found.lane,
        "received_at": iso_time(found.received_at),
        "state": "done",
        "error": None,
    }
    letter = await inbox.dead_letter(delivery_id)
    waiting = await inbox.waiting(delivery_id=delivery_id)
    if waiting:
        (each,) = waiting
        row |= {"state": each.state, "attempts": each.attempts, "crashes": each.crashes, "replay": each.replay}
        row |= {"not_before": iso_time(each.not_before), "error": each.error}
    elif letter:
        row |= {"state": "dead", "attempts": letter.attempts, "crashes": letter.crashes, "replay": letter.replay}
        row |= {"dead_lettered_at": iso_time(letter.dead_lettered_at), "handler": letter.handler}
        row["error"] = letter.error if body else without_messages(letter.error)
    row["journal"] = [_entry(entry) for entry in await _entries(inbox, delivery_id, row.get("replay"))]
    if body:
        decoded = decode(found.body)
        row["body"] = found.body.decode("utf-8", "replace") if decoded is None else decoded
    return row


async def _entries(inbox: Storage, delivery_id: str, last_replay: int | None) -> list[JournalEntry]:
    """Return the journal entries of the delivery and of all its replays.

    Without `last_replay`, when it left inbox and dead letters, entries are read until a replay has none.
    """
    found: list[JournalEntry] = []
    for number in itertools.count():
        entries = await inbox.entries(delivery_id, number)
        if number > (last_replay or 0) and not entries:
            return found
        found += entries
    return found


def _entry(entry: JournalEntry) -> dict[str, Any]:
    call = decode(entry.call) or {}
    return {
        "replay": entry.replay,
        "slot": entry.slot,
        "call": f"{call.get('noun')}.{call.get('verb')}",
        "status": entry.status,
        "delivery": entry.delivery,
        "message_id": entry.message_id,
        "first_at": iso_time(entry.first_at),
    }


def _line(entry: dict[str, Any]) -> str:
    parts = (entry["call"], entry["status"], entry["delivery"], entry["message_id"], entry["first_at"])
    return f"{entry['replay']}/{entry['slot']} " + " ".join(part for part in parts if part)


command.add_command(retry)
command.add_command(replay)


@command.command("scheduled")
@lane_option
@limit_option
@storage_option
@json_option
def scheduled(lane: str | None, limit: int, storage: str | None, as_json: bool) -> None:
    """List scheduled sends and other timers, the earliest first, with the people that each is for."""

    async def work() -> list[dict[str, Any]]:
        async with open_configured_storage(storage) as inbox:
            timers = await inbox.scheduled(lane=lane, limit=limit)
        return [_timer(timer) for timer in timers]

    rows = asyncio.run(work())
    if as_json:
        print_table(rows, as_json=True, empty="")
        return
    shown = [
        {
            "due": row["due"],
            "kind": row["kind"],
            # A timer without people, such as one of an older release, is known by its lane.
            "for": ", ".join(row["people"]) or row["lane"],
            "calls": ", ".join(row["calls"]),
            "id": row["id"],
        }
        for row in rows
    ]
    print_table(shown, as_json=False, empty="Nothing is scheduled.")
    _mention_dev(rows, storage)


def _timer(timer: Timer) -> dict[str, Any]:
    """Describe a timer, without the text that it will send."""
    payload = decode(timer.payload)
    payload = payload if isinstance(payload, dict) else {}
    origin, calls = payload.get("origin"), payload.get("calls")
    handles = origin.get("handles") if isinstance(origin, dict) else None
    return {
        "id": timer.id,
        "due": iso_time(timer.due),
        "kind": timer.kind,
        "people": [str(handle) for handle in handles] if isinstance(handles, list) else [],
        "calls": [f"{call.get('noun')}.{call.get('verb')}" for call in calls if isinstance(call, dict)]
        if isinstance(calls, list)
        else [],
        "lane": timer.lane,
        "grace_s": timer.grace_s,
    }


@command.command("purge")
@click.option(
    "--before",
    type=parse_time,
    metavar="TIME",
    required=True,
    help="Dead-lettered before this time: 2026-11-05, or 30d for 30 days ago.",
)
@yes_option
@storage_option
@json_option
def purge(before: float, yes: bool, storage: str | None, as_json: bool) -> None:
    """Delete old dead letters. They cannot be restored."""

    async def work() -> int:
        async with open_configured_storage(storage) as inbox:
            letters = await inbox.dead_letters(until=before, limit=1)
            if letters and not yes:
                click.confirm(f"Delete the dead letters from before {iso_time(before)}?", abort=True, err=True)
            purged = 0
            while gone := await inbox.purge(before=before):
                purged += gone
            return purged

    print_count(asyncio.run(work()), "purged", "{} deleted.", as_json=as_json)


@command.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@storage_option
@json_option
def backup(path: Path, storage: str | None, as_json: bool) -> None:
    """Copy the storage to PATH while it is served. To restore it, serve the copy."""
    started = time.monotonic()

    async def work() -> None:
        with share_bar("Copying") as progress:
            async with open_configured_storage(storage) as inbox:
                await inbox.backup(path, progress=progress)

    asyncio.run(work())
    row = {"backup": str(path), "bytes": path.stat().st_size, "seconds": round(time.monotonic() - started, 3)}
    print_facts(row, as_json=as_json)


def _mention_dev(rows: Sequence[object], storage: str | None) -> None:
    """Say that a linqbot dev in this folder has its own storage, if nothing was found in the one that was looked at."""
    from linqbot.cli.storage_option import hint

    if not rows and storage is None and (said := hint()):
        click.secho(said, fg="yellow", err=True)


_CHAINS = ("The above exception was the direct cause", "During handling of the above exception")
_IN_A_GROUP = re.compile(r"^ *[|+]-? ?")


def without_messages(error: str) -> str:
    """Return a stored error without the messages of exceptions, which may quote what a person wrote.

    A traceback keeps its frames and the types of its exceptions. An error without a traceback is linqbot's own sentence,
    and is returned unchanged.
    """
    if "Traceback (most recent call last)" not in error:
        return error
    kept: list[str] = []
    in_frames = False
    for line in error.splitlines():
        inner = _IN_A_GROUP.sub("", line)
        if "Traceback (most recent call last):" in line and not in_frames:
            in_frames = True
            kept.append(line)
        elif in_frames and inner.startswith("  "):
            kept.append(line)
        elif in_frames:
            # The first word is the exception's type. The rest, which may have any number of lines, is its message.
            in_frames = False
            kept.append(re.split(r"[^\w.]", inner, maxsplit=1)[0])
        elif line.startswith(_CHAINS):
            kept.append(line)
    return "\n".join(kept)
