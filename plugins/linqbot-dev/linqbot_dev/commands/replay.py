"""`linqbot replay`: compare what a bot would do with what was done, or let the server handle deliveries again.

The work of the comparison is in `dry_runs/`. Texts of the bot are printed with `--diff` only: they may quote what people
wrote.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import click

from linqbot.cli import logs
from linqbot.cli.deliveries import Chat, EventType, Since, Until, deliveries, put_back, refuse_missing
from linqbot.cli.failure import DeployDiffers, of, print_failure
from linqbot.cli.kit import Arg, Confirm, Opt, Result, command_of, print_result
from linqbot.cli.output import BOT, Whole, printable, progress_bar
from linqbot.client.client import Client
from linqbot.errors import ConfigError, StorageError
from linqbot.linq.events.lane import lane_of_chat
from linqbot.ops.bot_file import require_file
from linqbot.settings import Settings
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Selection
from linqbot_dev.dry_runs.dry_deploy import KINDS, NEEDS_PRESENT, Change, Compared, Group, Report, dry_deploy, loaded
from linqbot_dev.dry_runs.recorded_turns import chosen_turns


async def replay(
    file: Annotated[str | None, Arg(type=BOT)],
    storage: Storage,
    settings: Settings,
    confirm: Confirm,
    by: By,
    *,
    as_json: bool,
    ids: Annotated[tuple[str, ...], Opt("Only this delivery; repeatable.", "--id")],
    chat: Chat = None,
    event_type: EventType = None,
    since: Since = None,
    until: Until = None,
    reads: Annotated[bool, Opt("Allow handlers to read from Linq and to fetch media.")] = False,
    live: Annotated[
        bool, Opt("Let the server handle the deliveries again and really send, under new idempotency keys.")
    ] = False,
    against: Annotated[
        str | None,
        Opt(
            "The file with the new bot. FILE is then the present bot: what both do in the same way is no difference.",
            metavar="NEW",
            type=BOT,
        ),
    ] = None,
    diff: Annotated[bool, Opt("Also show tracebacks, and the texts of then and now.")] = False,
    handler: Annotated[str | None, Opt("Only what this handler takes or took.", metavar="NAME")] = None,
    limit: Annotated[int | None, Opt("Only the newest deliveries, at most this many.", type=Whole(1))] = None,
    allow_different: Annotated[bool, Opt("Exit with 1 for new failures only.")] = False,
) -> Result:
    """Run the bot in FILE on stored deliveries, and compare what it would do with what was done.

    Nothing is sent or changed. Differences are grouped by cause. The exit code is 0 if nothing differs, and 1 if something
    differs or fails. Handled deliveries can be compared as long as history keeps them; dead letters always.

    With --live the server handles the deliveries again as if it had never answered, and really sends. Messages older than
    the bot's max_age_s then reach only handlers with late=True.
    """
    selection = Selection(ids or None, since, until, event_type, None if chat is None else lane_of_chat(chat))
    if selection == Selection():
        raise click.UsageError("Say which: --id, --chat, --type, --since or --until.")
    if live:
        if against is not None or diff or handler is not None or limit is not None or allow_different:
            raise click.UsageError("--live really sends, and compares nothing: leave out the options for comparing.")
        count = await _live(storage, selection, confirm, by)
        return Result({"replayed": count}, f"{deliveries(count)} queued again.")
    if (new := against or file) is None:
        raise click.UsageError("Give the FILE with the bot to try, or --live to let the server handle the deliveries.")
    present = file if against else None
    comparison = Comparison(new, present, selection, handler, limit, reads, diff, allow_different)
    return await compare(comparison, storage, settings, as_json=as_json)


async def _live(storage: Storage, selection: Selection, confirm: Confirm, by: By) -> int:
    chosen = await storage.replayable(selection)
    problem = "cannot be replayed: it is still waiting, or is not kept. See: linqbot waiting list."
    refuse_missing(selection.ids or (), chosen, problem)
    if not chosen:
        raise StorageError(
            "No stored delivery matches. Handled deliveries are kept only with history on. Dead letters are always kept: "
            "linqbot waiting list --dead"
        )
    confirm(f"Handle {deliveries(len(chosen))} again, for real? People get answers again")
    return await put_back(partial(storage.replay_live, by=by), chosen, "Queueing")


_NOTHING = (
    "No handled delivery matches, so nothing can be compared. Handled deliveries are kept only with history on: serve the "
    "bot with LINQBOT_KEEP_DAYS=2, and compare a day later"
)
_COLOURS = {"new failure": "red", "fixed failure": "green", "could not be compared": "yellow"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The bots that a dry deploy compares, and the deliveries that they handle."""

    new: str  # a bot, as `load_bot` takes it; so is `present`
    present: str | None
    selection: Selection
    handler: str | None
    limit: int | None
    reads: bool  # True lets reads through to Linq
    with_texts: bool  # True shows texts and tracebacks
    allow_different: bool  # True lets only failures count


async def compare(comparison: Comparison, storage: Storage, settings: Settings, *, as_json: bool) -> Result:
    """Run a dry deploy, and return its report."""
    logs.configure(settings.log_level, settings.log_format, without=logs.LINES_OF_DRY_RUNS)
    if comparison.reads:
        settings.required_key(", so Linq cannot be asked", "Set it, or leave out --reads.")
    for file in filter(None, (comparison.new, comparison.present)):
        require_file(file)
    with redirect_stdout(sys.stderr):  # what the bots print must not be in the JSON
        report = await _report(comparison, storage, settings)
    why = _why_it_fails(comparison, report)
    failure = None if why is None else DeployDiffers(why)
    result = Result(_as_json(comparison, report), partial(_print, comparison, report), failure=failure)
    if report.has_stuck_code:
        # The end of the event loop or of the process would wait for it, perhaps for ever.
        print_result(result, as_json=as_json)
        if failure is not None:
            print_failure(of(failure), as_json=as_json)
        sys.stdout.flush()
        os._exit(int(failure is not None))
    return result


async def _report(comparison: Comparison, storage: Storage, settings: Settings) -> Report:
    async with Client(settings.api_key or "dry-run", base_url=settings.base_url) as client:
        with progress_bar("Looking for conversations") as looked:
            chosen = await chosen_turns(storage, comparison.selection, limit=comparison.limit, looked=looked)
        missing = sorted(set(comparison.selection.ids or ()) - set(await storage.replayable(comparison.selection)))
        if missing:
            raise ConfigError(f"{missing[0]} cannot be compared: it is still waiting, or is not kept.")
        if not chosen.ids:
            raise ConfigError(_NOTHING)
        with progress_bar("Comparing") as progress:
            report = await dry_deploy(
                partial(loaded, comparison.new),
                chosen,
                client,
                present=partial(loaded, comparison.present) if comparison.present else None,
                handler=comparison.handler,
                reads=comparison.reads,
                plugins=settings.load_plugins,
                progress=progress,
            )
    if comparison.handler is not None and not report.counts.total():
        raise ConfigError(
            f"No handler {comparison.handler} took or takes one of the {_turns(len(chosen.ids))}. Give the name of its function."
        )
    return report


def _why_it_fails(comparison: Comparison, report: Report) -> str | None:
    new, total = comparison.new, report.counts.total()
    if not report.compared:
        return f"None of {_turns(total)} could be compared, so this says nothing about {new}."
    failing, differing = report.failing, 0 if comparison.allow_different else report.differing
    if not (failing or differing):
        return None
    what = [f"{count} {word}" for count, word in ((failing, "failed"), (differing, "differed")) if count]
    return f"Of {_turns(total)}, {' and '.join(what)} with {new}. The groups above show how."


def _turns(count: int) -> str:
    return f"{count} turn{'' if count == 1 else 's'}"


# Text


def _print(comparison: Comparison, report: Report) -> None:
    click.echo(f"{comparison.new} ran on {_turns(report.counts.total())} on record. Nothing was sent.")
    for kind in reversed(KINDS):
        if count := report.counts[kind]:
            untaken = f", {report.untaken} of them events that no handler takes" if kind == "same" else ""
            click.echo(f"{count:>6} {kind}{untaken if report.untaken else ''}")
    if report.answers:
        click.echo(
            f"{'':>6} ({report.answers} more deliveries went to an open question: they ran as part of the turn that asked)"
        )
    for note, count in report.notes.items():
        click.echo(f"{'':>6} ({count} of the same: {note})")
    for group in report.groups:
        _print_group(group, with_texts=comparison.with_texts)
    hints = []
    if report.failing and report.has_start_handlers:
        hints.append("Functions of @bot.on_start do not run in a dry deploy: what they prepare is missing.")
    if comparison.present is None and any(group.cause.endswith(NEEDS_PRESENT) for group in report.groups):
        hints.append(f"To run the present bot too, name it: linqbot replay bot.py --against {comparison.new} …")
    if not comparison.with_texts and any(
        group.examples[0].changes or group.examples[0].failure for group in report.groups
    ):
        hints.append("To see tracebacks, and the texts of then and now, which may quote people: --diff")
    click.echo("".join(f"\n{hint}" for hint in hints), nl=bool(hints))


def _print_group(group: Group, *, with_texts: bool) -> None:
    click.echo()
    click.secho(printable(f"{group.kind}: {group.cause}"), fg=_COLOURS.get(group.kind, "cyan"), bold=True)
    now = group.examples[0].after
    handler = f"in {now.handler.rpartition(':')[2]} ({now.handler_at})" if now.handler else "no handler takes it"
    ids = ", ".join(one.delivery_id for one in group.examples)
    click.echo(f"  {_turns(group.count)}, {handler}; {'such as ' if group.count > len(group.examples) else ''}{ids}")
    if with_texts:
        for line, colour in _lines(group.examples[0]):
            click.secho(f"  {printable(line)}", fg=colour)


def _lines(one: Compared) -> Iterator[tuple[str, str | None]]:
    """Yield the lines that show an example, each with its colour."""
    for line in () if one.failure is None else one.failure.traceback.splitlines():
        yield line, None
    if one.is_against_present:
        yield "(- is what the present bot does today: the record differs, as state or time has changed)", None
    for change in one.changes:
        yield from _of_change(change)


def _of_change(change: Change) -> Iterator[tuple[str, str | None]]:
    yield change.call.name + (" (scheduled)" if change.call.is_later else ""), None
    if change.before is not None:
        text = change.before.shown
        for line in ["[its text is not kept; the digest differs]"] if text is None else text.splitlines() or [""]:
            yield f"  - {line}", "red"
    if change.after is not None:
        for line in (change.after.shown or "").splitlines() or [""]:
            yield f"  + {line}", "green"


# JSON


def _as_json(comparison: Comparison, report: Report) -> dict[str, Any]:
    return {
        "new": comparison.new,
        "present": comparison.present,
        "turns": report.counts.total(),
        "answers": report.answers,
        "counts": {kind: report.counts[kind] for kind in KINDS},
        "groups": [_group(group, with_texts=comparison.with_texts) for group in report.groups],
    }


def _group(group: Group, *, with_texts: bool) -> dict[str, Any]:
    example = group.examples[0]
    failure = example.failure
    return {
        "kind": group.kind,
        "cause": group.cause,
        "count": group.count,
        "handler": example.after.handler,
        "at": example.after.handler_at,
        "error": failure and failure.kind,
        "error_at": failure and failure.at,
        "changes": [_change(change, with_texts=with_texts) for change in example.changes],
        "examples": [one.delivery_id for one in group.examples],
    }


def _change(change: Change, *, with_texts: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"call": change.call.name, "when": "later" if change.call.is_later else "now"}
    row["before"] = None if change.before is None else change.before.digest
    row["after"] = None if change.after is None else change.after.digest
    if with_texts:
        row["text_before"] = change.before and change.before.shown
        row["text_after"] = change.after and change.after.shown
    return row


command: Final = command_of(replay, "replay")
