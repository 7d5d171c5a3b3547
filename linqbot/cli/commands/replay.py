"""`linqbot replay`: run a bot on stored deliveries without sending, compare new code with what was done, or handle again."""

from __future__ import annotations

import asyncio
import sys
import traceback
from contextlib import nullcontext, redirect_stdout
from functools import partial
from typing import Annotated, Any

import click

from linqbot.cli import logs
from linqbot.cli.deliveries import Chat, EventType, Since, Until, deliveries, put_back, refuse_missing, warn_of_old_code
from linqbot.cli.failure import ReplayFailed
from linqbot.cli.kit import Arg, Confirm, Json, Opt, Result, StorageUrl
from linqbot.cli.output import bot_files, printable, printable_lines
from linqbot.cli.storage_option import open_configured_storage
from linqbot.errors import StorageError
from linqbot.linq.events.lane import lane_of_chat
from linqbot.settings import Settings, from_env
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Selection


def replay(
    file: Annotated[str | None, Arg("[FILE]", complete=bot_files, required=False)],
    storage: StorageUrl,
    confirm: Confirm,
    as_json: Json,
    by: By,
    *,
    ids: Annotated[tuple[str, ...], Opt("Only this delivery; repeatable.", "--id")],
    chat: Chat = None,
    event_type: EventType = None,
    since: Since = None,
    until: Until = None,
    reads: Annotated[bool, Opt("Allow handlers to read from Linq and to fetch media.")] = False,
    live: Annotated[
        bool, Opt("Let the server handle the deliveries again and really send, under new idempotency keys.")
    ] = False,
    against: Annotated[
        str | None,
        Opt(
            "Compare what was done with what the bot in this file would do. FILE is then the present bot, if it is given.",
            metavar="NEW",
            complete=bot_files,
        ),
    ] = None,
    diff: Annotated[bool, Opt("Compare as --against, or FILE itself, and show texts of then and now.")] = False,
    handler: Annotated[str | None, Opt("Compare: only what this handler takes or took.", metavar="NAME")] = None,
    limit: Annotated[
        int | None, Opt("Compare: only the newest deliveries, at most this many.", type=click.IntRange(1))
    ] = None,
    allow_different: Annotated[bool, Opt("Compare: exit with 1 for new failures only.")] = False,
) -> Result | None:
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
        # Imported here: a plain run does not need it.
        from linqbot.cli.commands.replay_diff import Comparison, compare

        comparison = Comparison(new, file if against else None, selection, handler, limit, reads=reads)
        compare(comparison, storage, with_texts=diff, allow_different=allow_different, as_json=as_json)
        return None
    if handler is not None or limit is not None or allow_different:
        raise click.UsageError("--handler, --limit and --allow-different go with --against or --diff.")
    if live:
        count = asyncio.run(_live(storage, selection, confirm, by))
        return Result({"replayed": count}, f"{deliveries(count)} queued again.")
    if file is None:
        raise click.UsageError("Give the FILE with the bot to try, or --live to let the server handle the deliveries.")
    settings = from_env(storage=storage)
    logs.configure(settings.log_level, settings.log_format, without=logs.LINES_OF_DRY_RUNS)
    # What the bot prints must not be in the JSON.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        rows = asyncio.run(_dry_run(settings, file, selection, reads=reads, shows=not as_json))
    failed = sum(row["error"] is not None for row in rows)
    why = f"{failed} of the handlers failed, and nothing was sent. Their errors are shown above."
    return Result(rows, lambda: None, failure=ReplayFailed(why) if failed else None)


async def _live(url: str | None, selection: Selection, confirm: Confirm, by: By) -> int:
    async with open_configured_storage(url) as inbox:
        chosen = await _replayable(inbox, selection)
        confirm(f"Handle {deliveries(len(chosen))} again, for real? People get answers again")
        warn_of_old_code()
        return await put_back(partial(inbox.replay_live, by=by), chosen, "Queueing")


async def _dry_run(
    settings: Settings, file: str, selection: Selection, *, reads: bool, shows: bool
) -> list[dict[str, Any]]:
    """Run the handlers without sending, and return what they would do, a row for each; `shows` prints them too."""
    # Imported here: --live needs no bot and no client.
    from linqbot.cli.commands.replay_diff import choose
    from linqbot.client.client import Client
    from linqbot.ops.bot_file import load_bot
    from linqbot.ops.dry_runs.dry_run import DryRun, Simulation

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
    chosen = await inbox.replayable(selection)
    refuse_missing(
        selection.ids or (),
        chosen,
        "cannot be replayed: it is still waiting, or is not kept. See: linqbot waiting list.",
    )
    if not chosen:
        raise StorageError(
            "No stored delivery matches. Handled deliveries are kept only with history on. Dead letters are always kept: "
            "linqbot waiting list --dead"
        )
    return chosen
