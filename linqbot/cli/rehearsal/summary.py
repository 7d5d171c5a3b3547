"""The output of `linqbot rehearse`: a line while people talk, and a summary at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from linqbot.cli.output import print_table
from linqbot.cli.printable import printable, printable_lines
from linqbot.cli.rehearsal.memory import WARM_UP_S, growth, in_use
from linqbot.cli.rehearsal.report import PersonResult, Report, of_seconds
from linqbot.testing.people.checks import Rule

SHOWN: Final = 12

_RULES: Final[tuple[tuple[Rule, str], ...]] = (
    ("unanswered", "without an answer"),
    ("doubled", "doubled"),
    ("order", "out of order"),
    ("leak", "leaked"),
    ("opted-out", "sent after STOP"),
    ("unexpected", "sent where silence was expected"),
    ("given-up", "given up (dead letters)"),
)


def print_progress(seconds: float, of: float, written: int, said: int, kills: int) -> None:
    """Show a line on standard error. In a terminal it replaces the line before; elsewhere there is one each half minute."""
    line = f"  {_minutes(seconds)} of {_minutes(of)} · {written} written · {said} answers · {kills} kills"
    if sys.stderr.isatty():
        click.echo(f"\r{line:<78}", nl=False, err=True)
    elif round(seconds) % 30 == 0:
        click.echo(line, err=True)


def print_trying(number: int, of: int) -> None:
    """Show on standard error which of the tests that may show a finding is being run."""
    click.echo(f"  running test {number} of {of} that may show a finding", err=True)


def end_progress() -> None:
    """Remove the line."""
    if sys.stderr.isatty():
        click.echo("\r" + " " * 78 + "\r", nl=False, err=True)


def print_summary(report: Report, out: Path) -> None:
    """Print the result for people."""
    faults = ", ".join(f"{name} {times}" for name, times in report.faults.items()) or "none"
    many = "1 person" if len(report.people) == 1 else f"{len(report.people)} people"
    early = ", then it was interrupted" if report.was_interrupted else ""
    click.secho(f"\n  {many} talked to {report.bot} for {_minutes(report.seconds)}{early}\n", bold=True)
    written = sum(one.written for one in report.people)
    _fact("written", f"{written} messages, {report.expecting} of them expect an answer")
    _fact("tried", ", ".join(f"{name.replace('_', '-')} {times}" for name, times in report.tried.items()))
    _fact("sent by the bot", f"{report.bubbles} messages")
    if "unanswered" not in report.skipped:
        _fact("answered", f"{report.judged - report.count('unanswered')} of {report.judged}{_not_judged(report)}")
    for rule, label in _RULES:
        if rule in report.skipped:
            _fact(label, "not checked")
        elif rule not in {"unexpected", "given-up"} or report.count(rule):
            _fact(label, str(report.count(rule)), is_bad=report.count(rule) > 0)
    if report.crashes:
        _fact("process ended by itself", str(report.crashes), is_bad=True)
    if (seconds := of_seconds([each for one in report.people for each in one.seconds])) is not None:
        _fact(
            "first answer after",
            f"{seconds['median']:.1f} s in the middle, {seconds['p95']:.1f} s at 95 %, {seconds['max']:.1f} s at most",
        )
    _print_memory(report)
    _fact("faults", f"{faults} (seed {report.seed})")
    click.echo()
    _print_kinds(report.people)
    for one in report.people:
        if one.stopped:
            click.secho(f"\n  {one.name} could not go on: {printable(one.stopped)}", fg="red")
    _print_violations(report, out)


def _not_judged(report: Report) -> str:
    left = report.expecting - report.judged
    return f"; {left} not judged, because the bot had not finished" if left else ""


def _print_memory(report: Report) -> None:
    if (memory := in_use(report.memory)) is not None:
        is_warm = any(one.age_s >= WARM_UP_S for one in report.memory)
        first = "after the first minute" if is_warm else "at the beginning"
        _fact("memory of the bot", f"{memory[0]:.0f} MiB {first}, {memory[1]:.0f} at the end, {memory[2]:.0f} at most")
    if (grown := growth(report.live)) is not None:
        size = f"{grown.per_message / 1024:.1f} KiB of each message, ± {grown.error / 1024:.1f}"
        _fact("kept in memory", size if grown.is_certain else "nothing of each message", is_bad=grown.is_certain)


def _print_kinds(people: Sequence[PersonResult]) -> None:
    kinds = dict.fromkeys(one.kind for one in people)
    rows = []
    for kind in kinds:
        those = [one for one in people if one.kind == kind]
        seconds = of_seconds([each for one in those for each in one.seconds])
        rows.append(
            {
                "": " ",
                "people": kind if len(those) == 1 else f"{kind} ({len(those)})",
                "written": str(sum(one.written for one in those)),
                "findings": str(sum(len(one.violations) for one in those)),
                "median s": f"{seconds['median']:.1f}" if seconds else "-",
                "longest s": f"{seconds['max']:.1f}" if seconds else "-",
            }
        )
    print_table(rows, as_json=False, empty="")


def _print_violations(report: Report, out: Path) -> None:
    found = report.violations
    if not found:
        end = "  No rule was broken" + (" in what was judged." if report.judged < report.expecting else ".")
        end = end if report.is_good else "  No rule was broken, but see above."
        click.secho(f"\n{end}", fg="green" if report.is_good else "red", bold=True)
        return
    click.secho(f"\n  {len(found)} finding{'s' if len(found) > 1 else ''}", fg="red", bold=True)
    for group in report.causes[:SHOWN]:
        click.echo("  " + printable_lines(str(group[0])).replace("\n", "\n  "))
        if len(group) > 1:
            people = len({one.person for one in group})
            click.echo(f"    {len(group)} times in all, with {people} {'person' if people == 1 else 'people'}")
    click.echo(f"  All of them are in {out / 'report.json'}")
    if report.reproductions:
        click.echo("\n  Tests that show them:")
        for file, what in report.reproductions.items():
            click.echo(f"  {file}  {what}")


def _fact(label: str, value: str, *, is_bad: bool = False) -> None:
    click.echo(f"  {label:<32} ", nl=False)
    click.secho(value, fg="red" if is_bad else None)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
