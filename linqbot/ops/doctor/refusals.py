"""Check what the running server refused lately, from the record that it keeps next to the storage.

The other checks sign with the stored secrets, which the server accepts. If Linq signs with other secrets, only the server
notices: it refuses Linq's own deliveries. `server/refusals.py` writes the record.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from linqbot.errors import LinqbotError
from linqbot.ops.doctor.context import DoctorContext
from linqbot.ops.doctor.finding import Finding, Findings, Skip
from linqbot.ops.subscriptions import address
from linqbot.server.refusals import RefusalCount, Refusals, read
from linqbot.storage.sqlite.disk.checkup import check_up, path_of

DAY_S: Final = 86_400.0
HOUR_S: Final = 3600.0

HEARD_PRECISION_S: Final = 60.0
"""Seconds by which the storage's time of the latest accepted delivery may be too early."""

GENUINE: Final = ("unavailable", "busy", "out_of_time")
"""Reasons for which deliveries of Linq's are refused whose signature was right."""


async def refused(context: DoctorContext) -> Sequence[Finding]:
    """Check that the server refuses no delivery of Linq's.

    Raises:
        Skip: the storage is not a file, so there is no record.
    """
    path = context.settings.refusals_file
    if path is None:
        raise Skip("The storage is not a file, so the server keeps no record of what it refused.")
    # Read at once: the test events of the other checks must not count.
    record = read(path)
    found = await context.findings()
    if record is None:
        return [found.ok("refused", f"No server has recorded refused deliveries in {path.name} yet.")]
    findings = [*await _of_subscriptions(context, found, record), *_genuine(found, record)]
    return findings or [_unknown(context, found, record)]


async def _of_subscriptions(context: DoctorContext, found: Findings, record: Refusals) -> list[Finding]:
    """Report refused deliveries that named one of our subscriptions, whose ids no stranger knows."""
    urls: dict[str, str] | None = None
    with contextlib.suppress(Skip):
        urls = {one.id: address(one.target_url) for one in await context.subscriptions()}
    findings = []
    for each in _forged(context, record):
        # A subscription that was deleted, as at the end of a rotation, delivers no more.
        if each.subscription_id is None or (urls is not None and each.subscription_id not in urls):
            continue
        what = (
            f"The server refused {_count(each, 'delivery', 'deliveries')} of {each.subscription_id}, the last at "
            f"{utc(each.last_at)}: no secret that is stored here fits the signature."
        )
        facts = {"url": urls[each.subscription_id]} if urls else {}
        findings.append(found.failure("refused", "LQB6045", what, **facts))
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


def _genuine(found: Findings, record: Refusals) -> list[Finding]:
    lately = [each for each in record.refused if each.reason in GENUINE and each.last_at > time.time() - HOUR_S]
    if not lately:
        return []
    shown = ", ".join(f"{each.reason} ({each.count}, the last at {utc(each.last_at)})" for each in lately)
    return [found.warning("refused", "LQB6047", f"The server answered 503 to deliveries of Linq's: {shown}.")]


def _unknown(context: DoctorContext, found: Findings, record: Refusals) -> Finding:
    """Report requests without a valid signature that named no subscription of ours, and so may be anyone's."""
    lately = [each for each in _forged(context, record) if each.last_at > time.time() - DAY_S]
    lately = [each for each in lately if each.subscription_id is None]
    if not lately:
        return found.ok("refused", "The server has lately refused no delivery.")
    (each,) = lately
    requests = _count(each, "request", "requests")
    what = f"The server refused {requests} without a valid signature, the last at {utc(each.last_at)}"
    accepted_at = heard_at(context)
    if accepted_at is not None and accepted_at + HEARD_PRECISION_S > each.last_at:
        since = (
            "It has accepted a delivery of Linq's within the same minute or later, so they were probably not from Linq."
        )
        return found.ok("refused", f"{what}. {since}")
    return found.warning("refused", "LQB6046", f"{what}. It has accepted no delivery of Linq's since.")


def heard_at(context: DoctorContext) -> float | None:
    """Return when a delivery was last stored here, in Unix seconds; None if that is not known. Only verified ones are."""
    path = path_of(context.settings.storage)
    try:
        return check_up(path).heard_at if path is not None else None
    except LinqbotError:
        return None


def _count(each: RefusalCount, one: str, many: str) -> str:
    return f"{each.count} {one if each.count == 1 else many}"


def utc(at: float) -> str:
    """Return a time in Unix seconds as people read it, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
