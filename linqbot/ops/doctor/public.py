"""Checks of the path from Linq to the bot: the public address, its certificate, and what is between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import httpx

from linqbot.errors import ConfigError
from linqbot.linq.signatures import random_secret
from linqbot.ops.doctor.context import DoctorContext, Finding, Skip, failure, finding_of, ok, warning
from linqbot.ops.doctor.probe import Arrivals, Probed, confirm, has_arrived, probe, probe_server
from linqbot.ops.subscriptions import address
from linqbot.server.uvicorn_server import host_and_port, listen
from linqbot.settings import Settings
from linqbot.storage.open import path_of
from linqbot.storage.sqlite.serving_lock import ServingLock

CERTIFICATE_DAYS: Final = 14
CERTIFICATE_SHARE: Final = 0.25
"""Share of its lifetime that a certificate should have left: some live for days only, and are renewed every day or two."""


async def reach(context: DoctorContext) -> Sequence[Finding]:
    """Check that the bot's port is free or the bot's own, and that a signed event arrives at each of its addresses."""
    secrets, settings = context.secrets() or [random_secret()], context.settings
    findings: list[Finding] = []
    arrivals: Arrivals | None = None  # None if a process listens on the bot's port already
    async with AsyncExitStack() as stack:
        path = path_of(settings.storage)
        if settings.port != 0 and (path is None or ServingLock(path).holder() is None):
            try:
                bound = stack.enter_context(listen(settings.host, settings.port))
                arrivals = await stack.enter_async_context(probe_server(bound, secrets))
            except ConfigError as error:
                if not await _is_bot(settings):
                    findings.append(finding_of("port", error))
        try:
            targets = await context.targets()
        except Skip as reason:
            return [*findings, Finding("delivery", "skipped", str(reason))]
        each = await asyncio.gather(*(_reached(context, url, arrivals) for url in targets))
    return [*findings, *(finding for some in each for finding in some)]


async def _reached(context: DoctorContext, url: str, arrivals: Arrivals | None) -> list[Finding]:
    """Check that an event signed with the bot's secret arrives at an address unchanged."""
    secret = await _secret(context, url)
    if secret is None:
        return _without_secret(url, await probe(url, random_secret()))
    first = await confirm(url, secret, known=context.secrets())
    trouble = first.trouble
    findings = _certificate(url, first)
    if trouble is not None:
        what = f"{address(url)}: {trouble.what}"
        if arrivals is not None:
            what = f"{what} {_stood_in(context.settings, has_arrived=has_arrived(first.delivery_id, arrivals))}"
        return [*findings, failure("delivery", trouble.code, what, url=address(url))]
    what = f"{address(url)} accepts a signed event in {first.ms} ms, with unchanged body and headers."
    if arrivals is not None and has_arrived(first.delivery_id, arrivals):
        serve = f"Go live with: linqbot serve {context.file or 'bot.py'}"
        what = f"{what} {_stood_in(context.settings, has_arrived=True)}"
        return [*findings, Finding("delivery", "ok", what, fix=serve)]
    if arrivals is not None:
        what = f"{what} A bot accepted it that does not listen on {_listens(context.settings)}."
    return [*findings, ok("delivery", what)]


def _stood_in(settings: Settings, *, has_arrived: bool) -> str:
    if has_arrived:
        return f"The bot is not served yet, so linqbot check stood in for the bot on {_listens(settings)}."
    return f"linqbot check stood in for the bot on {_listens(settings)}, and the event did not arrive there."


def _without_secret(url: str, probed: Probed) -> list[Finding]:
    """Report what can be seen without a secret: a bot that refuses an event with an unknown signature is reachable."""
    trouble, certificate = probed.trouble, _certificate(url, probed)
    if trouble is not None and trouble.code == "LQB6070":
        there = f"The way to {address(url)} is open. There is no secret to sign a test event with."
        return [*certificate, Finding("delivery", "skipped", there)]
    code, what = (
        (trouble.code, trouble.what) if trouble else ("LQB6067", "It accepts an event without a valid signature.")
    )
    return [*certificate, failure("delivery", code, f"{address(url)}: {what}", url=address(url))]


async def _secret(context: DoctorContext, url: str) -> str | None:
    """Return the secret of a subscription to `url`; if it is not known, another stored one; None if there is none."""
    secrets = context.secrets()
    if not secrets:
        return None
    try:
        ids = [one.id for one in await context.subscribed() if address(one.target_url) == address(url)]
    except Skip:
        ids = []
    return next((each.secret for one in ids for each in context.kept() if each.subscription_id == one), secrets[0])


async def _is_bot(settings: Settings) -> bool:
    """Return True if the program that listens on the bot's port answers `/readyz` as a bot does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
            report = (await http.get(f"http://{host_and_port(host, settings.port)}/readyz")).json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(report, dict) and {"ready", "busy", "waiting"} <= report.keys()


def _listens(settings: Settings) -> str:
    return host_and_port(settings.host, settings.port)


def _certificate(url: str, probed: Probed) -> list[Finding]:
    one = probed.certificate
    if one is None:
        return []
    host, left = urlsplit(url).hostname, one.ends - datetime.now(UTC)
    days = f"{left.days} days" if left.days > 1 else f"{max(0, left // timedelta(hours=1))} hours"
    what = f"{host}: valid until {one.ends:%Y-%m-%d %H:%M} UTC, for {days}."
    if left < min(timedelta(days=CERTIFICATE_DAYS), (one.ends - one.begins) * CERTIFICATE_SHARE):
        return [warning("certificate", "LQB6065", what)]
    return [ok("certificate", what)]
