"""`linqbot mute`: make the bot silent in a chat, for a person, or everywhere; without an argument list where it is silent.

`unmute` ends it. The logic is in `ops/mutes.py`.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, TypeAlias

import click

from linqbot.cli.kit import Arg, Opt, Result
from linqbot.cli.output import iso_time, parse_duration
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.ops import mutes
from linqbot.settings import from_env
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.mutes import FOREVER, Mute

Who: TypeAlias = Annotated[str | None, Arg("[WHO]", required=False)]


async def mute(
    who: Who,
    storage: Storage,
    by: By,
    *,
    everywhere: Annotated[bool, Opt("In all chats.", "--all")] = False,
    for_s: Annotated[
        float | None, Opt("How long, such as 30m, 2h or 1d. Without it, until unmute.", "--for", "TIME", parse_duration)
    ] = None,
    only_proactive: Annotated[
        bool, Opt("Only what the bot says first: scheduled sends, broadcasts, posts. It still answers.")
    ] = False,
) -> Result:
    """Mute the bot for WHO, a handle or the id of a chat. Without WHO and --all, list the mutes.

    Nothing more is sent there, also by turns that run now. Messages are received, and end as muted; questions, scheduled sends and
    broadcasts wait. A running server notices it before its next call. Mutes are listed with their --reason.
    """
    if who is not None and everywhere:
        raise click.UsageError("Name WHO, or give --all.")
    now = time.time()
    if who is None and not everywhere:
        rows = [_row(each) for each in await storage.stored_mutes() if each.until > now]
        return Result(rows, rows, "The bot is muted nowhere.")
    async with from_env().linq() as client:
        made = await mutes.mute(storage, client, who, by=by, now=now, for_s=for_s, only_proactive=only_proactive)
    rows = [_row(each) for each in made]
    return Result(rows, rows)


def _row(each: Mute) -> dict[str, Any]:
    return {
        "chat": "all" if each.chat_id == EVERY_CHAT else each.chat_id,
        "person": each.person or None,
        "since": iso_time(each.since),
        "until": None if each.until >= FOREVER else iso_time(each.until),
        "only_proactive": each.only_proactive,
        "reason": each.reason,
    }
