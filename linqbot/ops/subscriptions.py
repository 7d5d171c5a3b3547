"""Webhook subscriptions as commands see them: which events a bot wants, where to, and what has to change for that.

Linq shows a signing secret once, in the answer that makes the subscription. So one is made quiet, with an event that
all but never happens; its secret is kept; and only then it is told what it is for. What stops in between leaves a quiet
one behind, which has lost nobody anything and is made anew.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from linqbot.bot import from_plugins
from linqbot.bot.router import Router
from linqbot.client.client import Client
from linqbot.errors import ConfigError
from linqbot.events.event import Event, UnknownEvent
from linqbot.events.parse import EVENT_TYPES
from linqbot.ops.bot_file import load_bot
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.secret_file import SecretFile
from linqbot.settings import Settings
from linqbot.types.webhook import WebhookSubscription
from linqbot.worker.turn import RECEIPTS

PAYLOAD_VERSION: Final = "2026-02-03"
PENDING: Final = ("environment.deleted",)
"""What a subscription asks for until its secret is kept."""

_VERSION = "version"
_GENERATION = "linqbot"
"""Query parameters that tell two subscriptions of one address apart: Linq wants every target to be another one."""


@dataclass(frozen=True, slots=True)
class Handled:
    """The event types a bot's handlers take.

    Attributes:
        everything: A handler takes what we have no class for, so that it wants whatever Linq has.
    """

    types: tuple[str, ...]
    everything: bool = False


def handled_in(file: str, settings: Settings) -> Handled:
    """The event types that the bot in a file takes, and the plugins that are served with it.

    Raises:
        ConfigError, LinqbotError: it cannot be loaded.
    """
    bot = load_bot(file)
    return handled(bot, *(router for _, router in from_plugins.routers(settings.load_plugins(bot.plugins))))


def handled(*routers: Router) -> Handled:
    """The event types some handler of a bot, or of the routers beside it, takes; in Linq's order."""
    classes = {route.event for router in routers for route, _ in router.walk()}
    types = tuple(name for name, event in EVENT_TYPES.items() if any(issubclass(event, each) for each in classes))
    return Handled(types, everything=not classes.isdisjoint({Event, UnknownEvent}))


async def events_for(client: Client, wants: Handled) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What to subscribe to: what the bot handles, and the receipts linqbot keeps its journal with.

    Returns:
        The event types; and those the bot handles that Linq does not offer.
    """
    offered = (await client.webhook_events.list()).events
    wanted = dict.fromkeys((*(offered if wants.everything else ()), *wants.types, *RECEIPTS))
    return tuple(name for name in wanted if name in offered), tuple(n for n in wanted if n not in offered)


def target(url: str) -> str:
    """The address to subscribe: https, with our webhook path unless it has one, and the payload version pinned.

    Raises:
        ConfigError: Linq would not deliver there, or linqbot not understand what comes.
    """
    try:
        split = urlsplit(url)
        host, _ = split.hostname, split.port
    except ValueError:
        split, host = urlsplit(""), None
    if not host or split.scheme not in {"http", "https"}:
        raise ConfigError(f"{url!r} is no address. Give the one the world reaches this bot by: https://your.host")
    if split.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"Linq delivers over https only. Give https://{split.netloc}, and let a proxy or tunnel end TLS."
        )
    if split.username or split.password or split.fragment:
        raise ConfigError("The address must hold no password, and no fragment: Linq shows it, and proxies log it.")
    version = dict(parse_qsl(split.query)).get(_VERSION, PAYLOAD_VERSION)
    if version != PAYLOAD_VERSION:
        raise ConfigError(f"linqbot wants payload version {PAYLOAD_VERSION}, not {version}. Leave ?version= out.")
    path = split.path if split.path not in {"", "/"} else WEBHOOK_PATH
    return pinned(urlunsplit((split.scheme, split.netloc, path, split.query, "")))


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, as the emulator's is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pinned(target_url: str) -> str:
    """The same target with our payload version."""
    return _with(target_url, _VERSION, PAYLOAD_VERSION)


def version_of(target_url: str) -> str | None:
    """The payload version it pins."""
    return dict(parse_qsl(urlsplit(target_url).query)).get(_VERSION)


def address(target_url: str) -> str:
    """Where deliveries go: the same for all generations of a subscription and all payload versions."""
    return _with(_with(target_url, _VERSION, None), _GENERATION, None)


def generation(target_url: str) -> int:
    """How often it was rotated, counted from 1."""
    told = dict(parse_qsl(urlsplit(target_url).query)).get(_GENERATION, "")
    return int(told) if told.isascii() and told.isdigit() else 1


def next_generation(target_url: str) -> str:
    """The same address under a target of its own."""
    return pinned(_with(target_url, _GENERATION, str(generation(target_url) + 1)))


def _with(target_url: str, name: str, value: str | None) -> str:
    split = urlsplit(target_url)
    query = [(key, old) for key, old in parse_qsl(split.query, keep_blank_values=True) if key != name]
    return urlunsplit(split._replace(query=urlencode([*query, *([(name, value)] if value else [])])))


def is_pending(one: WebhookSubscription) -> bool:
    """Made, and not yet told what it is for."""
    return tuple(one.subscribed_events) == PENDING


async def of_address(client: Client, url: str) -> list[WebhookSubscription]:
    """All subscriptions that deliver to an address, the newest generation first."""
    found = [one async for one in client.webhook_subscriptions.list() if address(one.target_url) == address(url)]
    return sorted(found, key=lambda one: generation(one.target_url), reverse=True)


async def create_quiet(
    client: Client, secrets: SecretFile, target_url: str, *, like: WebhookSubscription | None = None
) -> WebhookSubscription:
    """Make a subscription that says nothing yet, and keep its secret.

    Args:
        like: Lines and routing headers are those of this one.
    Raises:
        ConfigError: the secret could not be kept, so nothing was asked for.
    """
    secrets.prepare()
    made = await client.webhook_subscriptions.create(
        target_url=target_url,
        subscribed_events=PENDING,
        phone_numbers=like.phone_numbers or None if like else None,
        routing_id_header=like.routing_id_header or None if like else None,
        routing_key_header=like.routing_key_header or None if like else None,
    )
    try:
        secrets.keep(made.signing_secret, made.id)
    except BaseException:
        await client.webhook_subscriptions.delete(made.id)
        raise
    # What goes on from here holds no secret.
    return WebhookSubscription.model_validate(made.model_dump(exclude={"signing_secret"}))


Action: TypeAlias = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscription should be.

    Attributes:
        lines: Only these, E.164; empty is all; None leaves it as it is.
    """

    target_url: str
    events: tuple[str, ...]
    lines: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done, or in a dry run would be.

    Attributes:
        changes: By field, what it was and what it is now.
        others: Ids of further subscriptions to the same address.
        knows_secret: The secret was kept, now or earlier.
    """

    action: Action
    subscription: WebhookSubscription | None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    knows_secret: bool = True


async def sync(
    client: Client,
    secrets: SecretFile,
    wanted: Wanted,
    *,
    own: WebhookSubscription | None = None,
    dry_run: bool = False,
) -> Synced:
    """Make, or change, the one subscription of an address so that it is as wanted. Twice is as good as once.

    Args:
        own: Change this one, whatever its address.
        dry_run: Only tell.
    """
    kept = {each.subscription_id for each in secrets.read()}
    there = [own] if own else await of_address(client, wanted.target_url)
    # A quiet one without its secret never was of use: somebody was interrupted while making it.
    orphans = [one for one in there if is_pending(one) and one.id not in kept]
    there = [one for one in there if one not in orphans]
    if not dry_run:
        for orphan in orphans:
            await client.webhook_subscriptions.delete(orphan.id)
    if not there:
        if dry_run:
            return Synced("created", None, _differences(None, wanted))
        made = await create_quiet(client, secrets, wanted.target_url)
        return Synced("created", await _change(client, made, wanted), _differences(None, wanted))
    # While one is rotated there are two. The newest that has begun is the one that stays.
    chosen = next((one for one in there if not is_pending(one)), there[0])
    changes = _differences(chosen, wanted)
    after = await _change(client, chosen, wanted) if changes and not dry_run else chosen
    others = tuple(one.id for one in there if one is not chosen)
    return Synced("changed" if changes else "unchanged", after, changes, others, chosen.id in kept)


def _differences(one: WebhookSubscription | None, wanted: Wanted) -> dict[str, tuple[Any, Any]]:
    is_now: dict[str, Any] = {"target_url": None, "subscribed_events": [], "phone_numbers": [], "is_active": True}
    if one is not None:
        is_now = {
            "target_url": one.target_url,
            "subscribed_events": sorted(one.subscribed_events),
            "phone_numbers": sorted(one.phone_numbers or ()),
            "is_active": one.is_active,
        }
    same_address = one is not None and address(one.target_url) == address(wanted.target_url)
    to_be = {
        # Its generation stays: the target of a rotated one is as good as the first.
        "target_url": pinned(one.target_url) if one and same_address else wanted.target_url,
        "subscribed_events": sorted(wanted.events),
        "phone_numbers": is_now["phone_numbers"] if wanted.lines is None else sorted(wanted.lines),
        "is_active": True,
    }
    return {name: (is_now[name], to_be[name]) for name in to_be if is_now[name] != to_be[name]}


async def _change(client: Client, one: WebhookSubscription, wanted: Wanted) -> WebhookSubscription:
    fields = {name: after for name, (_, after) in _differences(one, wanted).items()}
    return await client.webhook_subscriptions.update(one.id, **fields)


async def own_lines(client: Client, asked: Sequence[str]) -> tuple[str, ...]:
    """The lines asked for, if the account has them.

    Raises:
        ConfigError: one is not the account's: its events would never come.
    """
    lines = {one.phone_number async for one in client.phone_numbers.list()}
    for number, line in enumerate(asked, 1):
        if line not in lines:
            raise ConfigError(
                f"--line number {number} is no line of this account, which has {len(lines)}. linqbot doctor shows them."
            )
    return tuple(dict.fromkeys(asked))
