"""Webhook subscriptions for commands: the events that a bot needs, and the changes that subscribe it to exactly these.

Linq shows a signing secret only once, in the response that creates the subscription. So a subscription is first created
as pending: for an event type that practically never occurs. Then its secret is stored, and only then its real event
types are set. A run that is interrupted in between leaves a pending subscription without a stored secret. It has
delivered nothing, and the next run replaces it. A new secret for a subscription in use is in `rotation.py`.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Collection, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.client import Client
from linqbot.clock import SystemClock
from linqbot.errors import ConfigError
from linqbot.features.asking.arrivals import ANSWERS
from linqbot.features.catalog import RELAYED
from linqbot.linq.events.event import Event, UnknownEvent
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.types.line import WebhookSubscription
from linqbot.plugins.registry import Plugin
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.secret_file import SecretFile
from linqbot.settings import Settings
from linqbot.storage.journal import RECEIPTS

PAYLOAD_VERSION: Final = "2026-02-03"
PENDING: Final = ("environment.deleted",)
"""The event types of a subscription until its secret is stored."""

_VERSION = "version"
_GENERATION = "linqbot"
"""Query parameters in which two subscriptions of one address differ: Linq requires all targets to be different."""


@dataclass(frozen=True, slots=True)
class Handled:
    types: tuple[str, ...]
    # A handler takes events for which linqbot has no class, so the bot needs every type that Linq offers.
    everything: bool = False
    # False if there is no handler at all, of posts and schedules neither: nothing can ask or send.
    has_handlers: bool = True
    # The name of each handler, and the plugins that are served with the bot; empty if only its event types are known.
    handlers: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """These types, and those that linqbot needs: answers and messages such as STOP, if there are handlers, and receipts."""
        of_people = ("message.received", *ANSWERS, *RELAYED) if self.has_handlers else ()
        return tuple(dict.fromkeys((*self.types, *of_people, *RECEIPTS)))


def handled_when_served(bot: Bot, settings: Settings) -> Handled:
    """Return the event types that the handlers of a bot and of its plugins take, in Linq's order.

    What its middleware and plugins print goes to standard error: the output of a command may be JSON.

    Raises:
        ConfigError: a plugin cannot be served.
        BotError: the bot cannot, for example because a handler can never run, or its middleware raised an error.
    """
    with redirect_stdout(sys.stderr):
        plugins = settings.load_plugins(bot.plugins)
        routes = Dispatcher(bot, SystemClock(), plugins=plugins).routes
    names = {id(route.handler): route.name for route in routes.all}  # one function may have several routes
    return replace(handled_by(routes.handled), handlers=tuple(names.values()), plugins=tuple(plugins.every))


def handled_by(classes: Collection[type[Event]]) -> Handled:
    types = tuple(name for name, event in EVENT_TYPES.items() if any(issubclass(event, each) for each in classes))
    return Handled(types, everything=Event in classes or UnknownEvent in classes, has_handlers=bool(classes))


async def events_for(client: Client, wants: Handled) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the event types to subscribe to: those that the bot handles, those that answer the questions of handlers, and
    the receipts that the journal needs.

    Returns:
        The event types, and those that the bot handles but Linq does not offer.
    """
    return events_among((await client.webhook_events.list()).events, wants)


def events_among(offered: Collection[str], wants: Handled) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the same as `events_for`, without asking Linq: `offered` are the event types that Linq offers."""
    wanted = dict.fromkeys((*(offered if wants.everything else ()), *wants.needed))
    return tuple(name for name in wanted if name in offered), tuple(n for n in wants.types if n not in offered)


def target(url: str) -> str:
    """Return the target for an address: with linqbot's webhook path if it has none, and the payload version pinned."""
    try:
        split = urlsplit(url)
        host, _ = split.hostname, split.port
    except ValueError:
        split, host = urlsplit(""), None
    if not host or split.scheme not in {"http", "https"}:
        raise ConfigError(f"{url!r} is not an address. Give the public address of this bot: https://your.host")
    if split.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"Linq delivers over https only. Give https://{split.netloc}, and let a proxy or tunnel terminate TLS."
        )
    if split.username or split.password or split.fragment:
        raise ConfigError("The address must not contain a password or a fragment: Linq shows it, and proxies log it.")
    version = dict(parse_qsl(split.query)).get(_VERSION, PAYLOAD_VERSION)
    if version != PAYLOAD_VERSION:
        raise ConfigError(f"linqbot needs payload version {PAYLOAD_VERSION}, not {version}. Leave out ?version=.")
    path = split.path if split.path not in {"", "/"} else WEBHOOK_PATH
    return pinned(urlunsplit((split.scheme, split.netloc, path, split.query, "")))


def is_loopback(host: str) -> bool:
    """Return True if the host is this machine, as with the emulator."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def pinned(target_url: str) -> str:
    return _with(target_url, _VERSION, PAYLOAD_VERSION)


def version_of(target_url: str) -> str | None:
    return dict(parse_qsl(urlsplit(target_url).query)).get(_VERSION)


def address(target_url: str) -> str:
    """Return the address of a target, which is the same for all generations and all payload versions."""
    return _with(_with(target_url, _VERSION, None), _GENERATION, None)


def generation(target_url: str) -> int:
    number = dict(parse_qsl(urlsplit(target_url).query)).get(_GENERATION, "")
    return int(number) if number.isascii() and number.isdigit() else 1


def next_generation(target_url: str) -> str:
    """Return the target of the next generation: the same address, but another target for Linq."""
    return pinned(_with(target_url, _GENERATION, str(generation(target_url) + 1)))


def _with(target_url: str, name: str, value: str | None) -> str:
    split = urlsplit(target_url)
    query = [(key, old) for key, old in parse_qsl(split.query, keep_blank_values=True) if key != name]
    return urlunsplit(split._replace(query=urlencode([*query, *([(name, value)] if value else [])])))


def is_pending(one: WebhookSubscription) -> bool:
    """Return True if a subscription is created but its real event types are not set yet."""
    return tuple(one.subscribed_events) == PENDING


def of_address(every: Sequence[WebhookSubscription], url: str) -> list[WebhookSubscription]:
    """Return the subscriptions that deliver to an address, the newest generation first.

    Of two that differ in the payload version only, the one with linqbot's version is first: Linq would refuse to give the
    other one the same target.
    """

    def newest(one: WebhookSubscription) -> tuple[int, bool]:
        return generation(one.target_url), version_of(one.target_url) == PAYLOAD_VERSION

    return sorted((one for one in every if address(one.target_url) == address(url)), key=newest, reverse=True)


_COPIED: Final = ("phone_numbers", "routing_id_header", "routing_key_header")
"""The fields of a subscription that the one which replaces it has too."""


async def create_pending(
    client: Client, secrets: SecretFile, target_url: str, *, like: WebhookSubscription | None = None
) -> WebhookSubscription:
    """Create a pending subscription and store its secret.

    Args:
        like: Copy the lines and routing headers of this subscription.
    Returns:
        The subscription, without its secret.
    """
    secrets.prepare()
    copied: dict[str, Any] = {name: getattr(like, name) or None for name in _COPIED} if like else {}
    made = await client.webhook_subscriptions.create(target_url=target_url, subscribed_events=PENDING, **copied)
    try:
        secrets.keep(made.signing_secret, made.id)
    except BaseException:
        await client.webhook_subscriptions.delete(made.id)
        raise
    # Without the secret, so that no caller can print it.
    return WebhookSubscription.model_validate(made.model_dump(exclude={"signing_secret"}))


Action: TypeAlias = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Synced:
    """The result of `sync`: the changes that were made, or in a dry run would be made."""

    action: Action
    subscription: WebhookSubscription | None  # the subscription afterwards; None if a dry run would create it
    changes: dict[str, tuple[Any, Any]]  # by field, the old and the new value
    others: tuple[str, ...]  # ids of other subscriptions to the same address
    elsewhere: tuple[WebhookSubscription, ...]  # those to other addresses whose secrets are stored here
    not_offered: tuple[str, ...]  # event types that the bot handles but Linq does not offer
    has_secret: bool  # the secret is stored here, or in a dry run would be


async def sync(
    client: Client,
    secrets: SecretFile,
    target_url: str,
    wants: Handled,
    *,
    lines: Sequence[str] | None = None,
    own: WebhookSubscription | None = None,
    dry_run: bool = False,
) -> Synced:
    """Create or change the subscription of an address so that it has the events of a bot. A second call changes nothing.

    Args:
        lines: Deliver only events of these lines, in E.164; () for all lines; None to leave the lines as they are.
        own: Change this subscription, even if it has another address.
        dry_run: Return the changes without making them.
    """
    events, not_offered = await events_for(client, wants)
    wanted = {"target_url": target_url, "subscribed_events": sorted(events), "is_active": True}
    if lines is not None:
        wanted["phone_numbers"] = sorted(await _own_lines(client, lines))
    kept = {each.subscription_id for each in secrets.read()}
    every = [one async for one in client.webhook_subscriptions.list()]
    there = [own] if own else of_address(every, target_url)
    # A pending one without a stored secret comes from a run that was interrupted while creating it.
    orphans = [one for one in there if is_pending(one) and one.id not in kept]
    there = [one for one in there if one not in orphans]
    # During a rotation there are two. The newest that is not pending is the one that will stay.
    chosen = next(iter([one for one in there if not is_pending(one)] or there), None)
    changes = _changes(chosen, wanted)
    after = chosen
    if not dry_run:
        for orphan in orphans:
            await client.webhook_subscriptions.delete(orphan.id)
        if changes:
            one = chosen or await create_pending(client, secrets, target_url)
            fields = {name: to_be for name, (_, to_be) in _changes(one, wanted).items()}
            after = await client.webhook_subscriptions.update(one.id, **fields)
    return Synced(
        "created" if chosen is None else "changed" if changes else "unchanged",
        after,
        changes,
        tuple(one.id for one in there if one is not chosen),
        tuple(one for one in every if one.id in kept and address(one.target_url) != address(target_url)),
        not_offered,
        chosen is None or chosen.id in kept,
    )


def _changes(one: WebhookSubscription | None, wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    is_now: dict[str, Any] = {"target_url": None, "subscribed_events": [], "phone_numbers": [], "is_active": True}
    if one is not None:
        is_now = {
            "target_url": one.target_url,
            "subscribed_events": sorted(one.subscribed_events),
            "phone_numbers": sorted(one.phone_numbers or ()),
            "is_active": one.is_active,
        }
        if address(one.target_url) == address(wanted["target_url"]):
            # The generation stays: a rotated subscription need not go back to the first target.
            wanted = wanted | {"target_url": pinned(one.target_url)}
    return {name: (is_now[name], to_be) for name, to_be in wanted.items() if is_now[name] != to_be}


async def _own_lines(client: Client, asked: Sequence[str]) -> set[str]:
    if not asked:
        return set()
    lines = {one.phone_number async for one in client.phone_numbers.list()}
    for number, line in enumerate(asked, 1):
        if line not in lines:
            raise ConfigError(
                f"--line number {number} is not a line of this account, which has {len(lines)}. To see them: linqbot check"
            )
    return set(asked)
