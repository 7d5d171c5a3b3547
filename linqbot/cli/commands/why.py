"""`linqbot why`: what became of the messages of a person or a chat, and why. The logic is in `ops/why.py`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import click

from linqbot.cli.deliveries import who_of
from linqbot.cli.kit import Arg, Opt, Result, time_option
from linqbot.cli.output import printable, printable_json, printable_lines, warn
from linqbot.clock import clock_time
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.ops import runs
from linqbot.ops import why as ops
from linqbot.ops.why import Case, Findings
from linqbot.settings import Settings
from linqbot.storage.backend import Storage

_MOST_SHOWN = 12


async def why(
    who: Annotated[str, Arg(type=who_of)],
    storage: Storage,
    settings: Settings,
    *,
    at: Annotated[
        float | None,
        time_option("Only what came within ten minutes of this time: 10:42 (UTC), 2026-11-05T17:30, or 2h ago."),
    ] = None,
    body: Annotated[
        bool,
        Opt(
            "Also print what was received of what waits or was given up, and the messages of its errors. Both may quote people."
        ),
    ] = False,
) -> Result:
    """Say what became of the messages of WHO, and why: a handle, or the id of a chat, a message or a delivery.

    Linq is asked for its list of messages, and the storage for what became of each delivery, for what waits, for the calls that
    were made, for open questions and for mutes. What people wrote is not shown, except with --body. Times are in UTC.
    """
    storage.keep_outcomes_days = settings.keep_outcomes_days
    now = time.time()
    async with settings.linq() as client:
        found = await ops.look(storage, client, who, now=now, at=at, bodies=body)
    return Result(found.to_json(), lambda: _show(found))


def _show(found: Findings) -> None:
    for note in found.notes:
        warn(note)
    for mute in found.mutes:
        until = "" if mute.ends_at is None else f" until {clock_time(mute.ends_at)}"
        where = "Every chat" if mute.chat_id == EVERY_CHAT else f"chat {mute.chat_id}"
        click.echo(printable(f"{where} is muted{until}{f': {mute.reason}' if mute.reason else ''}"))
    for asked in found.questions:
        since = f"{asked.handler} waits for an answer since {clock_time(asked.asked_at)}"
        click.echo(printable(f"chat {asked.chat_id}: {since}: linqbot waiting list --questions --chat {asked.chat_id}"))
    cases = found.cases[-_MOST_SHOWN:]
    if len(cases) < len(found.cases):
        click.echo(f"{len(found.cases) - len(cases)} earlier ones are not shown: --at, or --json")
    for case in cases:
        _show_case(case, several=len(found.chats) > 1)
    if not cases:
        click.echo("Nothing came in this time." if found.chats else "Nothing is known of it.")


def _show_case(case: Case, *, several: bool) -> None:
    what = "message" if case.type == "message.received" else case.type
    name = case.message_id if what == "message" else next(iter(case.ids), "")
    where = f"  chat {case.chat_id}" if several and case.chat_id else ""
    click.secho(printable(f"{clock_time(case.at)}  {what} {name}{where}"), bold=True)
    click.echo(printable(f"  {case.answer}"))
    facts = case.to_json()
    if tried := [f"{handler} ({missed})" for handler, missed in case.tried]:
        click.echo(printable(f"  tried     {', '.join(tried)}"))
    for name, *steps in filter(None, map(runs.lines_of, case.rows)):
        click.echo("\n".join([printable(f"  {name}"), *(printable(f"    {step}") for step in steps)]))
    for call in case.calls or ():
        click.echo(printable(f"  call      {_call(call)}"))
    if case.details is not None and case.details.raised:
        click.echo("\n".join(["  error", *(printable(f"    {line}") for line in case.details.lines)]))
    if case.text is not None:
        click.echo(printable_lines(f"  its text\n{case.text}"))
    if case.body is not None:
        click.echo(f"  body\n{printable_json(case.body, indent=1)}")
    ids = [*case.ids, *([f"trace {facts['trace_id']}"] if facts["trace_id"] else [])]
    if ids:
        click.echo(printable(f"  delivery  {', '.join(ids)}"))


def _call(call: dict[str, Any]) -> str:
    answer = call.get("answer") or {}
    said = "/".join(str(answer[name]) for name in ("status", "code") if name in answer)
    state = f"{call['delivery']} ({call['code']})" if "code" in call else call.get("delivery")
    trace = f"trace {answer['trace_id']}" if "trace_id" in answer else None
    return " ".join(filter(None, (call["call"], call["status"], said, state, call.get("message_id"), trace)))
