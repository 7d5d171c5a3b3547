"""`linqbot inbox retry` and `linqbot inbox replay`: let stored deliveries be handled again, for real or without sending.

The server handles the deliveries that these commands put back. A replay without sending runs here: `ops/dry_runs/dry_run.py`
does it, and `ops/dry_runs/` compares the calls with those that were made then. The options that choose deliveries are
here too; other commands of `linqbot inbox` use them.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any, TypeVar

import click

from linqbot.cli import completions, logs
from linqbot.cli.completions import advice_on
from linqbot.cli.failure import ReplayFailed
from linqbot.cli.output import (
    bot_files,
    iso_time,
    json_option,
    parse_time,
    print_facts,
    print_table,
    printable,
    printable_lines,
    progress_bar,
    yes_option,
)
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.errors import StorageError
from linqbot.linq.events.lane import lane_of_chat
from linqbot.settings import Settings, from_env
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Selection

F = TypeVar("F", bound=Callable[..., Any])


def _doubted(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Warn of a type that is probably misspelt. It is not refused: Linq may have types that linqbot does not know."""
    if value is not None:
        # Imported here, so that shell completion and --help do not wait for the events to be imported.
        from linqbot.linq.events.parse import EVENT_TYPES

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
    """Print the number of deliveries that a command has changed. `{}` in the sentence stands for the deliveries."""
    if as_json:
        print_facts({name: count}, as_json=True)
    else:
        click.echo(sentence.format(deliveries(count)))


def deliveries(count: int) -> str:
    """Return a number of deliveries in words, such as `1 delivery`."""
    return f"{count} deliver{'y' if count == 1 else 'ies'}"


_BATCH_SIZE = 200


@click.command("retry")
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
            chosen = await inbox.replayable(selection, dead_only=True)
            _refuse_missing(ids, chosen, "is not a dead letter. See: linqbot inbox dead.")
            _warn_of_old_code(storage)
            return await _in_batches(inbox.retry, chosen, "Putting back")

    print_count(asyncio.run(work()), "retried", "{} put back.", as_json=as_json)


@click.command("replay")
@click.argument("file", required=False, shell_complete=bot_files)
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
    shell_complete=bot_files,
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
    selection = Selection(ids or None, since, until, event_type, None if chat is None else lane_of_chat(chat))
    if selection == Selection():
        raise click.UsageError("Say which: --id, --chat, --type, --since or --until.")
    if against is not None or diff:
        if live:
            raise click.UsageError("--live really sends, so it goes neither with --against nor with --diff.")
        if (new := against or file) is None:
            raise click.UsageError("Give the file with the new bot: --against new_bot.py")
        # Imported here: the other commands of the group need no bot.
        from linqbot.cli.commands.replay_diff import Comparison, compare

        comparison = Comparison(new, file if against else None, selection, handler, limit, reads=reads)
        compare(comparison, storage, with_texts=diff, allow_different=allow_different, as_json=as_json)
        return
    if handler is not None or limit is not None or allow_different:
        raise click.UsageError("--handler, --limit and --allow-different go with --against or --diff.")
    if live:
        print_count(asyncio.run(_live(storage, selection, yes=yes)), "replayed", "{} queued again.", as_json=as_json)
        return
    if file is None:
        raise click.UsageError("Give the FILE with the bot to try, or --live to let the server handle the deliveries.")
    settings = from_env(storage=storage)
    logs.configure(settings.log_level, settings.log_format, without=logs.LINES_OF_DRY_RUNS)
    # What the bot prints must not be in the JSON.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        rows = asyncio.run(_dry_run(settings, file, selection, reads=reads, shows=not as_json))
    if as_json:
        print_table(rows, as_json=True, empty="")
    if failed := sum(row["error"] is not None for row in rows):
        raise ReplayFailed(f"{failed} of the handlers failed, and nothing was sent. Their errors are shown above.")


async def _live(url: str | None, selection: Selection, *, yes: bool) -> int:
    async with open_configured_storage(url) as inbox:
        chosen = await _replayable(inbox, selection)
        if not yes:
            click.confirm(
                f"Handle {deliveries(len(chosen))} again, for real? People get answers again", abort=True, err=True
            )
        _warn_of_old_code(url)
        return await _in_batches(inbox.replay_live, chosen, "Queueing")


async def _dry_run(
    settings: Settings, file: str, selection: Selection, *, reads: bool, shows: bool
) -> list[dict[str, Any]]:
    """Run the handlers without sending, and return what they would do, a row for each; `shows` prints them too."""
    # Imported here: the other commands of the group need no bot and no client.
    from linqbot.cli.commands.replay_diff import choose
    from linqbot.client.client import Client
    from linqbot.ops.bot_file import load_bot
    from linqbot.ops.dry_runs.dry_run import DryRun
    from linqbot.ops.dry_runs.simulate import Simulation

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
        if shows:
            _print_dry_run(rows[-1])

    async with (
        open_configured_storage(settings.storage) as inbox,
        Client(settings.api_key or "dry-run", base_url=settings.base_url) as client,
    ):
        meant = await _replayable(inbox, selection)
        plugins = settings.load_plugins(bot.plugins)
        chosen = await choose(inbox, selection)
        async for done in DryRun(bot, client, inbox, chosen, reads=reads, plugins=plugins).replay(meant):
            report(done)
    return rows


def _print_dry_run(row: dict[str, Any]) -> None:
    click.secho(f"{row['id']} {row['type']}", bold=True)
    if not row["began_with"]:
        click.echo(f"  handled by {row['handler']}" if row["handler"] else "  no handler")
    for call in row["calls"]:
        later = " later" if call["when"] == "later" else ""
        click.echo(f"  would call {call['call']}{later} ({call['method']} {printable(call['path'])})")
    for each in row["broadcasts"]:
        people = "1 person" if each["people"] == 1 else f"{each['people']} people"
        click.echo(f"  would begin broadcast {each['name']} to {people}")
    if row["note"]:
        click.echo(f"  {printable_lines(row['note'])}")
    if row["error"]:
        click.secho(printable_lines(row["error"].rstrip()), fg="red")


async def _replayable(inbox: Storage, selection: Selection) -> list[str]:
    """Return the ids of the chosen deliveries.

    Raises:
        StorageError: one that was named cannot be replayed, or none matches.
    """
    chosen = await inbox.replayable(selection)
    _refuse_missing(
        selection.ids or (), chosen, "cannot be replayed: it is still waiting, or is not kept. See: linqbot inbox list."
    )
    if not chosen:
        raise StorageError(
            "No stored delivery matches. Handled deliveries are kept only with history on. Dead letters are always kept: "
            "linqbot inbox dead"
        )
    return chosen


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
