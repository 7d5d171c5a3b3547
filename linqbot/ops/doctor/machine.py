"""Checks of this machine: the signing secret, the storage, the process that serves it, the installed versions.

They read files and change none. The checks of the account are in `account.py`, those of the public address in
`public.py`.
"""

from __future__ import annotations

import asyncio
import errno
import platform
import stat
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.ops.doctor.context import DoctorContext
from linqbot.ops.doctor.finding import Finding, Findings, Skip
from linqbot.ops.doctor.refusals import heard_at, utc
from linqbot.ops.subscriptions import address
from linqbot.plugins.plugin import Plugin
from linqbot.storage.backend import NewerSchema
from linqbot.storage.open import register_storage, scheme
from linqbot.storage.sqlite.disk.checkup import SQLiteCheckup, check_up, path_of
from linqbot.types.webhook import WebhookSubscription
from linqbot.webhooks import Secret

ENOUGH_BYTES: Final = 1 << 30
TOO_LITTLE_BYTES: Final = 100 << 20
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


async def secret(context: DoctorContext) -> Sequence[Finding]:
    """Check that each subscription's signing secret is stored here, and that other users cannot read it."""
    found = await context.findings()
    try:
        kept = context.settings.secret_file.read()
        for given in context.settings.webhook_secrets:
            Secret.parse(given)
    except ConfigError as error:
        return [found.failure("secret", "LQB6044", str(error))]
    if not kept and not context.settings.webhook_secrets:
        where = context.settings.webhook_secret_file
        return [found.failure("secret", "LQB6040", f"LINQ_WEBHOOK_SECRET is not set, and {where} holds no secret.")]
    return [*_readers(found, context.settings.webhook_secret_file), *await _of_subscriptions(context, found)]


async def _of_subscriptions(context: DoctorContext, found: Findings) -> list[Finding]:
    kept = {each.subscription_id for each in context.kept()}
    try:
        there = await context.subscribed()
    except Skip as reason:
        what = f"There is a secret. It is not known if it is the subscription's: {reason}"
        return [Finding("secret", "skipped", what)]
    if not there:
        return [Finding("secret", "skipped", "There is a secret, and no subscription that it could belong to.")]
    return [await _of_subscription(context, found, one, kept) for one in there]


async def _of_subscription(
    context: DoctorContext, found: Findings, one: WebhookSubscription, kept: Collection[str | None]
) -> Finding:
    if one.id in kept:
        return found.ok("secret", f"The secret of {one.id} is in {context.settings.webhook_secret_file}.")
    if None in kept or context.settings.webhook_secrets:
        at = await asyncio.to_thread(heard_at, context)
        if at is not None and one.created_at is not None and at > one.created_at.timestamp():
            # Not that the secret fits: it may have been changed since.
            return found.ok("secret", f"Deliveries of {one.id} have been accepted here, the last about {utc(at)}.")
        what = f"There is a secret, but linqbot cannot tell if it is that of {one.id}."
        return found.warning("secret", "LQB6042", what, url=address(one.target_url))
    what = f"The secret of {one.id} is not stored here."
    return found.failure("secret", "LQB6041", what, url=address(one.target_url))


def _readers(found: Findings, path: Path) -> list[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return []
    if not mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        return []
    return [found.warning("secret", "LQB6043", f"Other users can read {path}: its mode is {stat.S_IMODE(mode):04o}.")]


async def storage(context: DoctorContext) -> Sequence[Finding]:
    """Check that deliveries can be stored, that the disk has room, and that the bot can go on with what it holds."""
    found = await context.findings()
    url = context.settings.storage
    try:
        await asyncio.to_thread(context.settings.open_storage, serving=False)
    except ConfigError as error:
        return [found.failure("storage", "LQB6084", str(error))]
    if scheme(url) not in register_storage():
        return [
            found.ok(
                "storage", f"A plugin brings the storage for {scheme(url)}:// URLs, which doctor cannot look into."
            )
        ]
    if scheme(url) == "postgresql":
        return await _database(context, found, url)
    path = path_of(url)
    if path is None:
        return [
            found.warning("storage", "LQB6083", "It is in memory: waiting deliveries are lost when the process ends.")
        ]
    return await _in_file(context, found, path)


async def _in_file(context: DoctorContext, found: Findings, path: Path) -> list[Finding]:
    try:
        how = await asyncio.to_thread(check_up, path)
    except NewerSchema as error:
        return [found.failure("storage", "LQB6081", str(error))]
    except ConfigError as error:
        return [found.failure("storage", "LQB6084", str(error))]
    except StorageUnavailable as error:
        is_full = isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL
        return [found.failure("storage", "LQB6082" if is_full else "LQB6080", str(error))]
    questions = _questions(context, found, how.questions)
    return [_file(found, path, how), *_inside(found, how.dead), *questions, *_room(found, path, how)]


async def _database(context: DoctorContext, found: Findings, url: str) -> list[Finding]:
    # Imported here: asyncpg is installed only where a storage in PostgreSQL is used.
    from linqbot.storage.postgres import checkup

    try:
        how = await checkup.check_up(url)
    except NewerSchema as error:
        return [found.failure("storage", "LQB6081", str(error))]
    except ConfigError as error:
        return [found.failure("storage", "LQB6084", str(error))]
    except StorageUnavailable as error:
        return [found.failure("storage", "LQB6088", str(error))]
    if how.lacks is not None:
        return [found.failure("storage", "LQB6088", f"The user of {how.name} lacks the right {how.lacks}.")]
    if how.schema is None:
        return [found.ok("storage", f"{how.name} answers (version {how.version}). Its schema does not exist yet.")]
    by = "1 process serves it" if how.serving == 1 else f"{how.serving} processes serve it"
    what = f"{how.name} answers (version {how.version}, schema {how.schema}), {by}, {how.waiting} waiting."
    return [found.ok("storage", what), *_inside(found, how.dead), *_questions(context, found, how.questions)]


def _file(found: Findings, path: Path, how: SQLiteCheckup) -> Finding:
    if how.schema is None and how.serving:
        return found.failure("storage", "LQB6089", f"{path} is gone while process {how.serving} serves it.")
    if how.schema is None:
        return found.ok("storage", f"{path} does not exist yet and can be created.")
    by = f"process {how.serving} serves it" if how.serving else "no process serves it"
    return found.ok("storage", f"{path} is writable (schema {how.schema}, {how.journal}), {by}, {how.waiting} waiting.")


def _inside(found: Findings, dead: int) -> list[Finding]:
    if not dead:
        return []
    count = "1 dead letter" if dead == 1 else f"{dead} dead letters"
    return [found.warning("storage", "LQB6085", f"There {'is' if dead == 1 else 'are'} {count}.")]


def _questions(context: DoctorContext, found: Findings, waiting: Mapping[str, int]) -> list[Finding]:
    """Report the open questions that the bot's code cannot continue, if the bot's file is known."""
    handlers = None if context.handled is None else context.handled.handlers
    if handlers is None:
        return []
    lost = {handler: count for handler, count in waiting.items() if handler not in handlers}
    if not lost:
        return []
    count = sum(lost.values())
    questions = "1 open question cannot go on" if count == 1 else f"{count} open questions cannot go on"
    named = f"{'handler' if len(lost) == 1 else 'handlers'} {', '.join(sorted(lost))}"
    return [found.warning("questions", "LQB6087", f"{questions}: the bot has no {named}.")]


async def words(context: DoctorContext) -> Sequence[Finding]:
    """Report the words that the bot offers to people and by which they opt out instead."""
    found = await context.findings()
    opt_outs = () if context.handled is None else context.handled.opt_outs
    return [found.warning("words", "LQB6092", each) for each in opt_outs]


def _room(found: Findings, path: Path, how: SQLiteCheckup) -> list[Finding]:
    left = f"{how.free_bytes / 2**30:.1f} GiB are free on the disk of {path.name}."
    if how.free_bytes < TOO_LITTLE_BYTES:
        return [found.failure("disk", "LQB6082", left)]
    if how.free_bytes < ENOUGH_BYTES:
        return [found.warning("disk", "LQB6082", left)]
    return [found.ok("disk", left)]


async def versions(context: DoctorContext) -> Sequence[Finding]:
    """Report the installed versions, and check that the plugins can be loaded, as `linqbot serve` loads them."""
    found = await context.findings()
    here = f"linqbot {version('linqbot')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    refused: list[Finding] = []
    plugins: Sequence[Plugin] = ()
    try:
        plugins = await _plugins(context)
    except ConfigError as error:
        # Of a bot's file that does not load, the finding "bot" gives the reason.
        if context.file is None:
            refused = [found.failure("plugins", "LQB6091", str(error))]
    installed = [plugin for plugin in plugins if plugin.version is not None]
    named = ", ".join(f"{each.name} {each.version}{' (left out)' * (each.status == 'left out')}" for each in installed)
    findings = [found.ok("versions", f"{here}; plugins: {named or 'none'}."), *refused]
    for plugin in plugins:
        if plugin.status == "disabled":
            report = found.failure if plugin.required else found.warning
            what = f"The plugin {plugin.name} cannot be loaded: {plugin.why}."
            findings.append(report("plugins", "LQB6090", what, name=plugin.distribution or plugin.name))
    return findings


async def _plugins(context: DoctorContext) -> Sequence[Plugin]:
    """Return the plugins that are served with the bot; without the bot's file, those that are installed.

    Raises:
        ConfigError: a plugin that the settings name is not installed.
    """
    if context.handled is not None and context.handled.plugins is not None:
        return context.handled.plugins
    return (await asyncio.to_thread(context.settings.load_plugins, lenient=True)).every
