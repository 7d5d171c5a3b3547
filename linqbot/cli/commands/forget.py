"""`linqbot forget`: erases a person from the storage."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Collection
from dataclasses import asdict

import click

from linqbot.cli.output import json_option, print_facts, yes_option
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
@click.option("--chat", "chats", multiple=True, help="A direct chat with them, by its id; may be given several times.")
@click.option(
    "--ask-linq/--no-ask-linq",
    default=True,
    help="Ask Linq which direct chats are theirs, if LINQ_API_V3_API_KEY is set: yes, unless told not to.",
)
@click.option(
    "--wait",
    "wait_s",
    default=15.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Wait so long for handlers that work on a message of theirs.",
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

    Deliveries, effects, timers and state go, and their bytes from the file, which is written again: a running server
    cannot write meanwhile, and lets Linq deliver later. Linq itself forgets nothing by this. While a handler works on
    a message of theirs, the command waits and then erases the rest. It ends with 1 if something is left.
    """
    handle = handle.strip()
    if re.fullmatch(r"[\d\s().-]+", handle):
        raise click.UsageError(f"{handle} is no handle of Linq's. Write a phone number with its country: +1….")
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
            f"Something is left: {count} deliver{'y is' if count == 1 else 'ies are'} being handled now. "
            f"Run this when that is over: {again}"
        )
    if not forgotten.wiped:
        raise StorageError(
            f"The file was too busy to be written again, so deleted bytes are still in it. Run this again: {again}"
        )


async def _forget(settings: Settings, handle: str, chats: set[str], *, ask_linq: bool, wait_s: float) -> Forgotten:
    async with open_configured_storage(settings.storage) as storage:
        # The storage knows the chats of the last days; Linq knows all of them.
        if settings.api_key and ask_linq:
            async with Client(settings.api_key, base_url=settings.base_url) as client:
                chats |= {chat.id async for chat in client.chats.list_chats(to=handle) if not chat.is_group}
        until = time.monotonic() + wait_s
        forgotten = await storage.forget(handle, chats=chats)
        while forgotten.left and await _ended(storage, forgotten.left, until):
            # Once their turns have ended, what told their chats may be gone.
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
    """The command to run again, with what was learned."""
    words = ["linqbot", "forget", handle, *(word for chat in chats for word in ("--chat", chat))]
    words += [] if ask_linq else ["--no-ask-linq"]
    # The URL of another backend may hold a password.
    words += ["--storage", storage] if storage and storage.startswith("sqlite:") else []
    return shlex.join(words)
