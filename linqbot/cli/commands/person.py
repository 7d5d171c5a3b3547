"""`linqbot person`: show, edit and erase what is stored about a person, a chat or the bot.

Next to a running server: a turn that runs while its state is edited runs again with the new value. The logic is in
`ops/stored_contents.py` and `storage/erasure.py`.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import click

from linqbot.cli.kit import Arg, Confirm, Opt, Result, asked
from linqbot.cli.output import FiniteRange, printable, printable_json
from linqbot.client.client import Client
from linqbot.errors import StorageError
from linqbot.ops import consents, stored_contents
from linqbot.settings import Settings, from_env
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Forgotten

_Row = dict[str, Any]
_LOOK_EVERY_S = 0.2
_FOR_PROGRAMS = {"left", "chats", "wiped"}


def scope_of(value: str) -> str:
    """Return the scope of a handle, of the id of a chat, or of `bot`, as an argument names it."""
    try:
        return stored_contents.scope_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value:
        raise click.UsageError("NAME is empty. Write the name of a value, such as Guest.")
    return value


def _handle(_: click.Context, __: click.Parameter, value: str) -> str:
    handle = value.strip()
    if not handle:
        raise click.UsageError("HANDLE is empty. Write a phone number with its country code, or an e-mail address.")
    if re.fullmatch(r"[\d\s().-]+", handle):
        raise click.UsageError(f"{handle} is not a handle. Write a phone number with its country code: +1….")
    return handle


async def show(
    who: Annotated[str | None, Arg("[WHO]", scope_of, required=False)],
    storage: Storage,
    name: Annotated[str | None, Opt("Only values of this name, such as Guest.")] = None,
) -> Result:
    """Show what is stored about WHO: a handle, the id of a chat, or bot.

    Without WHO, it lists the names and sizes of all values, but not their content. With --json, the values are always
    part of it: this exports them.
    """
    rows: list[_Row] = []
    sizes: list[_Row] = []
    async for row in stored_contents.rows(storage, who, name):
        about = {"scope": row.scope, "name": row.name}
        rows.append(about | {"value": stored_contents.decoded(row.value)})
        sizes.append(about | {"bytes": len(row.value)})
    if who is None or not rows:
        return Result(rows, sizes, f"No state is stored for {who}." if who else "No state is stored.")

    def show_values() -> None:
        for row in rows:
            click.secho(printable(f"{row['scope']}  {row['name']}"), bold=True)
            click.echo(printable_json(row["value"], indent=2))

    return Result(rows, show_values)


async def edit(
    who: Annotated[str, Arg("WHO", scope_of)],
    name: Annotated[str, Arg("NAME", check=_name)],
    storage: Storage,
    *,
    value: Annotated[str | None, Opt("Store this value, without an editor.", metavar="JSON")] = None,
    create: Annotated[bool, Opt("Store a value that does not exist yet.")] = False,
) -> Result:
    """Edit the value NAME of WHO, a handle, the id of a chat, or bot, in your editor.

    The editor is that of $VISUAL or $EDITOR. What you save must be a JSON object. It is stored only if no turn has
    changed the value meanwhile.
    """
    is_changed = await _edit(storage, who, name, value, create=create)
    shown = f"Stored {name} of {who}." if is_changed else "Nothing was changed."
    return Result({"scope": who, "name": name, "changed": is_changed}, shown)


async def _edit(storage: Storage, scope: str, name: str, value: str | None, *, create: bool) -> bool:
    if create:
        before = (await storage.load(scope)).get(name)
    else:
        before = await stored_contents.found(storage, scope, name)
    if value is not None:
        try:
            return await stored_contents.replace_state(storage, scope, name, before=before, after=value)
        except ValueError as error:
            raise click.UsageError(f"--value: {error}") from None
    text: str | None = printable_json(stored_contents.decoded(before or b"{}"), indent=2) + "\n"
    while (text := click.edit(text, extension=".json")) is not None:
        try:
            return await stored_contents.replace_state(storage, scope, name, before=before, after=text)
        except ValueError as error:
            click.secho(str(error), fg="red", err=True)
            if not asked("Edit again?", default=True):
                raise click.Abort from None
    return False


async def consent(
    storage: Storage,
    file: Annotated[Path | None, Arg("[FILE]", required=False)] = None,
    person: Annotated[str | None, Opt("Only rows of this person.", metavar="HANDLE")] = None,
) -> Result:
    """List the ledger of consents, or import the rows of FILE: CSV, or JSON as --json prints it.

    The fields are person (a handle), what (given, withdrawn, or stopped for STOP), at (an ISO time with a zone), and how (words). Of
    several rows of a person, the one with the latest time counts. A row that is there already is not added again.
    """
    if file is None:
        rows = [row async for row in consents.exported(storage, person)]
        return Result(rows, rows, "No consent is on record.")
    try:
        found = consents.read(file.read_text(encoding="utf-8-sig"), time.time())
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from None
    new = sum([await storage.note_consent(each) for each in found])
    return Result({"rows": len(found), "new": new}, f"{new} of {len(found)} rows are new.")


async def forget(
    handle: Annotated[str, Arg("HANDLE", check=_handle)],
    storage: Storage,
    confirm: Confirm,
    *,
    chats: Annotated[tuple[str, ...], Opt("Id of a direct chat with this person; repeatable.", "--chat")],
    ask_linq: Annotated[
        bool,
        Opt(
            "Ask Linq for the person's direct chats, if LINQ_API_V3_API_KEY is set. On by default.",
            "--ask-linq/--no-ask-linq",
        ),
    ] = True,
    wait_s: Annotated[
        float,
        Opt(
            "Seconds to wait for handlers that are working on a message of this person.",
            "--wait",
            "SECONDS",
            FiniteRange(0),
        ),
    ] = 15.0,
) -> Result:
    """Erase what is stored about the person with HANDLE, a phone number in E.164 or an e-mail address.

    Deletes their deliveries, journal entries, timers, state and rows in broadcasts. The storage file is rewritten, so
    that the deleted bytes are gone too; meanwhile a running server cannot write, and Linq delivers later. Nothing is
    deleted at Linq. The command waits for handlers that are working on a message of this person. The exit code is 1 if
    data is left.
    """
    confirm(f"Erase everything stored about {handle}? It cannot be undone")
    url = click.get_current_context().params["storage"]
    forgotten = await _forget(storage, from_env(storage=url), handle, set(chats), ask_linq=ask_linq, wait_s=wait_s)
    row = asdict(forgotten)
    again = _again(handle, forgotten.chats, ask_linq=ask_linq, storage=url)
    failure = None
    if forgotten.left:
        count = len(forgotten.left)
        failure = StorageError(
            f"Data is left: {count} deliver{'y is' if count == 1 else 'ies are'} being handled now. "
            f"Run this when their handlers have ended: {again}"
        )
    elif not forgotten.wiped:
        failure = StorageError(
            "The file could not be rewritten, so deleted bytes are still in it. Other programs kept it busy, or its disk "
            f"has no room for a copy of it. Run this again: {again}"
        )
    shown = {name: value for name, value in row.items() if name not in _FOR_PROGRAMS}
    return Result(row, shown, failure=failure)


async def _forget(
    storage: Storage, settings: Settings, handle: str, chats: set[str], *, ask_linq: bool, wait_s: float
) -> Forgotten:
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
    while [each for one in ids for each in await storage.waiting(delivery_id=one) if each.state == "leased"]:
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def _again(handle: str, chats: Collection[str], *, ask_linq: bool, storage: str | None) -> str:
    """Return the command line that erases the rest, with the chats that were found."""
    words = ["linqbot", "person", "forget", handle, *(word for chat in chats for word in ("--chat", chat))]
    words += [] if ask_linq else ["--no-ask-linq"]
    # The URL of another storage may hold a password.
    words += ["--storage", storage] if storage and storage.startswith("sqlite:") else []
    return shlex.join(words)
