"""`linqbot post`: put an event from outside into a chat's lane, as `running.post` does. It is written into the storage."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import click

from linqbot.cli.deliveries import chat_of
from linqbot.cli.kit import Opt, Result
from linqbot.errors import BotError
from linqbot.features.posts import post_delivery
from linqbot.storage.acts import By, of_lane
from linqbot.storage.backend import Storage


async def post(
    name: str,
    storage: Storage,
    by: By,
    *,
    post_id: Annotated[str, Opt("The same for every repetition of this post, such as an order number.", "--id")],
    data: Annotated[str | None, Opt("A JSON object. Default: standard input.", "--data -d", "JSON")] = None,
    chat: Annotated[str | None, Opt("The chat that it concerns.", metavar="ID", type=chat_of)] = None,
    person: Annotated[str | None, Opt("The person that it concerns, instead of a chat.", metavar="HANDLE")] = None,
) -> Result:
    """Let the bot's handler of `@bot.on_post(NAME)` run once, in the order of the chat.

    The post is stored, so the bot need not run now. A post whose NAME and --id were stored in the last 24 hours is not
    stored again.
    """
    try:
        content = json.loads(sys.stdin.read() if data is None else data)
    except ValueError as error:
        raise click.UsageError(f"The data is no JSON: {error}. Such as: --data '{{\"order\": 17}}'") from None
    try:
        delivery = post_delivery(name, content, time.time(), post_id=post_id, chat=chat, person=person)
    except BotError as error:
        raise click.UsageError(str(error)) from None
    if is_new := await storage.put(delivery):
        await storage.note_act("post", of_lane(delivery.id, delivery.lane), by=by)
    shown = f"Posted {name} as {delivery.id}." if is_new else f"Nothing was posted: {delivery.id} was stored before."
    return Result({"id": delivery.id, "stored": is_new}, shown)
