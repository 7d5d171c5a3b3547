"""`linqbot webhooks`: list, create, change and delete subscriptions, and rotate the signing secret.

Secrets are stored in a file and never printed. The work is done by `ops/subscriptions.py` and `ops/rotation.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click

from linqbot.cli.completions import advice_on
from linqbot.cli.output import FiniteRange, file_argument, iso_time, json_option, print_facts, print_table, yes_option
from linqbot.client.client import Client
from linqbot.clock import SystemClock
from linqbot.errors import ConfigError, KeyMissing
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.types.line import WebhookSubscription
from linqbot.ops import subscriptions
from linqbot.ops.rotation import OVERLAP_S, Rotated, Rotation, duration
from linqbot.server.secret_file import SecretFile
from linqbot.settings import Settings, from_env, how_to_set_key
from linqbot.storage.journal import RECEIPTS

F = TypeVar("F", bound=Callable[..., Any])

_DONE = {"created": "Created", "changed": "Changed", "unchanged": "Nothing to change in"}
_WOULD_BE_DONE = {"created": "Would create", "changed": "Would change", "unchanged": "Nothing to change in"}

line_option = click.option(
    "--line", "lines", multiple=True, metavar="NUMBER", help="Deliver only events of this line, in E.164; repeatable."
)


def url_option(about: str) -> Callable[[F], F]:
    """Add the option --url, with a help text of the command's own."""
    return click.option("--url", metavar="URL", help=about)


@click.group("webhooks")
def command() -> None:
    """Subscribe the bot to Linq's events; rotate the signing secret. Secrets are stored in a file and never shown."""


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the account's subscriptions."""
    settings = account()

    async def work() -> list[dict[str, Any]]:
        kept = {each.subscription_id for each in settings.secret_file.read()}
        async with linq(settings) as client:
            return [_row(one, one.id in kept) async for one in client.webhook_subscriptions.list()]

    rows = asyncio.run(work())
    if not as_json:
        rows = [row | {"events": len(row["events"]), "lines": ", ".join(row["lines"]) or "all"} for row in rows]
        rows = [{name: _word(value) for name, value in row.items()} for row in rows]
    print_table(rows, as_json=as_json, empty="There are no subscriptions. See: linqbot webhooks sync --help")


@command.command("events")
@file_argument
@json_option
def events(file: str, as_json: bool) -> None:
    """Print the event types that `sync` would subscribe the bot in FILE to. Needs no token and no network."""
    handled = subscriptions.handled_in(file, from_env())
    rows = [{"type": name, "for": _purpose(name, handled)} for name in handled.needed]
    if as_json:
        print_facts({"events": [row["type"] for row in rows], "everything": handled.everything}, as_json=True)
    else:
        print_table(rows, as_json=False, empty="")


def _purpose(name: str, handled: subscriptions.Handled) -> str:
    if name in handled.types:
        return "the bot"
    return "linqbot's journal" if name in RECEIPTS else "answers to ctx.ask, ctx.pay, ctx.location, ctx.vote"


@command.command("create")
@url_option("Address to deliver to: https://your.host. Without a path, /webhooks/linq is added.")
@click.option("--event", "types", multiple=True, metavar="TYPE", help="An event type; repeatable. Default: all types.")
@line_option
@json_option
def create(url: str | None, types: tuple[str, ...], lines: tuple[str, ...], as_json: bool) -> None:
    """Subscribe an address to events of your choice. For a bot use `sync`, which chooses the events."""
    if url is None:
        raise click.UsageError("--url is missing. Give --url https://your.host, the address to deliver to.")
    if strangers := [name for name in types if name not in EVENT_TYPES]:
        raise click.UsageError(f"There is no event type {strangers[0]}. {advice_on(strangers[0])}")
    settings, target = account(), subscriptions.target(url)

    async def work() -> subscriptions.Synced:
        async with linq(settings) as client:
            if there := await subscriptions.of_address(client, target):
                raise ConfigError(f"{there[0].id} already delivers there. Change it with: linqbot webhooks sync")
            offered = (await client.webhook_events.list()).events
            wanted = subscriptions.Wanted(target, types or offered, await subscriptions.own_lines(client, lines))
            return await subscriptions.sync(client, settings.secret_file, wanted)

    print_synced(asyncio.run(work()), settings.secret_file, as_json=as_json, dry_run=False)


@command.command("sync")
@file_argument
@url_option("Public address of the bot: https://your.host. Needed only the first time.")
@line_option
@click.option("--all-lines", is_flag=True, help="Deliver events of all lines again, after --line.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
@json_option
def sync(*, file: str, url: str | None, lines: tuple[str, ...], all_lines: bool, dry_run: bool, as_json: bool) -> None:
    """Subscribe to exactly the events that the bot in FILE handles, and to those that linqbot itself needs.

    Linqbot needs the events by which people answer ctx.ask and the like, and the receipts of sent messages. Changes the
    existing subscription, or creates one and stores its secret where linqbot serve finds it. Running it again changes
    nothing.
    """
    if lines and all_lines:
        raise click.UsageError("Give either --line or --all-lines.")
    settings = account()
    handled = subscriptions.handled_in(file, settings)
    given = subscriptions.target(url) if url else None

    async def work() -> tuple[subscriptions.Synced, tuple[str, ...], list[WebhookSubscription]]:
        async with linq(settings) as client:
            target = given or await _known_target(client, settings.secret_file)
            wanted_events, not_offered = await subscriptions.events_for(client, handled)
            of = await subscriptions.own_lines(client, lines) if lines else () if all_lines else None
            wanted = subscriptions.Wanted(target, wanted_events, of)
            synced = await subscriptions.sync(client, settings.secret_file, wanted, dry_run=dry_run)
            return synced, not_offered, await subscriptions.elsewhere(client, settings.secret_file, target)

    synced, not_offered, elsewhere = asyncio.run(work())
    if not handled.types:
        click.secho(f"{file} handles no events, so it is subscribed only to receipts.", fg="yellow", err=True)
    for name in not_offered:
        click.secho(f"A handler takes {name}, but Linq does not offer it. It is left out.", fg="yellow", err=True)
    print_synced(synced, settings.secret_file, as_json=as_json, dry_run=dry_run, elsewhere=elsewhere)
    if synced.subscription is None or synced.knows_secret:
        if not as_json and not dry_run:
            click.echo(f"Next: linqbot doctor {file}")
        return
    click.secho(
        f"The secret of {synced.subscription.id} is not in {settings.webhook_secret_file}, and Linq shows it only once. "
        + ("If it is not in LINQ_WEBHOOK_SECRET either, make" if settings.webhook_secrets else "Make")
        + f" a new one: linqbot webhooks rotate --url {subscriptions.address(synced.subscription.target_url)}",
        fg="yellow",
        err=True,
    )
    if not settings.webhook_secrets:
        raise click.exceptions.Exit(1)


@command.command("rotate")
@url_option("Address of the subscription. Default: the one whose secret is stored here.")
@click.option(
    "--overlap",
    type=FiniteRange(0),
    default=OVERLAP_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the old secret stays valid next to the new one. A shorter time may lose deliveries that Linq is still "
    "retrying. Use 0 if the secret has leaked.",
)
@click.option(
    "--no-wait", is_flag=True, help="Do not wait for the end of the overlap. Run the same command later to finish."
)
@json_option
def rotate(url: str | None, overlap: float, no_wait: bool, as_json: bool) -> None:
    """Change the signing secret while the bot is served, without losing a delivery.

    Creates a second subscription for the address, checks that the bot accepts its secret, lets both deliver for a
    while, and deletes the first. If it is interrupted, run it again: it continues.
    """
    settings = account()
    given = subscriptions.target(url) if url else None

    async def work() -> Rotated:
        async with linq(settings) as client:
            target = given or await _known_target(client, settings.secret_file)
            rotation = Rotation(
                client,
                settings.secret_file,
                SystemClock(),
                lambda line: click.echo(line, err=True),
                given=settings.webhook_secrets,
            )
            return await rotation.run(target, overlap_s=overlap, wait=not no_wait)

    done = asyncio.run(work())
    if as_json:
        print_facts({"subscription": done.new, "old": done.old, "ends_at": iso_time(done.ends_at)}, as_json=True)
    elif done.ends_at is not None:
        click.echo(
            f"Both deliver now. To finish, run the same command in about {duration(done.ends_at - time.time())} or later."
        )
    else:
        click.echo(f"Rotated: {done.new} delivers with the new secret.")
    if settings.webhook_secrets and done.ends_at is None:
        click.echo(
            "The secret in LINQ_WEBHOOK_SECRET stays valid as long as it is set. If it is the old one, remove it.",
            err=True,
        )


@command.command("delete")
@click.argument("subscription_id", metavar="ID")
@yes_option
@json_option
def delete(subscription_id: str, yes: bool, as_json: bool) -> None:
    """Delete a subscription and its secret. Events that Linq has not yet delivered to it are lost."""
    settings = account()

    async def work() -> bool:
        async with linq(settings) as client:
            found = await client.webhook_subscriptions.retrieve(subscription_id)
            if not yes:
                asked = f"Delete {found.id}, which delivers {len(found.subscribed_events)} event types to {found.target_url}?"
                click.confirm(asked, abort=True, err=True)
            await client.webhook_subscriptions.delete(found.id)
            return settings.secret_file.drop(found.id)

    was_kept = asyncio.run(work())
    if as_json:
        print_facts({"deleted": subscription_id, "secret_dropped": was_kept}, as_json=True)
    else:
        click.echo(f"Deleted {subscription_id}{', and its secret' if was_kept else ''}.")


def account() -> Settings:
    """Return the settings, which have an API token.

    Raises:
        ConfigError: LINQ_API_V3_API_KEY is not set, or another setting cannot be read.
    """
    settings = from_env()
    if not settings.api_key:
        raise KeyMissing(f"LINQ_API_V3_API_KEY is not set. {how_to_set_key()}")
    return settings


@asynccontextmanager
async def linq(settings: Settings) -> AsyncIterator[Client]:
    """Open a client for settings that have an API token."""
    assert settings.api_key
    async with Client(settings.api_key, base_url=settings.base_url, timeout_s=20.0) as client:
        yield client


async def _known_target(client: Client, secrets: SecretFile) -> str:
    """Return the target of the subscription whose secret is stored here.

    Raises:
        click.UsageError: the stored secrets belong to no subscription, or to those of several addresses.
    """
    kept = {each.subscription_id for each in secrets.read()}
    found = [one async for one in client.webhook_subscriptions.list() if one.id in kept]
    addresses = sorted({subscriptions.address(one.target_url) for one in found})
    if len(addresses) != 1:
        known = f"Secrets are stored for: {', '.join(addresses)}." if addresses else "No secret is stored yet."
        raise click.UsageError(f"Which address? Give --url https://your.host. {known}")
    return subscriptions.pinned(addresses[0])


def print_synced(
    synced: subscriptions.Synced,
    secrets: SecretFile,
    *,
    as_json: bool,
    dry_run: bool,
    elsewhere: Sequence[WebhookSubscription] = (),
) -> None:
    """Print the changes to a subscription, made or, in a dry run, to be made; `elsewhere` has other addresses."""
    if as_json:
        print_facts(_as_json(synced, secrets, elsewhere, dry_run=dry_run), as_json=True)
        return
    done = (_WOULD_BE_DONE if dry_run else _DONE)[synced.action]
    click.secho(f"{done} {synced.subscription.id if synced.subscription else 'a subscription'}", bold=True)
    _, new_target = synced.changes.get("target_url", (None, None))
    target = new_target or (synced.subscription.target_url if synced.subscription else "")
    click.echo(f"  delivers to  {target}")
    for name, title, none in (("subscribed_events", "events", "none"), ("phone_numbers", "lines", "all")):
        if name in synced.changes:
            click.echo(f"  {title:<11}  {_difference(*synced.changes[name], none=none)}")
    if "is_active" in synced.changes:
        click.echo("  paused       no longer")
    if synced.action == "created" and not dry_run:
        click.echo(f"  secret       kept in {secrets.path}, readable by you only; linqbot serve finds it there")
    for other in synced.others:
        click.secho(f"{other} also delivers to this address. See: linqbot webhooks list", fg="yellow", err=True)
    for one in elsewhere:
        click.secho(
            f"Another subscription with a secret kept here delivers to {subscriptions.address(one.target_url)}. "
            f"If the bot has moved: linqbot webhooks delete {one.id}",
            fg="yellow",
            err=True,
        )


def _as_json(
    synced: subscriptions.Synced, secrets: SecretFile, elsewhere: Sequence[WebhookSubscription], *, dry_run: bool
) -> dict[str, Any]:
    return {
        "action": synced.action,
        "dry_run": dry_run,
        "subscription": _row(synced.subscription, synced.knows_secret) if synced.subscription else None,
        "changes": {name: {"from": before, "to": now} for name, (before, now) in synced.changes.items()},
        "others": synced.others,
        "elsewhere": [one.id for one in elsewhere],
        "secret_file": str(secrets.path),
    }


def _difference(before: Sequence[str], now: Sequence[str], *, none: str) -> str:
    changed = [f"+{name}" for name in now if name not in before] + [f"-{name}" for name in before if name not in now]
    return " ".join(changed if before and now else now or [none])


def _row(one: WebhookSubscription, knows_secret: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "target_url": one.target_url,
        "active": one.is_active,
        "events": list(one.subscribed_events),
        "lines": list(one.phone_numbers or ()),
        "secret_kept": knows_secret,
        "created_at": iso_time(one.created_at.timestamp()) if one.created_at else None,
    }


def _word(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
