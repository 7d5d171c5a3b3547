"""`linqbot inbox`: list waiting deliveries and dead letters, and retry, replay, purge or back them up.

The commands work next to a running server, which notices deliveries that are put back. None prints what people wrote,
with two exceptions: `show --body`, and the tracebacks that `replay` prints. The storage does the work
(`storage/upkeep.py`); a replay without sending is in `ops/dry_run.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic_core import to_json

from linqbot.cli import completions, logs
from linqbot.cli.failure import ReplayFailed
from linqbot.cli.output import iso_time, json_option, parse_time, print_facts, print_table, progress_bar, yes_option
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.errors import StorageError
from linqbot.events.delivery import decode
from linqbot.settings import Settings, from_env
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Selection

F = TypeVar("F", bound=Callable[..., Any])
_BATCH_SIZE = 200

lane_option = click.option("--lane", help="Only this lane, such as c:<chat id>.")
type_option = click.option(
    "--type",
    "event_type",
    shell_complete=completions.event_types,
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
            row["body"] = to_json(row["body"], indent=1).decode()
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

    Args:
        last_replay: Number of the last replay, if the delivery is still in the inbox or a dead letter. Otherwise entries
            are read until a replay has none.
    """
    found: list[JournalEntry] = []
    for replay in itertools.count():
        entries = await inbox.entries(delivery_id, replay)
        if replay > (last_replay or 0) and not entries:
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


@command.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=completions.dead)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@lane_option
@type_option
@period_option("Accepted")
@storage_option
@json_option
def retry(
    *,
    ids: tuple[str, ...],
    everything: bool,
    lane: str | None,
    event_type: str | None,
    since: float | None,
    until: float | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Put dead letters back at the end of their lanes. Messages already sent are not sent again."""
    selection = Selection(ids or None, since, until, event_type, lane)
    if selection == Selection() and not everything:
        raise click.UsageError("Say which: ids, --type, --lane, --since, --until, or --all.")

    async def work() -> int:
        async with open_configured_storage(storage) as inbox:
            meant = await inbox.replayable(selection, dead_only=True)
            _refuse_missing(ids, meant, "is not a dead letter. See: linqbot inbox dead.")
            _warn_of_old_code(storage)
            return await _in_batches(inbox.retry, meant, "Putting back")

    _print_count(asyncio.run(work()), "retried", "{} put back.", as_json=as_json)


@command.command("replay")
@click.argument("file", required=False, shell_complete=completions.bot_files)
@click.option("--id", "ids", multiple=True, shell_complete=completions.dead, help="Only this delivery; repeatable.")
@click.option("--chat", help="Only deliveries of this chat.")
@type_option
@period_option("Accepted")
@click.option("--reads", is_flag=True, help="Allow handlers to read from Linq and to fetch media.")
@click.option(
    "--live",
    is_flag=True,
    help="Let the server handle the deliveries again and really send, under new idempotency keys.",
)
@click.option(
    "--against",
    metavar="NEW",
    shell_complete=completions.bot_files,
    help="Compare what was done with what the bot in this file would do. FILE is then the present bot, if it is given.",
)
@click.option("--diff", is_flag=True, help="Compare as --against, or FILE itself, and show texts of then and now.")
@click.option("--handler", metavar="NAME", help="Compare: only what this handler takes or took.")
@click.option("--limit", type=click.IntRange(1), help="Compare: only the newest deliveries, at most this many.")
@click.option("--allow-different", is_flag=True, help="Compare: exit with 1 for new failures only.")
@yes_option
@storage_option
@json_option
def replay(
    *,
    file: str | None,
    ids: tuple[str, ...],
    chat: str | None,
    event_type: str | None,
    since: float | None,
    until: float | None,
    reads: bool,
    live: bool,
    against: str | None,
    diff: bool,
    handler: str | None,
    limit: int | None,
    allow_different: bool,
    yes: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Run the handlers of the bot in FILE on stored deliveries, and print what they would send.

    Nothing is sent or changed. Handled deliveries can be replayed as long as history keeps them; dead letters always.
    With --live, and without FILE, the server handles the deliveries again as if it had never answered. Messages older
    than the bot's max_age_s then reach only handlers with late=True.

    With --against or --diff it is a dry deploy: what the new code would do is compared with what was done, and the
    differences are grouped by cause. It exits with 0 if nothing differs, and with 1 if something differs or fails.
    """
    selection = Selection(ids or None, since, until, event_type, None if chat is None else f"c:{chat}")
    if selection == Selection():
        raise click.UsageError("Say which: --id, --chat, --type, --since or --until.")
    if against is not None or diff:
        if live:
            raise click.UsageError("--live really sends, so it goes neither with --against nor with --diff.")
        if (new := against or file) is None:
            raise click.UsageError("Give the file with the new bot: --against new_bot.py")
        # Imported here: the other commands of the group need no bot.
        from linqbot.cli.commands.upkeep.replay_diff import Wanted, compare

        wanted = Wanted(new, file if against else None, selection, handler, limit, reads=reads)
        compare(wanted, storage, with_texts=diff, allow_different=allow_different, as_json=as_json)
        return
    if handler is not None or limit is not None or allow_different:
        raise click.UsageError("--handler, --limit and --allow-different go with --against or --diff.")
    if live:
        _print_count(asyncio.run(_live(storage, selection, yes=yes)), "replayed", "{} queued again.", as_json=as_json)
        return
    if file is None:
        raise click.UsageError("Give the FILE with the bot to try, or --live to let the server handle the deliveries.")
    settings = from_env(storage=storage)
    logs.configure(settings.log_level, settings.log_format)
    if failed := asyncio.run(_dry_run(settings, file, selection, reads=reads, as_json=as_json)):
        raise ReplayFailed(f"{failed} of the handlers failed, and nothing was sent. Their errors are shown above.")


async def _live(url: str | None, selection: Selection, *, yes: bool) -> int:
    async with open_configured_storage(url) as inbox:
        meant = await _replayable(inbox, selection)
        if not yes:
            click.confirm(
                f"Handle {_deliveries(len(meant))} again, for real? People get answers again", abort=True, err=True
            )
        _warn_of_old_code(url)
        return await _in_batches(inbox.replay_live, meant, "Queueing")


async def _dry_run(settings: Settings, file: str, selection: Selection, *, reads: bool, as_json: bool) -> int:
    """Run the handlers without sending, print what they would do, and return the number of those that failed."""
    # Imported here: the other commands of the group need no bot and no client.
    from linqbot.cli.commands.upkeep.replay_diff import choose
    from linqbot.client.client import Client
    from linqbot.ops.bot_file import load_bot
    from linqbot.ops.dry_run import DryRun
    from linqbot.ops.simulate import Simulation

    if reads:
        settings.check_reads()
    bot = load_bot(file)
    rows: list[dict[str, Any]] = []

    def report(done: Simulation) -> None:
        calls = [("now", call) for call in done.calls] + [("later", call) for call in done.later]
        made = [{"call": call.name, "method": call.method, "path": call.path, "when": when} for when, call in calls]
        error = "".join(traceback.format_exception(done.error)) if done.error else None
        begun = [{"name": each.name, "people": each.people} for each in done.broadcasts]
        delivery = {"id": done.delivery.id, "type": done.delivery.type, "handler": done.handler}
        found = {"calls": made, "broadcasts": begun, "error": error, "note": done.note, "began_with": done.began_with}
        rows.append(delivery | found)
        if not as_json:
            _print_dry_run(rows[-1])

    async with (
        open_configured_storage(settings.storage) as inbox,
        Client(settings.api_key or "dry-run", base_url=settings.base_url) as client,
    ):
        meant = await _replayable(inbox, selection)
        plugins = settings.load_plugins(bot.plugins)
        chosen = await choose(inbox, selection)
        async for done in DryRun(bot, client, inbox, reads=reads, plugins=plugins).replay(meant, chosen=chosen):
            report(done)
    if as_json:
        print_table(rows, as_json=True, empty="")
    return sum(row["error"] is not None for row in rows)


def _print_dry_run(row: dict[str, Any]) -> None:
    click.secho(f"{row['id']} {row['type']}", bold=True)
    if not row["began_with"]:
        click.echo(f"  handled by {row['handler']}" if row["handler"] else "  no handler")
    for call in row["calls"]:
        later = " later" if call["when"] == "later" else ""
        click.echo(f"  would call {call['call']}{later} ({call['method']} {call['path']})")
    for each in row["broadcasts"]:
        people = "1 person" if each["people"] == 1 else f"{each['people']} people"
        click.echo(f"  would begin broadcast {each['name']} to {people}")
    if row["note"]:
        click.echo(f"  {row['note']}")
    if row["error"]:
        click.secho(row["error"].rstrip(), fg="red")


async def _replayable(inbox: Storage, selection: Selection) -> list[str]:
    meant = await inbox.replayable(selection)
    _refuse_missing(
        selection.ids or (), meant, "cannot be replayed: it is still waiting, or is not kept. See: linqbot inbox list."
    )
    if not meant:
        raise StorageError(
            "No stored delivery matches. Handled deliveries are kept only with history on. Dead letters are always kept: "
            "linqbot inbox dead"
        )
    return meant


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

    _print_count(asyncio.run(work()), "purged", "{} deleted.", as_json=as_json)


@command.command("backup")
@click.argument("path", type=click.Path(path_type=Path))
@storage_option
@json_option
def backup(path: Path, storage: str | None, as_json: bool) -> None:
    """Copy the storage to PATH while it is served. To restore it, serve the copy."""
    started = time.monotonic()

    async def work() -> None:
        at = 0
        with progress_bar(1000, "Copying") as advance:

            def progress(done: int, total: int) -> None:
                nonlocal at
                advance(done * 1000 // max(total, 1) - at)
                at = done * 1000 // max(total, 1)

            async with open_configured_storage(storage) as inbox:
                await inbox.backup(path, progress=progress)

    asyncio.run(work())
    row = {"backup": str(path), "bytes": path.stat().st_size, "seconds": round(time.monotonic() - started, 3)}
    print_facts(row, as_json=as_json)


def _warn_of_old_code(storage: str | None) -> None:
    """Warn if the running server, which handles what is put back, runs older code than the bot's files hold."""
    # Imported here: the other commands of the group do not need it.
    from linqbot.ops.served_code import old_code

    old = old_code(from_env(storage=storage).storage)
    if old is not None:
        names = ", ".join(old.changed)
        click.secho(
            f"Process {old.pid} serves this storage with the code of {iso_time(old.started_at)}, and {names} has changed "
            "since. The old code handles the deliveries. To use the new code, restart linqbot serve and retry again.",
            fg="yellow",
            err=True,
        )


def _mention_dev(rows: Sequence[object], storage: str | None) -> None:
    """Say that a linqbot dev in this folder has its own storage, if nothing was found in the one that was looked at."""
    from linqbot.cli.dev_storage import hint

    if not rows and storage is None and (said := hint()):
        click.secho(said, fg="yellow", err=True)


async def _in_batches(act: Callable[[Sequence[str]], Any], ids: Sequence[str], label: str) -> int:
    """Act on the ids in batches. The transactions stay short, so a running server can write in between."""
    count = 0
    with progress_bar(len(ids), label) as advance:
        for start in range(0, len(ids), _BATCH_SIZE):
            batch = ids[start : start + _BATCH_SIZE]
            count += await act(batch)
            advance(len(batch))
    return count


def _refuse_missing(ids: Sequence[str] | Any, found: Sequence[str], problem: str) -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        more = f" The same is true of {len(missing) - 1} more." if len(missing) > 1 else ""
        raise StorageError(f"{missing[0]} {problem}{more} Nothing was done.")


def _print_count(count: int, name: str, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_facts({name: count}, as_json=True)
    else:
        click.echo(sentence.format(_deliveries(count)))


def _deliveries(count: int) -> str:
    return f"{count} deliver{'y' if count == 1 else 'ies'}"


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
