"""`linqbot person`: show, edit and erase what is stored about a person, a chat or the bot.

Next to a running server: a turn that runs while its state is edited runs again with the new value. The logic is in
`ops/person.py` and `ops/stored_contents.py`.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import click

from linqbot.cli.deliveries import person_or_chat, who_of
from linqbot.cli.kit import Arg, Confirm, Opt, Result, asked
from linqbot.cli.output import Number, print_facts, print_table, printable, printable_json
from linqbot.cli.stored_rows import act_for_people, act_row
from linqbot.engine.state import CHAT, PERSON
from linqbot.errors import StorageError
from linqbot.linq.handles import is_handle, is_sender, person_key
from linqbot.ops import person, stored_contents
from linqbot.ops.kept import summary
from linqbot.ops.person import exported_consents, read_consents
from linqbot.ops.stored_contents import COPIES_ARE_LEFT
from linqbot.settings import Settings
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.personal import KEPT
from linqbot.storage.state import BOT
from linqbot.text_files import written_text

_Row = dict[str, Any]
_NOTHING = "Nothing is kept of this person."


def scope_of(value: str) -> str:
    """Return the scope of a handle, of the id of a chat, or of `bot`. A scope is returned as it is."""
    who = value.strip()
    if who == BOT or who.startswith((PERSON, CHAT)):
        return PERSON + person_key(who.removeprefix(PERSON)) if who.startswith(PERSON) else who
    # In lower case, the name of a sender may be anything that was mistyped.
    if is_handle(handle := who_of(who)) or (is_sender(handle) and handle == handle.upper()):
        return PERSON + person_key(handle)
    return CHAT + person_or_chat(who)


def _name(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value:
        raise click.UsageError("NAME is empty. Write the name of a value, such as Guest.")
    return value


def _handle(_: click.Context, __: click.Parameter, value: str) -> str:
    handle = who_of(value)
    if not handle or not (is_handle(handle) or is_sender(handle)):  # also the name of a sender
        what = f"{handle} is not a handle" if handle else "HANDLE is empty"
        raise click.UsageError(f"{what}. Write a phone number with its country code, or an e-mail address.")
    return handle


Chats: TypeAlias = Annotated[tuple[str, ...], Opt("Id of a direct chat with this person; repeatable.", "--chat")]


async def show(
    who: Annotated[str | None, Arg(type=scope_of)],
    storage: Storage,
    settings: Settings,
    by: By,
    *,
    chats: Chats,
    every: Annotated[bool, Opt("Print every row that is kept.", "--all")] = False,
) -> Result:
    """Show what is kept of the person WHO, a handle; with --json, export all of it.

    Shown are their chats, consent, mutes, open questions, what is still to be sent, state, the last texts that are kept, and
    the number of rows in each table. --all and --json have every row: that is what linqbot person forget erases, with people's own
    words. Of the id of a chat, or of bot, it shows the values of ctx.state. Without WHO, it lists the names and sizes of all
    values. With LINQ_API_V3_API_KEY, Linq is asked for the person's direct chats.
    """
    if who is None or not who.startswith(PERSON):
        return await _show_state(storage, who)
    handle = who.removeprefix(PERSON)
    found = await person.export(storage, handle, await _known(settings, handle, chats), by)
    receipts = [act_row(each) for each in await storage.acts(handle=handle) if each.counts is not None]
    show_rows = partial(_show_every_row, found["tables"]) if every else partial(_show_person, found)
    return Result(found | {"receipts": receipts}, partial(_show_all, show_rows, found["tables"], receipts))


async def _known(settings: Settings, handle: str, given: Collection[str]) -> set[str]:
    return {*given, *await person.chats_of(settings, handle)}


def _show_every_row(tables: dict[str, list[_Row]]) -> None:
    for table, rows in tables.items():
        for row in rows:
            _show_row(table, row)


def _show_row(table: str, row: _Row) -> None:
    click.secho(f"{table}  {KEPT[table].about}", bold=True)
    print_facts({key: _words(value) for key, value in row.items()})
    click.echo()


def _show_person(found: _Row) -> None:
    """Print what an operator wants to know of a person, and the rows that only their own names explain."""
    tables = found["tables"]
    if not any(tables.values()):
        return
    print_facts({"person": found["person"], "chats": ", ".join(found["chats"])})
    click.echo()
    for title, rows in summary(found).items():
        click.secho(title, bold=True)
        print_table(rows, empty="None.")
        click.echo()
    for row in tables["state"]:
        _show_row("state", row)


def _show_all(show_rows: Callable[[], None], tables: dict[str, list[_Row]], receipts: list[_Row]) -> None:
    show_rows()
    click.echo(", ".join(f"{len(rows)} in {table}" for table, rows in tables.items() if rows) or _NOTHING)
    if receipts:
        click.echo("\nExports and erasures of this person:")
        print_table([act_for_people(row) for row in receipts])


def _words(value: Any) -> Any:
    return printable_json(value) if isinstance(value, dict | list) and value else value


async def _show_state(storage: Storage, who: str | None) -> Result:
    rows: list[_Row] = []
    sizes: list[_Row] = []
    async for row in storage.every_state_row(prefix=who or ""):
        if who not in (None, row.scope):  # the id of a chat may begin with the id of another one
            continue
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
    who: Annotated[str, Arg(type=scope_of)],
    name: Annotated[str, Arg(check=_name)],
    storage: Storage,
    by: By,
    *,
    value: Annotated[str | None, Opt("Store this value, without an editor.", metavar="JSON")] = None,
    create: Annotated[bool, Opt("Store a value that does not exist yet.")] = False,
) -> Result:
    """Edit the value NAME of WHO, a handle, the id of a chat, or bot, in your editor.

    The editor is that of $VISUAL or $EDITOR. What you save must be a JSON object. It is stored only if no turn has
    changed the value meanwhile.
    """
    is_changed = await _edit(storage, who, name, value, by, create=create)
    shown = f"Stored {name} of {who}." if is_changed else "Nothing was changed."
    return Result({"scope": who, "name": name, "changed": is_changed}, shown)


async def _edit(storage: Storage, scope: str, name: str, value: str | None, by: By, *, create: bool) -> bool:
    if create:
        before = (await storage.load(scope)).get(name)
    else:
        before = await stored_contents.found(storage, scope, name)
    if value is not None:
        try:
            return await stored_contents.replace_state(storage, scope, name, before=before, after=value, by=by)
        except ValueError as error:
            raise click.UsageError(f"--value: {error}") from None
    text: str | None = printable_json(stored_contents.decoded(before or b"{}"), indent=2) + "\n"
    while (text := click.edit(text, extension=".json")) is not None:
        try:
            return await stored_contents.replace_state(storage, scope, name, before=before, after=text, by=by)
        except ValueError as error:
            click.secho(str(error), fg="red", err=True)
            if not asked("Edit again?", default=True):
                raise click.Abort from None
    return False


async def consent(
    storage: Storage,
    by: By,
    file: Annotated[Path | None, Arg()] = None,
    person: Annotated[str | None, Opt("Only rows of this person.", metavar="HANDLE")] = None,
) -> Result:
    """List the ledger of consents, or import the rows of FILE: CSV, or JSON as --json prints it.

    The fields are person (a handle), what (given, withdrawn, stopped for STOP, or wrote for a message after it), at (an ISO time with a zone), and how (words). Of
    several rows of a person, the one with the latest time counts. A row that was imported already is not added again.
    """
    if file is None:
        rows = [row async for row in exported_consents(storage, person)]
        return Result(rows, rows, "No consent is on record.")
    try:
        found = read_consents(written_text(file), time.time())
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from None
    new = await storage.import_consents(found, by=by)
    return Result({"rows": len(found), "new": new}, f"{new} of {len(found)} rows are new.")


async def forget(
    handle: Annotated[str, Arg(check=_handle)],
    storage: Storage,
    settings: Settings,
    confirm: Confirm,
    by: By,
    *,
    chats: Chats,
    wait_s: Annotated[
        float,
        Opt(
            "Seconds to wait for handlers that are working on a message of this person.",
            "--wait",
            "SECONDS",
            Number(0),
        ),
    ] = 15.0,
) -> Result:
    """Erase what is stored about the person with HANDLE, a phone number in E.164 or an e-mail address.

    Deletes what linqbot person show prints of them, next to a running server. A small storage file is also written again,
    so that no deleted bytes are left; for a large one, the command says what is left to do. Nothing is deleted at Linq, or
    where the bot's own code and plugins keep something outside the storage. The command waits for handlers that are working
    on a message of this person. The exit code is 1 if data is left.
    """
    confirm(f"Erase everything stored about {handle}? It cannot be undone")
    known = await _known(settings, handle, chats)
    forgotten = await person.forget(storage, handle, known, by, wait_s=wait_s)
    row = {"rows": dict(forgotten.rows), **{name: getattr(forgotten, name) for name in ("left", "chats", "wiped")}}
    again = shlex.join(["linqbot", "person", "forget", handle, *(f"--chat={chat}" for chat in forgotten.chats)])
    failure = None
    if forgotten.left:
        count = len(forgotten.left)
        what = "delivery is being handled now, or waits" if count == 1 else "deliveries are being handled now, or wait"
        failure = StorageError(
            f"Data is left: {count} {what} for the answer of another person. "
            f"Run this when their handlers have ended: {again}"
        )
    nothing = _NOTHING if failure is None else "Nothing was erased."

    def show() -> None:
        if forgotten.rows:
            print_facts(dict(forgotten.rows))
        else:
            click.echo(nothing)
        if not forgotten.wiped:
            click.echo(f"\nThe rows are erased. {COPIES_ARE_LEFT}")

    return Result(row, show, failure=failure)
