"""`linqbot replay`: compare what a bot would do with what was done, or let the server handle deliveries again."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import click

from linqbot.cli.commands.replay_diff import Comparison, compare
from linqbot.cli.deliveries import Chat, EventType, Since, Until, deliveries, put_back, refuse_missing, warn_of_old_code
from linqbot.cli.kit import Arg, Confirm, Json, Opt, Result, StorageUrl
from linqbot.cli.output import bot_files
from linqbot.cli.storage_option import open_configured_storage
from linqbot.errors import StorageError
from linqbot.linq.events.lane import lane_of_chat
from linqbot.storage.acts import By
from linqbot.storage.upkeep import Selection


async def replay(
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
            "The file with the new bot. FILE is then the present bot: what both do in the same way is no difference.",
            metavar="NEW",
            complete=bot_files,
        ),
    ] = None,
    diff: Annotated[bool, Opt("Also show tracebacks, and the texts of then and now.")] = False,
    handler: Annotated[str | None, Opt("Only what this handler takes or took.", metavar="NAME")] = None,
    limit: Annotated[int | None, Opt("Only the newest deliveries, at most this many.", type=click.IntRange(1))] = None,
    allow_different: Annotated[bool, Opt("Exit with 1 for new failures only.")] = False,
) -> Result:
    """Run the bot in FILE on stored deliveries, and compare what it would do with what was done.

    Nothing is sent or changed. Differences are grouped by cause. The exit code is 0 if nothing differs, and 1 if something
    differs or fails. Handled deliveries can be compared as long as history keeps them; dead letters always.

    With --live the server handles the deliveries again as if it had never answered, and really sends. Messages older than
    the bot's max_age_s then reach only handlers with late=True.
    """
    selection = Selection(ids or None, since, until, event_type, None if chat is None else lane_of_chat(chat))
    if selection == Selection():
        raise click.UsageError("Say which: --id, --chat, --type, --since or --until.")
    if live:
        if against is not None or diff or handler is not None or limit is not None or allow_different:
            raise click.UsageError("--live really sends, and compares nothing: leave out the options for comparing.")
        count = await _live(storage, selection, confirm, by)
        return Result({"replayed": count}, f"{deliveries(count)} queued again.")
    if (new := against or file) is None:
        raise click.UsageError("Give the FILE with the bot to try, or --live to let the server handle the deliveries.")
    comparison = Comparison(new, file if against else None, selection, handler, limit, reads=reads)
    return await compare(comparison, storage, with_texts=diff, allow_different=allow_different, as_json=as_json)


async def _live(url: str | None, selection: Selection, confirm: Confirm, by: By) -> int:
    async with open_configured_storage(url) as inbox:
        chosen = await inbox.replayable(selection)
        problem = "cannot be replayed: it is still waiting, or is not kept. See: linqbot waiting list."
        refuse_missing(selection.ids or (), chosen, problem)
        if not chosen:
            raise StorageError(
                "No stored delivery matches. Handled deliveries are kept only with history on. Dead letters are always kept: "
                "linqbot waiting list --dead"
            )
        confirm(f"Handle {deliveries(len(chosen))} again, for real? People get answers again")
        warn_of_old_code()
        return await put_back(partial(inbox.replay_live, by=by), chosen, "Queueing")
