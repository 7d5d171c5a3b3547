"""`linqbot connect`: subscribe a bot to Linq's events, list and remove subscriptions, rotate the signing secret.

Secrets are stored in a file and never printed. The work is done by `ops/subscriptions.py` and `ops/rotation.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

import click

from linqbot.cli.kit import Arg, BotFile, Confirm, Opt, Result
from linqbot.cli.output import Number, iso_time, warn
from linqbot.client.client import Client
from linqbot.errors import LinqApiError
from linqbot.linq.types.line import WebhookSubscription
from linqbot.ops import subscriptions
from linqbot.ops.bot_file import load_quietly
from linqbot.ops.rotation import OVERLAP_S, Rotation
from linqbot.ops.subscriptions import Handled, Synced
from linqbot.server.secret_file import SecretFile
from linqbot.settings import Settings, from_env

_DONE: Final = {"created": "Created", "changed": "Changed", "unchanged": "Nothing to change in"}
_WOULD_BE_DONE: Final = {"created": "Would create", "changed": "Would change", "unchanged": "Nothing to change in"}


def sync(
    file: BotFile,
    *,
    url: Annotated[
        str | None,
        Opt(
            "Public address: https://your.host. Needed only the first time. Without a path, /webhooks/linq is added.",
            metavar="URL",
        ),
    ] = None,
    lines: Annotated[
        tuple[str, ...], Opt("Deliver only events of this line, in E.164; repeatable.", "--line", "NUMBER")
    ] = (),
    all_lines: Annotated[bool, Opt("Deliver events of all lines again, after --line.")] = False,
    dry_run: Annotated[
        bool, Opt("Print the event types and what would be done, and change nothing. Without a token, only the types.")
    ] = False,
) -> Result:
    """Subscribe to exactly the events that the bot in FILE handles, and to those that linqbot itself needs.

    Linqbot needs the events by which people answer ctx.ask and the like, and the receipts of sent messages. Changes the
    existing subscription, or creates one and stores its secret where linqbot serve finds it. Running it again changes
    nothing.
    """
    if lines and all_lines:
        raise click.UsageError("Give either --line or --all-lines.")
    settings = from_env()
    handled = subscriptions.handled_when_served(load_quietly(file), settings)
    events = {"events": list(handled.needed), "everything": handled.everything}
    if dry_run and not settings.api_key:
        note = "LINQ_API_V3_API_KEY is not set, so the present subscription is not known."
        return Result({"action": None, "dry_run": True, **events}, f"{' '.join(handled.needed)}\n\n{note}")
    given = subscriptions.target(url) if url else None
    of_lines = lines or (() if all_lines else None)
    done = asyncio.run(_sync(settings, handled, given, of_lines, dry_run=dry_run))
    if not handled.has_handlers:
        warn(f"{file} has no handlers, so it is subscribed only to receipts.")
    for name in done.not_offered:
        warn(f"A handler takes {name}, but Linq does not offer it. It is left out.")
    data = _as_json(done, settings.secret_file, dry_run=dry_run) | (events if dry_run else {})

    def show() -> None:
        if dry_run:
            click.echo(f"{' '.join(handled.needed)}\n")
        _print_synced(done, settings, dry_run=dry_run)
        if not dry_run and done.has_secret:
            click.echo(f"Next: linqbot check {file}")

    return Result(data, show, exit_code=int(not (done.has_secret or settings.webhook_secrets)))


async def _sync(
    settings: Settings, handled: Handled, given: str | None, lines: tuple[str, ...] | None, *, dry_run: bool
) -> Synced:
    async with linq(settings) as client:
        target = given or await _known_target(client, settings.secret_file)
        return await subscriptions.sync(client, settings.secret_file, target, handled, lines=lines, dry_run=dry_run)


async def rotate(
    *,
    url: Annotated[
        str | None, Opt("Address of the subscription. Default: the one whose secret is stored here.", metavar="URL")
    ] = None,
    overlap: Annotated[
        float,
        Opt(
            "How long the old secret stays valid next to the new one. A shorter time may lose deliveries that Linq is still "
            "retrying. Use 0 if the secret has leaked.",
            metavar="SECONDS",
            type=Number(0),
        ),
    ] = OVERLAP_S,
) -> Result:
    """Change the signing secret while the bot is served, without losing a delivery.

    Creates a second subscription for the address, checks that the bot accepts its secret, lets both deliver for a
    while, and deletes the first. If it is interrupted, run it again: it continues.
    """
    settings = from_env()
    given = subscriptions.target(url) if url else None
    async with linq(settings) as client:
        target = given or await _known_target(client, settings.secret_file)
        report = partial(click.echo, err=True)
        rotation = Rotation(client, settings.secret_file, report, settings.webhook_secrets)
        new = await rotation.run(target, overlap_s=overlap)
    if settings.webhook_secrets:
        kept = "The secret in LINQ_WEBHOOK_SECRET stays valid as long as it is set. If it is the old one, remove it."
        click.echo(kept, err=True)
    return Result({"subscription": new}, f"Rotated: {new} delivers with the new secret.")


async def list_() -> Result:
    """List the account's subscriptions."""
    settings = from_env()
    kept = {each.subscription_id for each in settings.secret_file.read()}
    async with linq(settings) as client:
        rows = [_row(one, one.id in kept) async for one in client.webhook_subscriptions.list()]
    shown = [row | {"events": len(row["events"]), "lines": ", ".join(row["lines"]) or "all"} for row in rows]
    shown = [{name: _word(value) for name, value in row.items()} for row in shown]
    return Result(rows, shown, "There are no subscriptions. See: linqbot connect sync --help")


async def remove(subscription_id: Annotated[str, Arg("ID")], confirm: Confirm) -> Result:
    """Delete a subscription and its secret. Events that Linq has not yet delivered to it are lost."""
    settings = from_env()
    async with linq(settings) as client:
        try:
            found = await client.webhook_subscriptions.retrieve(subscription_id)
        except LinqApiError as error:
            kept = {each.subscription_id for each in settings.secret_file.read()}
            if error.status != 404 or subscription_id not in kept:
                raise
            # Deleted elsewhere, such as on Linq's dashboard. Without this the bot would accept its secret for ever.
            confirm(f"Linq has no subscription {subscription_id}. Delete its secret?")
            settings.secret_file.drop(subscription_id)
            shown = f"Deleted the secret of {subscription_id}."
            return Result({"deleted": subscription_id, "secret_dropped": True}, shown)
        confirm(f"Delete {found.id}, which delivers {len(found.subscribed_events)} event types to {found.target_url}?")
        await client.webhook_subscriptions.delete(found.id)
        was_kept = settings.secret_file.drop(found.id)
    shown = f"Deleted {subscription_id}{', and its secret' if was_kept else ''}."
    return Result({"deleted": subscription_id, "secret_dropped": was_kept}, shown)


def linq(settings: Settings) -> Client:
    return Client(settings.required_key(), base_url=settings.base_url, timeout_s=20.0)


async def _known_target(client: Client, secrets: SecretFile) -> str:
    """Return the target of the subscription whose secret is stored here."""
    kept = {each.subscription_id for each in secrets.read()}
    found = [one async for one in client.webhook_subscriptions.list() if one.id in kept]
    addresses = sorted({subscriptions.address(one.target_url) for one in found})
    if len(addresses) != 1:
        known = f"Secrets are stored for: {', '.join(addresses)}." if addresses else "No secret is stored yet."
        raise click.UsageError(f"Which address? Give --url https://your.host. {known}")
    return subscriptions.pinned(addresses[0])


def _print_synced(synced: Synced, settings: Settings, *, dry_run: bool) -> None:
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
        click.echo(
            f"  secret       kept in {settings.secret_file.path}, readable by you only; linqbot serve finds it there"
        )
    for other in synced.others:
        warn(f"{other} also delivers to this address. See: linqbot connect list")
    for one in synced.elsewhere:
        warn(
            f"Another subscription with a secret kept here delivers to {subscriptions.address(one.target_url)}. "
            f"If the bot has moved: linqbot connect remove {one.id}"
        )
    if synced.subscription is not None and not synced.has_secret:
        one = synced.subscription
        warn(
            f"The secret of {one.id} is not in {settings.webhook_secret_file}, and Linq shows it only once. "
            + ("If it is not in LINQ_WEBHOOK_SECRET either, make" if settings.webhook_secrets else "Make")
            + f" a new one: linqbot connect rotate --url {subscriptions.address(one.target_url)}"
        )


def _as_json(synced: Synced, secrets: SecretFile, *, dry_run: bool) -> dict[str, Any]:
    return {
        "action": synced.action,
        "dry_run": dry_run,
        "subscription": _row(synced.subscription, synced.has_secret) if synced.subscription else None,
        "changes": {name: {"from": before, "to": now} for name, (before, now) in synced.changes.items()},
        "others": synced.others,
        "elsewhere": [one.id for one in synced.elsewhere],
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
