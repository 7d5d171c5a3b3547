"""Checks of the account at Linq: the token, the lines, the bot's subscriptions, the clock. Nothing is changed at Linq."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from linqbot.client.http.addresses import target
from linqbot.errors import LinqApiError
from linqbot.linq.signatures import TOLERANCE_S
from linqbot.linq.types.line import PhoneNumber, WebhookSubscription
from linqbot.ops.doctor.context import NOT_ASKED, DoctorContext, Finding, Skip, failure, finding_of, ok, warning
from linqbot.ops.subscriptions import PAYLOAD_VERSION, address, events_for, is_loopback, is_pending, version_of
from linqbot.server.telling import can_send

MAX_SKEW_S: Final = TOLERANCE_S - 30
"""Seconds that this machine's clock may be off: some less than a signature allows, because deliveries take a while."""


async def token(context: DoctorContext) -> Sequence[Finding]:
    """Check that Linq accepts the token, and that the token travels encrypted."""
    context.settings.required_key()
    if context.client is None:
        return []  # the key or the base URL cannot be used, which was reported
    base_url = context.settings.base_url
    try:
        await context.lines()
        found = [ok("token", f"Accepted by {base_url}.")]
    except LinqApiError as error:
        refused = finding_of("token", error)
        # The token may be right, and the address another one's, such as an emulator's.
        found = [replace(refused, what=f"{base_url}: {refused.what}")]
    origin = target(base_url).origin
    if origin.scheme != "https" and not is_loopback(origin.host):
        found.append(warning("token", "LQB6014", f"The token goes to {origin} unencrypted, with every call."))
    return found


async def lines(context: DoctorContext) -> Sequence[Finding]:
    """Check that each line can send, that the carriers have not flagged it or are about to, and that LINQBOT_LINES are lines."""
    try:
        all_lines = await context.lines()
    except LinqApiError as error:
        raise Skip(NOT_ASKED) from error
    if not all_lines:
        return [failure("lines", "LQB6020", "The account has no line.")]
    numbers = {line.phone_number for line in all_lines}
    others = [number for number in context.settings.lines if number not in numbers]
    return [
        *[await _line(context, line, all_lines) for line in all_lines],
        *[
            failure("line", "LQB6024", f"LINQBOT_LINES has {number}, and the account has no such line.")
            for number in others
        ],
    ]


async def _line(context: DoctorContext, line: PhoneNumber, all_lines: Sequence[PhoneNumber]) -> Finding:
    number, standing = line.phone_number, line.reputation.status if line.reputation else "unknown"
    state = f"{number} ({line.line_type or 'line'}) is {standing}"
    assert context.client is not None
    if not await can_send(context.client, line, all_lines):
        return failure("line", "LQB6023", f"{state}, and Linq does not let it send now.")
    if standing in ("AT_RISK", "CRITICAL"):
        return (warning if standing == "AT_RISK" else failure)("line", "LQB6022", f"{state}.")
    return ok("line", f"{state}, and may send.")


async def subscription(context: DoctorContext) -> Sequence[Finding]:
    """Check each subscription of the bot: address, events, lines, payload version, and that it is not paused."""
    there = await context.subscribed()
    if not there:
        where = f"to {address(context.url)}" if context.url else "with a secret that is kept here"
        count = len(await context.subscriptions())
        return [failure("subscription", "LQB6030", f"None of the account's {count} subscriptions is {where}.")]
    findings: list[Finding] = []
    for one in there:
        findings += _delivering(one)
        findings += await _events(context, one)
        findings += await _lines_of(context, one)
    return [*findings, *await _elsewhere(context, there)]


async def _elsewhere(context: DoctorContext, there: Sequence[WebhookSubscription]) -> list[Finding]:
    """Report subscriptions of this bot to several addresses."""
    kept = {each.subscription_id for each in context.kept()}
    others = [one for one in await context.subscriptions() if one.id in kept and not is_pending(one)]
    by_address: dict[str, set[str]] = {}
    for one in (*there, *others):
        by_address.setdefault(address(one.target_url), set()).add(one.id)
    if len(by_address) == 1:
        return []
    several = "; ".join(f"{', '.join(sorted(ids))} to {where}" for where, ids in by_address.items())
    what = f"The secrets of subscriptions to {len(by_address)} addresses are stored here: {several}."
    return [warning("subscription", "LQB6037", what)]


def _delivering(one: WebhookSubscription) -> list[Finding]:
    url = address(one.target_url)
    version = version_of(one.target_url)
    findings = []
    if not one.is_active:
        findings.append(failure("subscription", "LQB6031", f"{one.id} is paused.", url=url))
    if version != PAYLOAD_VERSION:
        pinned = f"payload version {version}" if version else "no payload version, so it has the one it was made with"
        what = f"{one.id} has {pinned}; linqbot needs {PAYLOAD_VERSION}."
        level = failure if version else warning
        findings.append(level("payload", "LQB6034", what, url=url))
    return findings or [ok("subscription", f"{one.id} delivers to {one.target_url}.")]


async def _events(context: DoctorContext, one: WebhookSubscription) -> list[Finding]:
    if context.handled is None or context.client is None:
        return [Finding("events", "skipped", "It is not known which events the bot handles. Give its FILE.")]
    wanted, _ = await events_for(context.client, context.handled)
    missing = [name for name in wanted if name not in one.subscribed_events]
    if missing:
        what = f"{one.id}: handled but not subscribed: {', '.join(missing)}."
        return [failure("events", "LQB6032", what, url=address(one.target_url))]
    return [ok("events", f"{one.id} has the {len(wanted)} event types that the bot and linqbot need.")]


async def _lines_of(context: DoctorContext, one: WebhookSubscription) -> list[Finding]:
    if not one.phone_numbers:
        return []
    try:
        others = {line.phone_number for line in await context.lines()} - set(one.phone_numbers)
    except LinqApiError:
        return []
    if not others:
        return []
    what = f"{one.id} delivers only the events of {', '.join(one.phone_numbers)}, and the account has other lines."
    return [warning("subscription", "LQB6036", what, url=address(one.target_url))]


async def clock(context: DoctorContext) -> Sequence[Finding]:
    """Check that this machine's clock is near enough to Linq's for signatures to be accepted."""
    await context.subscriptions()
    if context.skew_s is None:
        raise Skip("Linq's responses carry no date.")
    # `skew_s` is how far Linq is ahead, so a positive one means that this machine is behind.
    off = (
        f"This machine's clock is {abs(context.skew_s):.0f} s {'behind' if context.skew_s > 0 else 'ahead of'} Linq's."
    )
    return [ok("clock", off) if abs(context.skew_s) < MAX_SKEW_S else failure("clock", "LQB6050", off)]
