"""Checks of the way from Linq to the bot: the public address, its certificate, what stands before the bot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from linqbot.errors import ConfigError
from linqbot.events.delivery import PROBE_ID
from linqbot.ops.doctor.context import DoctorContext
from linqbot.ops.doctor.finding import Finding, Findings, Skip
from linqbot.ops.doctor.probe import Probed, confirm, nobodys_secret, probe
from linqbot.ops.doctor.probe_server import stand_in
from linqbot.ops.subscriptions import address
from linqbot.server import uvicorn_server
from linqbot.settings import Settings
from linqbot.storage.sqlite.disk.checkup import has_stored, path_of
from linqbot.storage.sqlite.disk.serving_lock import ServingLock

CERTIFICATE_DAYS: Final = 14
EVERYBODY: Final = frozenset({"*", "0.0.0.0/0", "::/0"})


async def reach(context: DoctorContext) -> Sequence[Finding]:
    """Whether an event signed with our secret gets through to the bot, unchanged, and is kept once."""
    url, secret = await context.target(), await _secret(context)
    found = await context.findings()
    async with _somebody_serves(context.settings, secret or nobodys_secret()) as stands_in:
        if secret is None:
            return _at_least_there(found, url, await probe(url, nobodys_secret()))
        first = await confirm(url, secret)
        again = (
            await probe(url, secret, event_id=first.delivery_id.removeprefix(PROBE_ID)) if not first.trouble else None
        )
    findings = _certificate(found, first)
    trouble = first.trouble or (again.trouble if again else None)
    here = f"Nobody serves yet, so the doctor stood in for the bot on {context.settings.host}:{context.settings.port}."
    if trouble is not None:
        what = f"{address(url)}: {trouble.what}"
        return [*findings, found.failure("delivery", trouble.code, f"{what} {here}" if stands_in else what)]
    what = f"{address(url)} takes a signed event in {first.ms} ms, body and headers as they were sent."
    if stands_in:
        serve = f"Go live with: linqbot serve {context.file or 'bot.py'}"
        return [*findings, Finding("delivery", "ok", f"{what} {here}", fix=serve)]
    return [*findings, found.ok("delivery", what), *_kept(context, found, first)]


def _at_least_there(found: Findings, url: str, probed: Probed) -> list[Finding]:
    """What can be told without a secret: whether it is the bot who refuses what nobody of ours has signed."""
    trouble = probed.trouble
    if trouble is not None and trouble.code == "LQB6070":
        there = f"The way to {address(url)} is open. There is no secret to sign an event with."
        return [*_certificate(found, probed), Finding("delivery", "skipped", there)]
    code, what = (trouble.code, trouble.what) if trouble else ("LQB6067", "It takes what nobody has signed.")
    return [*_certificate(found, probed), found.failure("delivery", code, f"{address(url)}: {what}")]


async def _secret(context: DoctorContext) -> str | None:
    """The secret of the subscription; any other we have, where it is not known; None when there is none."""
    kept, secrets = context.kept(), [*context.settings.webhook_secrets, *(each.secret for each in context.kept())]
    if not secrets:
        return None
    try:
        ids = [one.id for one in await context.subscribed()]
    except Skip:
        ids = []
    return next((each.secret for one in ids for each in kept if each.subscription_id == one), secrets[0])


@asynccontextmanager
async def _somebody_serves(settings: Settings, secret: str) -> AsyncIterator[bool]:
    """See that somebody answers where the bot will: the doctor itself, as long as nobody else does."""
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
        async with stand_in(bound, [secret]):
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
        return [found.ok("inbox", f"It is in {path.name}, once, though it was sent twice.")]
    what = f"It was taken and is not in {path}: the bot at this address keeps it elsewhere."
    return [found.warning("inbox", "LQB6086", what)]


async def proxies(context: DoctorContext) -> Sequence[Finding]:
    """Whether the right ones are believed about who calls."""
    found = await context.findings()
    trusted = context.settings.trusted_proxies
    if not EVERYBODY.isdisjoint(trusted):
        return [
            found.warning("proxies", "LQB6074", "Everybody's X-Forwarded-For is believed, so anybody can be anyone.")
        ]
    believed = (
        f"X-Forwarded-For is believed from {', '.join(trusted)}" if trusted else "X-Forwarded-For is not believed"
    )
    note = "; linqbot needs it for nothing but logs." if not trusted else "."
    return [found.ok("proxies", believed + note)]
