"""`linqbot unmute`: let the bot speak again. The logic is in `ops/mutes.py`."""

from __future__ import annotations

import time
from typing import Annotated

import click

from linqbot.cli.commands.mute import Who
from linqbot.cli.kit import Opt, Result
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.ops import mutes
from linqbot.settings import from_env
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage


async def unmute(
    who: Who,
    storage: Storage,
    by: By,
    *,
    everywhere: Annotated[bool, Opt("End all mutes.", "--all")] = False,
    catch_up: Annotated[bool, Opt("Have the messages handled that came meanwhile. Linq is asked for them.")] = False,
) -> Result:
    """End the mute of WHO, a handle or the id of a chat. What has waited for it is handled now.

    Messages that came meanwhile are answered only with --catch-up.
    """
    if (who is None) != everywhere:
        raise click.UsageError("Name WHO, or give --all.")
    async with from_env().linq() as client:
        ended = await mutes.unmute(storage, client, who, by=by, now=time.time(), catch_up=catch_up)
    chats = ["all" if chat == EVERY_CHAT else chat for chat in ended.chats]
    row = {"unmuted": chats, "caught_up": ended.caught_up, "gone": ended.gone}
    return Result(row, row | {"unmuted": ", ".join(chats)})
