"""`linqbot doctor`: run the checks of `linqbot.ops.doctor`, and print each finding with what to do about it."""

from __future__ import annotations

import asyncio
import shutil
import textwrap
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import click

from linqbot.cli import logs
from linqbot.cli.output import json_option, optional_file_argument, printable, printable_json
from linqbot.client.client import Client
from linqbot.errors import LinqbotError
from linqbot.ops.doctor import account, machine, public
from linqbot.ops.doctor.context import Check, DoctorContext, Finding, Status, examine, failure
from linqbot.ops.subscriptions import Handled, handled_in, target
from linqbot.settings import Settings, from_env

WITHIN_S: Final = 45.0
"""Seconds that a check may take: each waits for a few responses, of at most 10 s each."""

_CHECKS: Final = {
    "versions": machine.versions,
    "token": account.token,
    "line": account.lines,
    "subscription": account.subscription,
    "secret": machine.secret,
    "clock": account.clock,
    "storage": machine.storage,
    "refused": machine.refused,
    "delivery": public.reach,
    "proxies": public.proxies,
    "words": machine.words,
}
_MARKS: Final[dict[Status, tuple[str, str | None]]] = {
    "ok": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "failure": ("FAIL", "red"),
    "skipped": ("skip", None),
}


@click.command("doctor")
@optional_file_argument
@click.option(
    "--url",
    metavar="URL",
    help="The public address. Default: the address of each subscription whose secret is stored here.",
)
@click.option(
    "--private-ca",
    is_flag=True,
    help="This is a rehearsal: accept a certificate of a private authority. Linq does not.",
)
@json_option
def command(*, file: str | None, url: str | None, private_ca: bool, as_json: bool) -> None:
    """Check everything that a bot needs to go live: token, lines, subscriptions, secret, clock, address, storage.

    With the bot's FILE, also check that it is subscribed to the events it handles. Nothing is changed. The exit code is
    1 if a problem would keep the bot from working.
    """
    # The temporary server of the checks logs refused events. The findings say the same, with what to do.
    logs.configure("critical", "auto")
    asked = target(url) if url else None
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            _print(finding)

    try:
        settings = from_env()
    except LinqbotError as error:
        report(failure("settings", "LQB6001", str(error)).with_fix({}))
    else:
        handled = _handled(file, settings, report)
        asyncio.run(_examine(settings, handled, file, asked, report, allows_private_ca=private_ca))
    if as_json:
        click.echo(printable_json([_row(finding) for finding in found], indent=1))
    else:
        _print_summary(found)
    if any(finding.status == "failure" for finding in found):
        raise click.exceptions.Exit(1)


def _handled(file: str | None, settings: Settings, report: Callable[[Finding], None]) -> Handled | None:
    if file is None:
        return None
    try:
        return handled_in(file, settings)
    except LinqbotError as error:
        what = str(error).splitlines()
        broken = failure("bot", "LQB6002", f"{what[0]} {what[-1]}" if len(what) > 1 else what[0])
        report(broken.with_fix({"file": file}))
        return None


async def _examine(
    settings: Settings,
    handled: Handled | None,
    file: str | None,
    url: str | None,
    report: Callable[[Finding], None],
    *,
    allows_private_ca: bool,
) -> None:
    async with AsyncExitStack() as stack:
        client: Client | None = None
        if settings.api_key:
            try:
                client = await stack.enter_async_context(
                    Client(settings.api_key, base_url=settings.base_url, timeout_s=10.0, max_retries=1)
                )
            except LinqbotError as error:
                report(failure("token", "LQB6001", str(error)).with_fix({}))
        context = DoctorContext(settings, client, handled, file, url, allows_private_ca=allows_private_ca)
        checks: dict[str, Check] = {name: partial(check, context) for name, check in _CHECKS.items()}
        async for findings in examine(checks, within_s=WITHIN_S):
            for finding in findings:
                report(finding.with_fix(await context.facts()))


def _row(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if name != "facts"}


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.status]
    click.echo(f"{click.style(f'{mark:<4}', fg=colour, bold=True)}  ", nl=False)
    code = f" [{finding.code}]" if finding.code else ""
    lines = textwrap.wrap(f"{finding.what}{code}", _width(), break_long_words=False, break_on_hyphens=False)
    click.echo(f"{finding.check:<13} " + f"\n{'':<20}".join(map(printable, lines)))
    if finding.fix:
        fix = textwrap.wrap(f"→ {finding.fix}", _width(), break_long_words=False, break_on_hyphens=False)
        click.secho(f"{'':<20}" + f"\n{'':<22}".join(map(printable, fix)), fg=colour)


def _width() -> int:
    return max(40, min(110, shutil.get_terminal_size((100, 24)).columns) - 22)


def _print_summary(found: list[Finding]) -> None:
    failures, warnings = (sum(each.status == status for each in found) for status in ("failure", "warning"))
    click.echo()
    if failures:
        click.secho(f"{failures} to fix, {warnings} to look at.", fg="red", bold=True)
    else:
        click.secho(f"Nothing keeps it from working; {warnings} to look at.", fg="green", bold=True)
