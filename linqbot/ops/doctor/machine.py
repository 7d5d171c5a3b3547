"""Checks of this machine: the secret, the storage, the process that serves it, the versions, recent refusals.

They read files and change none. Most checks sign with the stored secrets, which the server accepts. If Linq signs with
other secrets, only the server notices, because it refuses Linq's own deliveries. `server/refusals.py` records that next
to the storage, and `refused` reads the record. The checks of the account are in `account.py`, those of the public
address in `public.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from linqbot.clock import clock_time
from linqbot.errors import ConfigError, LinqbotError
from linqbot.linq.types.line import WebhookSubscription
from linqbot.ops.bot_file import own_opt_outs
from linqbot.ops.doctor.context import DoctorContext, Finding, Skip, failure, finding_of, ok, warning
from linqbot.ops.subscriptions import address
from linqbot.options import DAY_S
from linqbot.plugin_loading import NAME_TAKEN
from linqbot.plugins.registry import Plugin
from linqbot.server.refusals import RefusalCount, Refusals, read
from linqbot.server.secret_file import KnownSecrets
from linqbot.settings import Settings
from linqbot.storage.backend import StorageBackend
from linqbot.storage.open import backend_of, path_of, scheme
from linqbot.storage.sqlite.file import mode_for_all
from linqbot.storage.sqlite.upkeep import SQLiteCheckup, check_up

ENOUGH_BYTES: Final = 1 << 30
TOO_LITTLE_BYTES: Final = 100 << 20


async def secret(context: DoctorContext) -> Sequence[Finding]:
    """Check that each subscription's signing secret is stored here, and that other users cannot read it."""
    KnownSecrets(context.settings.webhook_secrets, context.settings.secret_file)  # an error is that of linqbot serve
    return [*_readers(context.settings.webhook_secret_file), *await _secrets_of_subscriptions(context)]


async def _secrets_of_subscriptions(context: DoctorContext) -> list[Finding]:
    kept = {each.subscription_id for each in context.kept()}
    try:
        there = await context.subscribed()
    except Skip as reason:
        what = f"There is a secret. It is not known if it is the subscription's: {reason}"
        return [Finding("secret", "skipped", what)]
    if not there:
        return [Finding("secret", "skipped", "There is a secret, and no subscription that it could belong to.")]
    return [await _of_subscription(context, one, kept) for one in there]


async def _of_subscription(context: DoctorContext, one: WebhookSubscription, kept: Collection[str | None]) -> Finding:
    if one.id in kept:
        return ok("secret", f"The secret of {one.id} is in {context.settings.webhook_secret_file}.")
    if None in kept or context.settings.webhook_secrets:
        at = await asyncio.to_thread(heard_at, context)
        if at is not None and one.created_at is not None and at > one.created_at.timestamp():
            # Not that the secret fits: it may have been changed since.
            return ok("secret", f"Deliveries of {one.id} have been accepted here, the last about {clock_time(at)}.")
        what = f"There is a secret, but linqbot cannot tell if it is that of {one.id}."
        return warning("secret", "LQB6042", what, url=address(one.target_url))
    what = f"The secret of {one.id} is not stored here."
    return failure("secret", "LQB6041", what, url=address(one.target_url))


def _readers(path: Path) -> list[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return []
    if not mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        return []
    return [warning("secret", "LQB6043", f"Other users can read {path}: its mode is {stat.S_IMODE(mode):04o}.")]


async def storage(context: DoctorContext) -> Sequence[Finding]:
    """Check that deliveries can be stored, that the disk has room, and that the bot can go on with what it holds."""
    url = context.settings.storage
    backend = await asyncio.to_thread(_backend, context.settings)
    if scheme(url) == "memory":
        return [warning("storage", "LQB6083", "It is in memory: waiting deliveries are lost when the process ends.")]
    path = path_of(url)
    if path is None:
        return await _of_plugin(context, backend)
    how = await asyncio.to_thread(check_up, path)
    return [
        _file(path, how),
        *_readable(path),
        *_inside(how.dead),
        *_questions(context, how.questions),
        *_room(path, how),
    ]


def _backend(settings: Settings) -> StorageBackend:
    """Return the backend of the storage. Raises ConfigError if there is none for its URL, or if the URL cannot be used."""
    backend = backend_of(settings.storage, settings.backends_for(settings.storage))
    backend.open(settings.storage, clock=None, serving=False, keep_days=settings.keep_days)
    return backend


async def _of_plugin(context: DoctorContext, backend: StorageBackend) -> list[Finding]:
    url = context.settings.storage
    how = await backend.check_up(url)
    if how is None:
        what = f"A plugin brings the storage for {scheme(url)}:// URLs, which linqbot check cannot look into."
        return [ok("storage", what)]
    return [ok("storage", how.what), *_inside(how.dead), *_questions(context, how.questions)]


def _file(path: Path, how: SQLiteCheckup) -> Finding:
    if how.schema is None and how.serving:
        return failure("storage", "LQB6089", f"{path} is gone while process {how.serving} serves it.")
    if how.schema is None:
        return ok("storage", f"{path} does not exist yet and can be created.")
    by = f"process {how.serving} serves it" if how.serving else "no process serves it"
    return ok("storage", f"{path} is writable (schema {how.schema}, {how.journal}), {by}, {how.waiting} waiting.")


def _readable(path: Path) -> list[Finding]:
    try:
        mode = mode_for_all(path)
    except OSError:
        return []
    if mode is None:
        return []
    return [
        warning("storage", "LQB6084", f"Every user can read {path}: its mode is {mode:04o}.", storage_file=str(path))
    ]


def _inside(dead: int) -> list[Finding]:
    if not dead:
        return []
    count = "1 dead letter" if dead == 1 else f"{dead} dead letters"
    return [warning("storage", "LQB6085", f"There {'is' if dead == 1 else 'are'} {count}.")]


def _questions(context: DoctorContext, waiting: Mapping[str, int]) -> list[Finding]:
    if context.handled is None:
        return []
    lost = {handler: count for handler, count in waiting.items() if handler not in context.handled.handlers}
    if not lost:
        return []
    count = sum(lost.values())
    questions = "1 open question cannot go on" if count == 1 else f"{count} open questions cannot go on"
    named = f"{'handler' if len(lost) == 1 else 'handlers'} {', '.join(sorted(lost))}"
    return [warning("questions", "LQB6087", f"{questions}: the bot has no {named}.")]


async def words(context: DoctorContext) -> Sequence[Finding]:
    return [warning("words", "LQB6092", each) for each in (own_opt_outs(context.bot) if context.bot else ())]


async def tell(context: DoctorContext) -> Sequence[Finding]:
    """Check that the owner can learn of each kind of trouble."""
    telling = context.settings.telling()
    if telling is None or not telling.targets:
        return []
    if telling.is_only_by_linq:
        return [warning("tell", "LQB6094", "LINQBOT_TELL names only texts.")]
    return [ok("tell", f"You learn of troubles by {_count_of(telling.targets)}.")]


def _count_of(targets: Sequence[str]) -> str:
    names = {"sms": "a text", "mailto": "an e-mail"}
    return ", ".join(dict.fromkeys(names.get(each.partition(":")[0], "a webhook") for each in targets))


def _room(path: Path, how: SQLiteCheckup) -> list[Finding]:
    left = f"{how.free_bytes / 2**30:.1f} GiB are free on the disk of {path.name}."
    if how.free_bytes < TOO_LITTLE_BYTES:
        return [failure("disk", "LQB6082", left)]
    if how.free_bytes < ENOUGH_BYTES:
        return [warning("disk", "LQB6082", left)]
    return [ok("disk", left)]


async def versions(context: DoctorContext) -> Sequence[Finding]:
    """Report the installed versions, and check that the plugins can be loaded, as `linqbot serve` loads them."""
    here = f"linqbot {version('linqbot')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    refused: list[Finding] = []
    plugins: Sequence[Plugin] = ()
    try:
        plugins = await _plugins(context)
    except ConfigError as error:
        # Of a bot's file that does not load, the finding "bot" gives the reason.
        if context.file is None:
            refused = [finding_of("plugins", error)]
    installed = [plugin for plugin in plugins if plugin.version is not None]
    named = ", ".join(f"{each.name} {each.version}{' (left out)' * (each.status == 'left out')}" for each in installed)
    missing = [of_plugin(plugin) for plugin in plugins if plugin.status == "disabled" or plugin.why == NAME_TAKEN]
    return [ok("versions", f"{here}; plugins: {named or 'none'}."), *refused, *missing]


def of_plugin(plugin: Plugin) -> Finding:
    origin = "linqbot" if plugin.is_built_in else plugin.distribution or "the bot's code"
    about = f"{plugin.name}{f' {plugin.version}' if plugin.version else ''} of {origin}"
    needed = ", required" if plugin.required else ""
    why = plugin.why or plugin.observer_error
    if plugin.status == "left out" and why != NAME_TAKEN:
        return ok("plugins", f"{about} is left out: {why}.")
    if why is None:
        what = f"{about} is {plugin.status}{needed}"
        return ok("plugins", f"{what}; it has {', '.join(plugin.hooks)}." if plugin.hooks else f"{what}.")
    report = failure if plugin.required and not plugin.is_on else warning
    return report(
        "plugins", "LQB6090", f"{about} is {plugin.status}{needed}: {why}.", name=plugin.distribution or plugin.name
    )


async def _plugins(context: DoctorContext) -> Sequence[Plugin]:
    """Return the plugins that are served with the bot; without the bot's file, those that are installed."""
    if context.handled is not None:
        return context.handled.plugins
    return (await asyncio.to_thread(context.settings.load_plugins, lenient=True)).every


HEARD_PRECISION_S: Final = 60.0
"""Seconds by which the storage's time of the latest accepted delivery may be too early."""


async def refused(context: DoctorContext) -> Sequence[Finding]:
    path = context.settings.refusals_file
    if path is None:
        raise Skip("The storage is not a file, so the server keeps no record of what it refused.")
    # Read at once: the test events of the other checks must not count.
    record = read(path)
    if record is None:
        return [ok("refused", f"No server has recorded refused deliveries in {path.name} yet.")]
    return await _of_subscriptions(context, record) or [_unknown(context, record)]


async def _of_subscriptions(context: DoctorContext, record: Refusals) -> list[Finding]:
    """Report refused deliveries that named one of our subscriptions, whose ids no stranger knows."""
    urls: dict[str, str] | None = None
    forged = [each for each in _forged(context, record) if each.subscription_id is not None]
    if forged:
        with contextlib.suppress(Skip):
            urls = {one.id: address(one.target_url) for one in await context.subscriptions()}
    findings = []
    for each in forged:
        # A subscription that was deleted, as at the end of a rotation, delivers no more.
        if urls is not None and each.subscription_id not in urls:
            continue
        what = (
            f"The server refused {_count(each, 'delivery', 'deliveries')} of {each.subscription_id}, the last at "
            f"{clock_time(each.last_at)}: no secret that is stored here fits the signature."
        )
        facts = {} if urls is None else {"url": urls[str(each.subscription_id)]}
        findings.append(failure("refused", "LQB6045", what, **facts))
    return findings


def _forged(context: DoctorContext, record: Refusals) -> list[RefusalCount]:
    """Return the forgeries since the secrets were changed. The server may have learned the right secret since older ones."""
    settings = context.settings
    changed_at = 0.0
    with contextlib.suppress(OSError):
        changed_at = settings.webhook_secret_file.stat().st_mtime
    if settings.webhook_secrets:
        changed_at = max(changed_at, record.started_at)
    return [each for each in record.refused if each.reason == "forged" and each.last_at > changed_at]


def _unknown(context: DoctorContext, record: Refusals) -> Finding:
    """Report requests without a valid signature that named no subscription of ours, and so may be anyone's."""
    lately = [each for each in _forged(context, record) if each.last_at > time.time() - DAY_S]
    lately = [each for each in lately if each.subscription_id is None]
    if not lately:
        return ok("refused", "The server has lately refused no delivery.")
    (each,) = lately
    requests = _count(each, "request", "requests")
    what = f"The server refused {requests} without a valid signature, the last at {clock_time(each.last_at)}"
    accepted_at = heard_at(context)
    if accepted_at is not None and accepted_at + HEARD_PRECISION_S > each.last_at:
        since = (
            "It has accepted a delivery of Linq's within the same minute or later, so they were probably not from Linq."
        )
        return ok("refused", f"{what}. {since}")
    return warning("refused", "LQB6046", f"{what}. It has accepted no delivery of Linq's since.")


def heard_at(context: DoctorContext) -> float | None:
    """Return when a delivery was last stored here, in Unix seconds; None if that is not known. Only verified ones are."""
    path = path_of(context.settings.storage)
    try:
        return check_up(path).heard_at if path is not None else None
    except LinqbotError:
        return None


def _count(each: RefusalCount, one: str, many: str) -> str:
    return f"{each.count} {one if each.count == 1 else many}"
