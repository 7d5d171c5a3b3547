"""`linqbot storage`: check a storage, bring its schema up to date, and copy it to another place or another backend.

The work is in `ops/stored_contents.py`.
"""

from __future__ import annotations

import asyncio

import click

from linqbot.cli.output import json_option, print_facts, share_bar
from linqbot.cli.storage_option import storage_option
from linqbot.ops import stored_contents
from linqbot.settings import from_env
from linqbot.storage.contents import Digest


@click.group("storage")
def command() -> None:
    """Check, migrate and copy the storage: a file of SQLite, or PostgreSQL."""


@command.command("check")
@storage_option
@json_option
@click.pass_context
def check(ctx: click.Context, storage: str | None, as_json: bool) -> None:
    """Check the schema and the rows of the storage. Works next to a running server.

    Exit code 1 means that problems were found. Two storages with the same digest hold the same.
    """
    url = from_env(storage=storage).storage
    with share_bar("Checking") as progress:
        report = asyncio.run(stored_contents.check(url, progress))
    print_facts(
        {
            "storage": report.schema.name,
            "schema": report.schema.have,
            "newest_schema": report.schema.newest,
            "serving": report.schema.serving,
            **_contents(report.digest, as_json=as_json),
            "problems": list(report.problems) if as_json else len(report.problems),
        },
        as_json=as_json,
    )
    if not as_json:
        for problem in report.problems:
            click.secho(problem, fg="red")
    if report.problems:
        ctx.exit(1)


@command.command("migrate")
@storage_option
@json_option
def migrate(storage: str | None, as_json: bool) -> None:
    """Bring the schema of the storage up to date, or create the storage.

    linqbot serve does the same when it starts. A file must not be served meanwhile; PostgreSQL may be.
    """
    before = asyncio.run(stored_contents.migrate(from_env(storage=storage).storage))
    if as_json:
        print_facts({"storage": before.name, "before": before.have, "schema": before.newest}, as_json=True)
    elif before.have == before.newest:
        click.echo(f"{before.name} has schema {before.have}, the newest. Nothing was changed.")
    elif before.have:
        click.echo(f"{before.name}: brought from schema {before.have} to {before.newest}.")
    else:
        click.echo(f"{before.name}: created with schema {before.newest}.")


@command.command("copy")
@click.argument("source")
@click.argument("target")
@json_option
def copy(source: str, target: str, as_json: bool) -> None:
    """Copy everything from the storage SOURCE to the empty storage TARGET.

    Both are URLs, such as sqlite:///linqbot.db and
    postgresql://bot@db.example.com/linqbot. No process may serve them meanwhile.
    The same command continues a copy that was interrupted. At the end, the rows
    of both storages are counted and compared.
    """
    with share_bar("Copying") as progress:
        copied = asyncio.run(stored_contents.copy(source, target, progress))
    print_facts(
        {
            "source": copied.source,
            "target": copied.target,
            **_contents(copied.digest, as_json=as_json),
            "resumed_at": copied.resumed_at or None,
            "seconds": round(copied.seconds, 3),
        },
        as_json=as_json,
    )
    if not as_json:
        click.echo("Both storages hold the same now. Serve only one of them, or both answer what waits.")


def _contents(digest: Digest | None, *, as_json: bool) -> dict[str, object]:
    """Return the facts about the rows: as programs need them, or without tables that are empty."""
    if digest is None:
        return {}
    rows = dict(digest.rows)
    if as_json:
        return {"rows": rows, "digest": digest.whole, "digests": dict(digest.hashes)}
    return {"rows": ", ".join(f"{count} {table}" for table, count in rows.items() if count), "digest": digest.whole}
