"""`linqbot mute`: make the bot silent in a chat, for a person, or everywhere, and end that; without an argument list where it is silent.

The logic is in `ops/mutes.py`.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import click

from linqbot.cli.deliveries import person_or_chat
from linqbot.cli.kit import Arg, Opt, Result
from linqbot.cli.output import iso_time, parse_duration
from linqbot.features.muted_chats import Mute, stored_mutes
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.ops import mutes
from linqbot.settings import Settings
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage


async def mute(
    who: Annotated[str | None, Arg(type=person_or_chat)],
    storage: Storage,
    settings: Settings,
    by: By,
    *,
    everywhere: Annotated[bool, Opt("In all chats; with --end all mutes.", "--all")] = False,
    for_s: Annotated[
        float | None, Opt("How long, such as 30m, 2h or 1d. Without it, until --end.", "--for", "TIME", parse_duration)
    ] = None,
    only_proactive: Annotated[
        bool, Opt("Only what the bot says first: scheduled sends, broadcasts, posts. It still answers.")
    ] = False,
    end: Annotated[bool, Opt("End the mute: the bot speaks again. What has waited for it is handled now.")] = False,
    catch_up: Annotated[
        bool,
        Opt(
            "With --end: have the messages handled that came meanwhile, within LINQBOT_KEEP_OUTCOMES_DAYS. Linq is asked for them."
        ),
    ] = False,
) -> Result:
    """Mute the bot for WHO, a handle or the id of a chat. Without WHO and --all, list the mutes.

    Nothing more is sent there, also by turns that run now. Messages are received, and end as muted; questions, scheduled sends and
    broadcasts wait. A running server notices it before its next call. Mutes are listed with their --reason.
    """
    begins, lists = for_s is not None or only_proactive, who is None and not everywhere
    if (who is not None and everywhere) or (lists and (begins or end)):
        raise click.UsageError("Name WHO, or give --all. Without both, linqbot mute lists the mutes.")
    if (end and begins) or (catch_up and not end):
        raise click.UsageError("--for and --only-proactive are of a new mute, and --catch-up is of --end.")
    now = time.time()
    if lists:
        rows = [_row(each) for each in await stored_mutes(storage) if each.until > now]
        return Result(rows, rows, "The bot is muted nowhere.")
    async with settings.linq() as client:
        if end:
            return _ended(await mutes.unmute(storage, client, who, by=by, now=now, catch_up=catch_up))
        made = await mutes.mute(storage, client, who, by=by, now=now, for_s=for_s, only_proactive=only_proactive)
    rows = [_row(each) for each in made]
    return Result(rows, rows)


def _row(each: Mute) -> dict[str, Any]:
    return {
        "chat": _chat(each.chat_id),
        "person": each.person or None,
        "since": iso_time(each.since),
        "until": None if each.ends_at is None else iso_time(each.ends_at),
        "only_proactive": each.only_proactive,
        "reason": each.reason,
    }


def _ended(ended: mutes.Unmuted) -> Result:
    chats = [_chat(each) for each in ended.chats]
    row = {"unmuted": chats, "caught_up": ended.caught_up, "gone": ended.gone}
    return Result(row, row | {"unmuted": ", ".join(chats)})


def _chat(chat_id: str) -> str:
    return "all" if chat_id == EVERY_CHAT else chat_id
