"""`linqbot forget`: erases a person from the storage."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict

import click

from linqbot.cli.beside import facts, json_option, opened, storage_option, yes_option
from linqbot.client.client import Client
from linqbot.errors import StorageError
from linqbot.settings import Settings, from_env
from linqbot.storage.upkeep import Forgotten


@click.command("forget")
@click.argument("handle")
@click.option("--chat", "chats", multiple=True, help="A direct chat with them, by its id; may be given several times.")
@click.option(
    "--ask-linq/--no-ask-linq",
    default=True,
    help="Ask Linq which direct chats are theirs, if LINQ_API_V3_API_KEY is set: yes, unless told not to.",
)
@yes_option
@storage_option
@json_option
def command(
    *, handle: str, chats: tuple[str, ...], ask_linq: bool, yes: bool, storage: str | None, as_json: bool
) -> None:
    """Erase what is stored about the person with HANDLE, a phone number in E.164 or an e-mail address.

    Deliveries, effects, timers and state go, and their bytes from the file, which is written anew: a server beside
    us cannot write meanwhile, and lets Linq come back later. Linq itself forgets nothing by this.
    """
    handle = handle.strip()
    if re.fullmatch(r"[\d\s().-]+", handle):
        raise click.UsageError(f"{handle} is no handle of Linq's. Write a phone number with its country: +1….")
    settings = from_env(storage=storage)
    if not yes:
        click.confirm(f"Erase everything stored about {handle}? It cannot be undone", abort=True, err=True)
    forgotten = asyncio.run(_forget(settings, handle, set(chats), ask_linq=ask_linq))
    row = asdict(forgotten)
    facts(row if as_json else {name: value for name, value in row.items() if name != "wiped"}, as_json=as_json)
    if forgotten.claimed:
        raise StorageError("Some of it is being handled now. Run this once more when it is done.")
    if not forgotten.wiped:
        raise StorageError(
            "The file was too busy to be written anew, so deleted bytes are in it still. Run this again."
        )


async def _forget(settings: Settings, handle: str, chats: set[str], *, ask_linq: bool) -> Forgotten:
    async with opened(settings.storage) as storage:
        # What was acked has left no trace of whose chat it was in: Linq knows, or whoever asks us to.
        if settings.api_key and ask_linq:
            async with Client(settings.api_key, base_url=settings.base_url) as client:
                chats |= {chat.id async for chat in client.chats.list_chats(to=handle) if not chat.is_group}
        return await storage.forget(handle, chats=chats)
