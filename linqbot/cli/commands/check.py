"""`linqbot check`: run the checks of `linqbot.ops.doctor`, and print each finding with what to do about it.

Two more checks are made only when they are named, because they take long or say much: `rows` reads the whole storage, and
`plugins` asks every plugin what it adds.
"""

from __future__ import annotations

import asyncio
import shutil
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Annotated, Final

import click

from linqbot.bot.bot import Bot
from linqbot.cli import logs
from linqbot.cli.kit import Opt, OptionalBotFile, Result
from linqbot.cli.output import columns, iso_time, printable, progress_bar
from linqbot.cli.storage_option import open_configured_storage
from linqbot.client.client import Client
from linqbot.errors import LinqbotError
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.signatures import random_secret
from linqbot.ops import open_questions, stored_contents
from linqbot.ops.bot_file import load_quietly
from linqbot.ops.doctor import account, machine, public
from linqbot.ops.doctor.context import Check, DoctorContext, Finding, Status, examine, failure, finding_of, ok
from linqbot.ops.subscriptions import handled_when_served, target
from linqbot.server.app import create_app
from linqbot.settings import Settings, from_env
from linqbot.storage.conversations import Conversation
from linqbot.storage.sqlite.memory import MemoryStorage

WITHIN_S: Final = 45.0
"""Seconds that a check may take: each waits for a few responses, of at most 10 s each."""

_CHECKS: Final[dict[str, Check]] = {
    "versions": machine.versions,
    "token": account.token,
    "line": account.lines,
    "subscription": account.subscription,
    "secret": machine.secret,
    "clock": account.clock,
    "storage": machine.storage,
    "refused": machine.refused,
    "delivery": public.reach,
    "words": machine.words,
    "tell": machine.tell,
}
_MOST_QUESTIONS: Final = 1_000_000
_MARKS: Final[dict[Status, tuple[str, str | None]]] = {
    "ok": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "failure": ("FAIL", "red"),
    "skipped": ("skip", None),
}


def check(
    file: OptionalBotFile,
    storage: str | None,
    *,
    as_json: bool,
    url: Annotated[
        str | None,
        Opt(
            "The public address. Default: the address of each subscription whose secret is stored here.", metavar="URL"
        ),
    ] = None,
    only: Annotated[
        tuple[str, ...],
        Opt(
            "Make only this check; repeatable. Two are made only when they are named: rows reads the whole storage and "
            "prints its digest, plugins lists what each plugin adds.",
            metavar="CHECK",
            type=click.Choice([*_CHECKS, "rows", "plugins"]),
        ),
    ] = (),
    is_open: Annotated[
        bool,
        Opt(
            "Only list the open questions that the code of FILE would ask again or abandon, without running a handler. The exit code "
            "is 1 if there is one.",
            name="--open",
        ),
    ] = False,
) -> Result:
    """Check everything that a bot needs to go live: token, lines, subscriptions, secret, clock, address, storage.

    With the bot's FILE, also check that it is subscribed to the events it handles. Nothing is changed. The exit code is
    1 if a problem would keep the bot from working.
    """
    if is_open:
        if file is None or url or only:
            raise click.UsageError("--open compares a bot's FILE with the storage: linqbot check bot.py --open")
        return _open_questions(file, storage)
    # The temporary server of the checks logs refused events. The findings say the same, with what to do.
    logs.configure("critical", "auto")
    asked = target(url) if url else None
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            _print(finding)

    try:
        settings = from_env(storage=storage)
    except LinqbotError as error:
        report(finding_of("settings", error))
    else:
        _check(file, settings, asked, only or tuple(_CHECKS), report)
    fails = any(finding.status == "failure" for finding in found)
    rows = [columns(finding, "check", "status", "what", "code", "fix") for finding in found]
    return Result(rows, partial(_print_summary, found), exit_code=int(fails))


def _open_questions(file: str, storage: str | None) -> Result:
    """List the open questions that the code of a bot would not go on with."""
    logs.configure("error", "auto")
    handlers = handled_when_served(load_quietly(file), from_env(storage=storage)).handlers

    async def stored() -> list[Conversation]:
        async with open_configured_storage(storage) as opened:
            return await opened.conversations(limit=_MOST_QUESTIONS)

    lost = open_questions.lost(asyncio.run(stored()), handlers, open_questions.source_of(file))
    rows = [
        {
            **columns(each.conversation, "id", "handler"),
            "chat": each.conversation.chat_id,
            "key": each.question.key if each.question else None,
            "question": each.question.text if each.question else None,
            "asked_at": iso_time(each.conversation.asked_at),
            **columns(each, "effect", "why"),
        }
        for each in lost
    ]
    shown = [{name: row[name] for name in ("id", "handler", "question", "effect", "why")} for row in rows]
    return Result(rows, shown, "The code goes on with every open question.", exit_code=int(bool(rows)))


def _check(
    file: str | None, settings: Settings, url: str | None, names: Sequence[str], report: Callable[[Finding], None]
) -> None:
    # Before there is an event loop: a bot's file may run one of its own while it is imported.
    bot, handled = None, None
    try:
        if file is not None:
            bot = load_quietly(file)
            if set(names) - _WHEN_NAMED.keys():
                handled = handled_when_served(bot, settings)
                handlers, types = len(handled.handlers), len(handled.types)
                report(
                    ok(
                        "bot",
                        f"{file} can be served. Handlers: {handlers}, for {types} of {len(EVENT_TYPES)} types of events.",
                    )
                )
    except LinqbotError as error:
        report(finding_of("bot", error))

    async def examined() -> None:
        linq: AbstractAsyncContextManager[Client | None] = nullcontext()
        try:
            if settings.api_key:
                linq = Client(settings.api_key, base_url=settings.base_url, timeout_s=10.0, max_retries=1)
        except LinqbotError as error:
            report(finding_of("token", error))
        async with linq as client:
            context = DoctorContext(settings, client, bot, handled, file, url)
            for checks, within_s in ((_CHECKS, WITHIN_S), (_WHEN_NAMED, None)):
                chosen = {name: check for name, check in checks.items() if name in names}
                async for finding in examine(context, chosen, within_s=within_s):
                    report(finding)

    asyncio.run(examined())


async def _plugins(context: DoctorContext) -> Sequence[Finding]:
    """Load every plugin and ask what it adds, as when the bot is served. Nothing is opened."""
    bot, settings = context.bot or Bot(), context.settings
    plugins = settings.load_plugins(bot.plugins, lenient=True)
    plugins.backends()
    client = Client(settings.api_key or "unused", base_url=settings.base_url)
    app = create_app(bot, client=client, storage=MemoryStorage(), secrets=[random_secret()], plugins=plugins)
    app.state.added_listeners(page=False)
    return [machine.of_plugin(plugin) for plugin in plugins.every]


async def _rows(context: DoctorContext) -> Sequence[Finding]:
    """Read all rows of the storage. Two storages with the same digest hold the same."""
    url = context.settings.storage
    with progress_bar("Checking") as progress:
        checked = await stored_contents.check(url, context.settings.backends_for(url), progress)
    findings = [failure("rows", "LQB6093", f"{checked.schema.name}: {problem}") for problem in checked.problems]
    if checked.digest is not None:
        rows = ", ".join(f"{count} {table}" for table, count in checked.digest.rows.items() if count)
        what = f"{checked.schema.name} (schema {checked.schema.have}) holds {rows}; digest {checked.digest.whole}."
        findings.append(ok("rows", what))
    return findings


_WHEN_NAMED: Final[dict[str, Check]] = {"plugins": _plugins, "rows": _rows}


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
