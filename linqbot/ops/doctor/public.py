"""Checks of the path from Linq to the bot: the public address, its certificate, the proxies in front of the bot.

A test event is sent to the public address (`probe.py`). If no bot is served here yet, a temporary server answers it
(`probe_server.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from linqbot.errors import ConfigError
from linqbot.events.delivery import PROBE_ID
from linqbot.ops.doctor.context import DoctorContext
from linqbot.ops.doctor.finding import Finding, Findings, Skip
from linqbot.ops.doctor.probe import Probed, confirm, probe, random_secret
from linqbot.ops.doctor.probe_server import probe_server
from linqbot.ops.subscriptions import address
from linqbot.server import uvicorn_server
from linqbot.settings import Settings
from linqbot.storage.sqlite.disk.checkup import has_stored, path_of
from linqbot.storage.sqlite.disk.serving_lock import ServingLock

CERTIFICATE_DAYS: Final = 14
EVERY_ADDRESS: Final = frozenset({"*", "0.0.0.0/0", "::/0"})


async def reach(context: DoctorContext) -> Sequence[Finding]:
    """Check that an event signed with the bot's secret arrives at the bot unchanged and is stored once."""
    url, secret = await context.target(), await _secret(context)
    found = await context.findings()
    async with _temporary_server(context.settings, secret or random_secret()) as is_temporary:
        if secret is None:
            return _without_secret(found, url, await probe(url, random_secret()))
        first = await confirm(url, secret)
        again = (
            await probe(url, secret, event_id=first.delivery_id.removeprefix(PROBE_ID)) if not first.trouble else None
        )
    findings = _certificate(found, first)
    trouble = first.trouble or (again.trouble if again else None)
    here = f"The bot is not served yet, so the doctor stood in for the bot on {context.settings.host}:{context.settings.port}."
    if trouble is not None:
        what = f"{address(url)}: {trouble.what}"
        return [*findings, found.failure("delivery", trouble.code, f"{what} {here}" if is_temporary else what)]
    what = f"{address(url)} accepts a signed event in {first.ms} ms, with unchanged body and headers."
    if is_temporary:
        serve = f"Go live with: linqbot serve {context.file or 'bot.py'}"
        return [*findings, Finding("delivery", "ok", f"{what} {here}", fix=serve)]
    return [*findings, found.ok("delivery", what), *_kept(context, found, first)]


def _without_secret(found: Findings, url: str, probed: Probed) -> list[Finding]:
    """Report what can be seen without a secret: a bot that refuses an event with an unknown signature is reachable."""
    trouble = probed.trouble
    if trouble is not None and trouble.code == "LQB6070":
        there = f"The way to {address(url)} is open. There is no secret to sign a test event with."
        return [*_certificate(found, probed), Finding("delivery", "skipped", there)]
    code, what = (
        (trouble.code, trouble.what) if trouble else ("LQB6067", "It accepts an event without a valid signature.")
    )
    return [*_certificate(found, probed), found.failure("delivery", code, f"{address(url)}: {what}")]


async def _secret(context: DoctorContext) -> str | None:
    """Return the subscription's secret; if the subscription is not known, another stored one; None if there is none."""
    kept, secrets = context.kept(), [*context.settings.webhook_secrets, *(each.secret for each in context.kept())]
    if not secrets:
        return None
    try:
        ids = [one.id for one in await context.subscribed()]
    except Skip:
        ids = []
    return next((each.secret for one in ids for each in kept if each.subscription_id == one), secrets[0])


@asynccontextmanager
async def _temporary_server(settings: Settings, secret: str) -> AsyncIterator[bool]:
    """Serve test events at the bot's port, unless a process already listens there. Yield True if this serves them."""
    path = path_of(settings.storage)
    if settings.port == 0 or (path is not None and ServingLock(path).holder() is not None):
        yield False
        return
    try:
        bound = uvicorn_server.listen(settings.host, settings.port)
    except ConfigError:
        yield False
        return
    with bound:
        async with probe_server(bound, [secret]):
            yield True


def _certificate(found: Findings, probed: Probed) -> list[Finding]:
    if probed.certificate_ends is None:
        return []
    days = (probed.certificate_ends - datetime.now(UTC)).days
    what = f"Valid until {probed.certificate_ends:%Y-%m-%d}, which is {days} days."
    if days < CERTIFICATE_DAYS:
        return [found.warning("certificate", "LQB6065", what)]
    return [found.ok("certificate", what)]


def _kept(context: DoctorContext, found: Findings, probed: Probed) -> list[Finding]:
    path = path_of(context.settings.storage)
    if path is None or not path.exists():
        return []
    if has_stored(path, probed.delivery_id):
        return [found.ok("inbox", f"The test event is in {path.name} once, though it was sent twice.")]
    what = f"The test event was accepted but is not in {path}: the bot at this address uses another storage."
    return [found.warning("inbox", "LQB6086", what)]


async def proxies(context: DoctorContext) -> Sequence[Finding]:
    """Check that not every caller is trusted as a proxy."""
    found = await context.findings()
    trusted = context.settings.trusted_proxies
    if not EVERY_ADDRESS.isdisjoint(trusted):
        return [
            found.warning(
                "proxies",
                "LQB6074",
                "X-Forwarded-For is trusted from every address, so any caller can claim any address.",
            )
        ]
    trusted_from = (
        f"X-Forwarded-For is trusted from {', '.join(trusted)}" if trusted else "X-Forwarded-For is not trusted"
    )
    note = "; linqbot uses it only in logs." if not trusted else "."
    return [found.ok("proxies", trusted_from + note)]
