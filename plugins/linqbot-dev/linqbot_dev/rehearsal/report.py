"""The result of a rehearsal, and its forms: JSON for programs, JUnit XML for CI, a summary for people."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final
from xml.etree import ElementTree as ET

import click

from linqbot.cli.output import columns, print_table, printable, printable_lines
from linqbot.linq.rules.message import is_opt_out
from linqbot_dev.testing.people.checks import OF_EFFECTS, RULES, Rule, Violation
from linqbot_dev.testing.people.kinds import INJECTIONS
from linqbot_dev.testing.people.persona import (
    NO,
    YES,
    Correct,
    Inject,
    Locate,
    PayRequest,
    Say,
    Stretch,
    Visit,
    VoteFor,
)

TRIED: Final = ("injections", "edits", "opt_outs", "groups", "approvals", "refusals", "polls", "payments", "locations")
"""The things that bots are often weak at. People vote, pay, agree and refuse only where the bot asks for it."""
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

MIB: Final = 2**20


def in_use(memory: Sequence[int]) -> dict[str, float] | None:
    """Return the resident memory in MiB, of looks in bytes: at the begin, at the end, and the most; None without a look."""
    if not memory:
        return None
    part = max(1, len(memory) // 10)
    return {"begin": median(memory[:part]) / MIB, "end": median(memory[-part:]) / MIB, "most": max(memory) / MIB}


@dataclass(frozen=True, slots=True)
class PersonResult:
    name: str
    counts: Counter[str]  # see `counts_of`
    seconds: Sequence[float]  # for each message, the seconds to the first message of the bot after it
    violations: Sequence[Violation]
    stopped: str | None = None  # why the person could not go on; None if nothing was in the way
    is_finished: bool = True  # The person said everything, and the judge has judged it. False if a limit ended the run.
    # For the cases of --evals: the conversation, its length, and the requests to models in its chat.
    transcript: str = ""
    took_s: float = 0.0
    requests: Sequence[Mapping[str, Any]] = ()

    @property
    def kind(self) -> str:
        """The name without its number: `impatient` of `impatient 7`."""
        kind, _, number = self.name.rpartition(" ")
        return kind if number.isdecimal() and kind else self.name


@dataclass(frozen=True, slots=True)
class Report:
    bot: str
    seconds: float  # the length
    seed: int
    people: Sequence[PersonResult]
    bubbles: int  # the number of messages that Linq took from the bot
    faults: dict[str, int]  # how often each fault was injected; `kill` counts the kills of the process
    crashes: int  # how often the bot's process ended by itself
    memory: Sequence[int]  # the bytes of resident memory of the bot's process, in each second
    was_interrupted: bool  # True if the rehearsal was stopped before its end
    skipped: Sequence[Rule] = ()  # the rules that were not checked
    effects: int = 0  # the number of effects that the bot had on its ledger
    # By name, the cases of --evals in the form of the JSON, with the result of the last time, `before`, if there was one.
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)  # what the models of the bot and of the judge have cost
    limit: str | None = None  # the limit of requests or money that was reached
    # The written tests, and what became of each when it was tried.
    reproductions: dict[str, str] = field(default_factory=dict)

    @property
    def violations(self) -> list[Violation]:
        return [one for person in self.people for one in person.violations]

    @property
    def causes(self) -> list[list[Violation]]:
        """The violations in groups that probably have one cause, in the order in which each cause first came."""
        groups: dict[tuple[Rule, str], list[Violation]] = {}
        for one in self.violations:
            groups.setdefault(one.cause, []).append(one)
        return list(groups.values())

    @property
    def counts(self) -> Counter[str]:
        return sum((one.counts for one in self.people), Counter[str]())

    @property
    def tried(self) -> dict[str, int]:
        counts = self.counts
        return {name: counts[name] for name in TRIED}

    @property
    def not_tried(self) -> list[str]:
        """The tests that were not run: no person came to them, or the bot did not ask for what they need."""
        return [name for name, times in {**self.tried, "effects": self.effects}.items() if not times]

    @property
    def is_good(self) -> bool:
        bad = any(one.violations or one.stopped for one in self.people if one.kind not in self.cases)
        return not bad and not self.crashes and all(case["good"] for case in self.cases.values())

    def count(self, rule: Rule) -> int:
        return sum(one.rule == rule for one in self.violations)

    def as_json(self) -> dict[str, Any]:
        counts, memory = self.counts, in_use(self.memory)
        return {
            "bot": self.bot,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "people": len(self.people),
            "written": counts["written"],
            "expecting_an_answer": counts["expecting"],
            "judged": counts["judged"],
            "tried": self.tried,
            "not_tried": self.not_tried,
            "sent_by_the_bot": self.bubbles,
            "effects": self.effects,
            "violations": {rule: None if rule in self.skipped else self.count(rule) for rule in RULES},
            "first_answer_s": of_seconds([each for one in self.people for each in one.seconds]),
            "memory_mib": None
            if memory is None
            else {name: round(one, 1) for name, one in memory.items()}
            | {"every_10_s": [round(one / MIB, 1) for one in self.memory[::10]]},
            "faults": self.faults,
            "crashes": self.crashes,
            "interrupted": self.was_interrupted,
            "findings": [columns(one, "rule", "person", "message", "expected", "happened") for one in self.violations],
            "causes": [
                {
                    "rule": group[0].rule,
                    "times": len(group),
                    "people": list(dict.fromkeys(one.person for one in group)),
                    "first": self.violations.index(group[0]),
                }
                for group in self.causes
            ],
            "cases": self.cases,
            "spent": self.spent,
            "limit": self.limit,
            "stopped": {one.name: one.stopped for one in self.people if one.stopped},
            "reproductions": self.reproductions,
        }

    def junit(self) -> bytes:
        """Return the report as JUnit XML, with one test case for each case of `--evals`, else for each person."""
        cases = self.cases
        suite = ET.Element("testsuite", name=f"linqbot rehearse {self.bot}", errors="0", time=f"{self.seconds:.1f}")
        for name in cases or [one.name for one in self.people]:
            people = [one for one in self.people if (one.kind if name in cases else one.name) == name]
            took = cases[name]["seconds"] if name in cases else sum(people[0].seconds)
            case = ET.SubElement(suite, "testcase", classname="rehearsal", name=_xml(name), time=f"{took:.1f}")
            if name in cases and cases[name]["good"]:
                continue
            for one in (broken for person in people for broken in person.violations):
                failure = ET.SubElement(case, "failure", type=one.rule, message=_xml(f"{one.rule} at {one.message}"))
                failure.text = _xml(str(one))
            for person in people:
                if person.stopped:
                    ET.SubElement(case, "failure", type="stopped", message=_xml(person.stopped))
                elif not person.is_finished and name in cases:
                    ET.SubElement(case, "failure", type="unfinished", message=_xml(f"{person.name} is not finished"))
        process = ET.SubElement(suite, "testcase", classname="rehearsal", name="the bot's process", time="0")
        if self.crashes:
            ET.SubElement(process, "failure", type="crash", message=f"ended by itself, {self.crashes} times")
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(sum(len(case) > 0 for case in suite)))
        suites = ET.Element("testsuites")
        suites.append(suite)
        ET.indent(suites)
        text: str = ET.tostring(suites, encoding="unicode")
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def counts_of(visit: Visit, *, was_interrupted: bool) -> Counter[str]:
    """Count the messages of a person, those that call for an answer, and what is in `TRIED`.

    `judged` are those that the bot could still answer: when a rehearsal is interrupted, it has not finished all.
    """
    done = [one.act for stretch in visit.stretches for one in stretch.causes if one.message_id is not None]
    said = [act.text for act in done if isinstance(act, Say)]
    finished = [one for one in visit.stretches if one.is_settled or not was_interrupted]
    return Counter(
        written=len(said),
        expecting=_expecting(visit.stretches),
        judged=_expecting(finished),
        injections=sum(text.startswith(INJECTIONS) for text in said),
        edits=sum(isinstance(act, Correct) for act in done),
        opt_outs=sum(map(is_opt_out, said)),
        groups=len(said) if visit.persona.in_group else 0,
        approvals=said.count(YES),
        refusals=said.count(NO),
        polls=sum(isinstance(act, VoteFor) for act in done),
        payments=sum(isinstance(act, PayRequest) for act in done),
        locations=sum(isinstance(act, Locate) for act in done),
    )


def _expecting(stretches: Sequence[Stretch]) -> int:
    return sum(one.expects == "answer" for stretch in stretches for one in stretch.causes)


def faults_in(visits: Sequence[Visit], kills: int) -> dict[str, int]:
    acts = (act for visit in visits for stretch in visit.stretches for act in stretch.acts)
    counted = Counter(act.fault for act in acts if isinstance(act, Inject) and act.fault != "kill")
    return ({"kill": kills} if kills else {}) | dict(sorted(counted.items()))


def of_seconds(seconds: Sequence[float]) -> dict[str, float] | None:
    """Return the median, the 95th percentile and the longest of some times; None if there are none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {"median": round(median(ordered), 2), "p95": round(p95, 2), "max": round(ordered[-1], 2)}


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _xml(text: str) -> str:
    return _NO_XML.sub("�", text)


SHOWN: Final = 12

SELDOM: Final = {"unexpected", "given-up", "criterion", *OF_EFFECTS}
"""Rules that are shown only if they were broken."""


def print_summary(report: Report, out: Path) -> None:
    faults = ", ".join(f"{name} {times}" for name, times in report.faults.items()) or "none"
    many = "1 person" if len(report.people) == 1 else f"{len(report.people)} people"
    early = ", then it was interrupted" if report.was_interrupted else ""
    click.secho(f"\n  {many} talked to {report.bot} for {_minutes(report.seconds)}{early}\n", bold=True)
    _print_counts(report)
    if report.crashes:
        _fact("process ended by itself", str(report.crashes), is_bad=True)
    if (seconds := of_seconds([each for one in report.people for each in one.seconds])) is not None:
        _fact(
            "first answer after",
            f"{seconds['median']:.1f} s in the middle, {seconds['p95']:.1f} s at 95 %, {seconds['max']:.1f} s at most",
        )
    _print_memory(report)
    _fact("faults", f"{faults} (seed {report.seed})")
    if report.cases:
        click.echo()
        _print_cases(report)
    for one in report.people:
        if one.stopped:
            click.secho(f"\n  {one.name} could not go on: {printable(one.stopped)}", fg="red")
    _print_violations(report, out)


def _print_counts(report: Report) -> None:
    counts = report.counts
    _fact("written", f"{counts['written']} messages, {counts['expecting']} of them expect an answer")
    _fact("tried", ", ".join(f"{_words(name)} {times}" for name, times in report.tried.items() if times) or "nothing")
    if report.not_tried and not report.cases:
        _fact("not tried", ", ".join(map(_words, report.not_tried)))
    _fact(
        "sent by the bot", f"{report.bubbles} messages" + (f", and {report.effects} effects" if report.effects else "")
    )
    if "unanswered" not in report.skipped:
        judged, left = counts["judged"], counts["expecting"] - counts["judged"]
        rest = f"; {left} not judged, because the bot had not finished" if left else ""
        _fact("answered", f"{judged - report.count('unanswered')} of {judged}{rest}")
    for rule in RULES:
        if rule in report.skipped and rule not in OF_EFFECTS:
            _fact(rule, "not checked")
        elif rule not in SELDOM or report.count(rule):
            _fact(rule, str(report.count(rule)), is_bad=report.count(rule) > 0)


def _words(name: str) -> str:
    return name.replace("_", "-")


def _print_memory(report: Report) -> None:
    if (memory := in_use(report.memory)) is not None:
        most = f"{memory['end']:.0f} at the end, {memory['most']:.0f} at most"
        _fact("memory of the bot", f"{memory['begin']:.0f} MiB at the beginning, {most}")


def _print_cases(report: Report) -> None:
    rows = [
        {
            "": " ",
            "case": f"{'✓' if case['good'] else '✗'} {name}",
            "passed": f"{case['passed']} of {case['runs']}",
            "last time": f"{case['before']['passed']} of {case['before']['runs']}" if case["before"] else "-",
            "now": "worse" if case["worse"] else "",
            "seconds": f"{case['seconds']:.1f}",
            "requests": str(case["requests"]),
            "$": f"{case['usd']:.4f}",
        }
        for name, case in report.cases.items()
    ]
    print_table(rows)
    spent = report.spent
    click.echo(
        f"\n  models: {spent['requests']} requests, {spent['input_tokens']} + {spent['output_tokens']} tokens, "
        f"${spent['usd']:.4f}; judge: {spent['requests_of_judge']} requests, ${spent['usd_of_judge']:.4f}"
    )
    cases = report.cases.items()
    if unfinished := [f"{name} ({one['unfinished']} of {one['runs']})" for name, one in cases if one["unfinished"]]:
        why = f"The limit of {report.limit} was reached. " if report.limit else ""
        click.secho(f"  {why}Not finished: {printable(', '.join(unfinished))}", fg="red")


def _print_violations(report: Report, out: Path) -> None:
    found = report.violations
    if not found:
        is_partly = report.counts["judged"] < report.counts["expecting"]
        end = "  No rule was broken" + (" in what was judged." if is_partly else ".")
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
    is_narrow = shutil.get_terminal_size().columns < 64
    click.echo(f"  {label}: " if is_narrow else f"  {label:<32} ", nl=False)
    click.secho(value, fg="red" if is_bad else None)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
