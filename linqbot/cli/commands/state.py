"""`linqbot state`: show, edit and export what a bot has stored with `ctx.state`. The logic is in `ops/stored_contents.py`.

The commands work next to a running server. A turn that runs while its state is edited runs again with the new value.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from linqbot.cli.output import json_option, print_facts, print_table, printable, printable_json
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.ops import stored_contents

_Row = dict[str, Any]


def who_of(value: str) -> str:
    """Return the scope of a handle, of the id of a chat, or of `bot`, as an argument names it.

    Raises:
        click.BadParameter: this is empty, or a number without its country code.
    """
    try:
        return stored_contents.scope_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


name_option = click.option("--name", help="Only values of this name, such as Guest.")


@click.group("state")
def command() -> None:
    """Show, edit and export what a bot has stored with ctx.state. Works next to a running server."""


@command.command("show")
@click.argument("who", type=who_of, required=False, metavar="[WHO]")
@name_option
@storage_option
@json_option
def show(*, who: str | None, name: str | None, storage: str | None, as_json: bool) -> None:
    """Show what is stored about WHO: a handle, the id of a chat, or bot.

    Without WHO, it lists the names and sizes of all values, but not their content.
    """
    rows = asyncio.run(_rows(who, name, storage))
    if as_json or who is None:
        listed = [{"scope": row["scope"], "name": row["name"], "bytes": row["bytes"]} for row in rows]
        print_table(
            [_without_size(row) for row in rows] if who else listed, as_json=as_json, empty="No state is stored."
        )
        return
    for row in rows:
        click.secho(printable(f"{row['scope']}  {row['name']}"), bold=True)
        click.echo(printable_json(row["value"], indent=2))
    if not rows:
        click.echo(f"No state is stored for {who}.")


@command.command("edit")
@click.argument("who", type=who_of, metavar="WHO")
@click.argument("name")
@click.option("--value", metavar="JSON", help="Store this value, without an editor.")
@click.option("--create", is_flag=True, help="Store a value that does not exist yet.")
@storage_option
@json_option
def edit(*, who: str, name: str, value: str | None, create: bool, storage: str | None, as_json: bool) -> None:
    """Edit the value NAME of WHO, a handle, the id of a chat, or bot, in your editor.

    The editor is that of $VISUAL or $EDITOR. What you save must be a JSON object. It is stored only if no turn has
    changed the value meanwhile.
    """
    if not name:
        raise click.UsageError("NAME is empty. Write the name of a value, such as Guest.")
    is_changed = asyncio.run(_edit(who, name, value, storage, create=create))
    row = {"scope": who, "name": name, "changed": is_changed}
    if as_json:
        print_facts(row, as_json=True)
    else:
        click.echo(f"Stored {name} of {who}." if is_changed else "Nothing was changed.")


@command.command("export")
@click.argument("who", type=who_of, required=False, metavar="[WHO]")
@name_option
@storage_option
@json_option
def export(*, who: str | None, name: str | None, storage: str | None, as_json: bool) -> None:
    """Print stored values with their content: those of WHO, or all. Each is a JSON object on a line of its own.

    WHO is a handle, the id of a chat, or bot. With --json, the output is one JSON list.
    """
    rows = [_without_size(row) for row in asyncio.run(_rows(who, name, storage))]
    if as_json:
        print_table(rows, as_json=True, empty="")
        return
    for row in rows:
        click.echo(printable_json(row))


async def _rows(scope: str | None, name: str | None, storage: str | None) -> list[_Row]:
    async with open_configured_storage(storage) as store:
        return [
            {"scope": row.scope, "name": row.name, "value": stored_contents.decoded(row.value), "bytes": len(row.value)}
            async for row in stored_contents.rows(store, scope, name)
        ]


def _without_size(row: _Row) -> _Row:
    return {key: value for key, value in row.items() if key != "bytes"}


async def _edit(scope: str, name: str, value: str | None, storage: str | None, *, create: bool) -> bool:
    async with open_configured_storage(storage) as store:
        if create:
            before = (await store.load(scope)).get(name)
        else:
            before = await stored_contents.found(store, scope, name)
        if value is not None:
            try:
                return await stored_contents.replace_state(store, scope, name, before=before, after=value)
            except ValueError as error:
                raise click.UsageError(f"--value: {error}") from None
        text: str | None = printable_json(stored_contents.decoded(before or b"{}"), indent=2) + "\n"
        while (text := click.edit(text, extension=".json")) is not None:
            try:
                return await stored_contents.replace_state(store, scope, name, before=before, after=text)
            except ValueError as error:
                click.secho(str(error), fg="red", err=True)
                click.confirm("Edit again?", default=True, abort=True, err=True)
        return False
