"""`linqbot forget`: erase a person's data from the storage. The rules of what is theirs are in `storage/erasure.py`."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Collection
from dataclasses import asdict

import click

from linqbot.cli.output import FiniteRange, json_option, print_facts, yes_option
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.client.client import Client
from linqbot.errors import StorageError
from linqbot.settings import Settings, from_env
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Forgotten

_LOOK_EVERY_S = 0.2
_FOR_PROGRAMS = {"left", "chats", "wiped"}


@click.command("forget")
@click.argument("handle")
@click.option("--chat", "chats", multiple=True, help="Id of a direct chat with this person; repeatable.")
@click.option(
    "--ask-linq/--no-ask-linq",
    default=True,
    help="Ask Linq for the person's direct chats, if LINQ_API_V3_API_KEY is set. On by default.",
)
@click.option(
    "--wait",
    "wait_s",
    default=15.0,
    show_default=True,
    type=FiniteRange(0),
    metavar="SECONDS",
    help="Seconds to wait for handlers that are working on a message of this person.",
)
@yes_option
@storage_option
@json_option
def command(
    *,
    handle: str,
    chats: tuple[str, ...],
    ask_linq: bool,
    wait_s: float,
    yes: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Erase what is stored about the person with HANDLE, a phone number in E.164 or an e-mail address.

    Deletes their deliveries, journal entries, timers, state and rows in broadcasts. The storage file is rewritten, so
    that the deleted bytes are gone too; meanwhile a running server cannot write, and Linq delivers later. Nothing is
    deleted at Linq. The command waits for handlers that are working on a message of this person. The exit code is 1 if
    data is left.
    """
    handle = handle.strip()
    if not handle:
        raise click.UsageError("HANDLE is empty. Write a phone number with its country code, or an e-mail address.")
    if re.fullmatch(r"[\d\s().-]+", handle):
        raise click.UsageError(f"{handle} is not a handle. Write a phone number with its country code: +1….")
    settings = from_env(storage=storage)
    if not yes:
        click.confirm(f"Erase everything stored about {handle}? It cannot be undone", abort=True, err=True)
    forgotten = asyncio.run(_forget(settings, handle, set(chats), ask_linq=ask_linq, wait_s=wait_s))
    row = asdict(forgotten)
    if not as_json:
        row = {name: value for name, value in row.items() if name not in _FOR_PROGRAMS}
    print_facts(row, as_json=as_json)
    again = _again(handle, forgotten.chats, ask_linq=ask_linq, storage=storage)
    if forgotten.left:
        count = len(forgotten.left)
        raise StorageError(
            f"Data is left: {count} deliver{'y is' if count == 1 else 'ies are'} being handled now. "
            f"Run this when their handlers have ended: {again}"
        )
    if not forgotten.wiped:
        raise StorageError(
            "The file could not be rewritten, so deleted bytes are still in it. Other programs kept it busy, or its disk "
            f"has no room for a copy of it. Run this again: {again}"
        )


async def _forget(settings: Settings, handle: str, chats: set[str], *, ask_linq: bool, wait_s: float) -> Forgotten:
    async with open_configured_storage(settings.storage) as storage:
        # The storage knows only the chats of the last days. Linq knows all of them.
        if settings.api_key and ask_linq:
            async with Client(settings.api_key, base_url=settings.base_url) as client:
                chats |= {chat.id async for chat in client.chats.list_chats(to=handle) if not chat.is_group}
        until = time.monotonic() + wait_s
        forgotten = await storage.forget(handle, chats=chats)
        while forgotten.left and await _ended(storage, forgotten.left, until):
            # The chats are passed on: the turns that have ended may have removed the records that name them.
            forgotten += await storage.forget(handle, chats=forgotten.chats)
        return forgotten


async def _ended(storage: Storage, ids: Collection[str], until: float) -> bool:
    """Wait until none of these deliveries is being handled; False if that takes too long."""
    while [each for one in ids for each in await storage.waiting(delivery_id=one) if each.state == "leased"]:
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def _again(handle: str, chats: Collection[str], *, ask_linq: bool, storage: str | None) -> str:
    """Return the command line that erases the rest, with the chats that were found."""
    words = ["linqbot", "forget", handle, *(word for chat in chats for word in ("--chat", chat))]
    words += [] if ask_linq else ["--no-ask-linq"]
    # The URL of another storage may hold a password.
    words += ["--storage", storage] if storage and storage.startswith("sqlite:") else []
    return shlex.join(words)
