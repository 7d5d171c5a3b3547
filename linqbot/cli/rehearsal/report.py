"""The result of a rehearsal, and its forms: JSON for programs, JUnit XML for CI, a summary for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final
from xml.etree import ElementTree as ET

from linqbot.cli.rehearsal.memory import MIB, Live, Resident, growth, in_use
from linqbot.rules.opt_out import is_opt_out
from linqbot.testing.people.acts import Correct, Inject, Say
from linqbot.testing.people.checks import RULES, Rule, Violation
from linqbot.testing.people.texts import INJECTIONS
from linqbot.testing.people.visit import Visit

TRIED: Final = ("injections", "edits", "opt_outs")
"""The things that bots are often weak at."""
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class PersonResult:
    """The result of one person.

    Attributes:
        written: The number of messages.
        expecting: The number of these that call for an answer.
        judged: The number of those that the bot could still answer: when a rehearsal is interrupted, it has not finished all.
        tried: The number of injections, edits and opt-outs.
        seconds: For each message, the seconds to the first message of the bot after it.
        stopped: Why the person could not go on; None if nothing was in the way.
    """

    name: str
    written: int
    expecting: int
    judged: int
    tried: Counter[str]
    seconds: Sequence[float]
    violations: Sequence[Violation]
    stopped: str | None = None

    @property
    def kind(self) -> str:
        """The name without its number: `impatient` of `impatient 7`."""
        kind, _, number = self.name.rpartition(" ")
        return kind if number.isdecimal() and kind else self.name


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a rehearsal.

    Attributes:
        bot: The bot as it was named.
        seconds: The length.
        bubbles: The number of messages that Linq took from the bot.
        faults: How often each fault was injected; `kill` counts the kills of the process.
        crashes: How often the bot's process ended by itself.
        memory: The resident memory of the bot's process, in each second.
        live: Its live memory, now and then.
        was_interrupted: True if the rehearsal was stopped before its end.
        skipped: The rules that were not checked.
        reproductions: The written tests, and what became of each when it was tried.
    """

    bot: str
    seconds: float
    seed: int
    people: Sequence[PersonResult]
    bubbles: int
    faults: dict[str, int]
    crashes: int
    memory: Sequence[Resident]
    live: Sequence[Live]
    was_interrupted: bool
    skipped: Sequence[Rule] = ()
    reproductions: dict[str, str] = field(default_factory=dict)

    @property
    def violations(self) -> list[Violation]:
        """The broken rules of all people."""
        return [one for person in self.people for one in person.violations]

    @property
    def causes(self) -> list[list[Violation]]:
        """The violations in groups that probably have one cause, in the order in which each cause first came."""
        groups: dict[tuple[Rule, str], list[Violation]] = {}
        for one in self.violations:
            groups.setdefault(one.cause, []).append(one)
        return list(groups.values())

    @property
    def tried(self) -> dict[str, int]:
        """The number of times that people tried each of `TRIED`."""
        counted = sum((one.tried for one in self.people), Counter[str]())
        return {name: counted[name] for name in TRIED}

    @property
    def expecting(self) -> int:
        """The number of messages that call for an answer."""
        return sum(one.expecting for one in self.people)

    @property
    def judged(self) -> int:
        """The number of those that are judged."""
        return sum(one.judged for one in self.people)

    @property
    def is_good(self) -> bool:
        """True if no rule was broken, and the bot did not crash."""
        return not self.violations and not self.crashes and not any(one.stopped for one in self.people)

    def count(self, rule: Rule) -> int:
        """Return how often a rule was broken."""
        return sum(one.rule == rule for one in self.violations)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        memory, grown = in_use(self.memory), growth(self.live)
        return {
            "bot": self.bot,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "people": len(self.people),
            "written": sum(one.written for one in self.people),
            "expecting_an_answer": self.expecting,
            "judged": self.judged,
            "tried": self.tried,
            "sent_by_the_bot": self.bubbles,
            "violations": {rule: None if rule in self.skipped else self.count(rule) for rule in RULES},
            "first_answer_s": of_seconds([each for one in self.people for each in one.seconds]),
            "memory_mib": None
            if memory is None
            else dict(zip(("begin", "end", "most"), (round(one, 1) for one in memory), strict=True))
            | {"every_10_s": [round(one.bytes / MIB, 1) for one in self.memory[::10]]},
            "memory_growth": None
            if grown is None
            else {
                "bytes_per_message": round(grown.per_message),
                "standard_error": round(grown.error),
                "grows": grown.is_certain,
            },
            "faults": self.faults,
            "crashes": self.crashes,
            "interrupted": self.was_interrupted,
            "findings": [
                {
                    "rule": one.rule,
                    "person": one.person,
                    "message": one.message,
                    "expected": one.expected,
                    "happened": one.happened,
                }
                for one in self.violations
            ],
            "causes": [
                {
                    "rule": group[0].rule,
                    "times": len(group),
                    "people": list(dict.fromkeys(one.person for one in group)),
                    "first": self.violations.index(group[0]),
                }
                for group in self.causes
            ],
            "stopped": {one.name: one.stopped for one in self.people if one.stopped},
            "reproductions": self.reproductions,
        }

    def junit(self) -> bytes:
        """Return the report as JUnit XML, with one test case for each person."""
        bad = [one for one in self.people if one.violations or one.stopped]
        suite = ET.Element(
            "testsuite",
            name=f"linqbot rehearse {self.bot}",
            tests=str(len(self.people) + 1),
            failures=str(len(bad) + bool(self.crashes)),
            errors="0",
            time=f"{self.seconds:.1f}",
        )
        for person in self.people:
            case = ET.SubElement(
                suite, "testcase", classname="rehearsal", name=person.name, time=f"{sum(person.seconds):.1f}"
            )
            for one in person.violations:
                failure = ET.SubElement(case, "failure", type=one.rule, message=_xml(f"{one.rule} at {one.message}"))
                failure.text = _xml(str(one))
            if person.stopped:
                ET.SubElement(case, "failure", type="stopped", message=_xml(person.stopped))
        process = ET.SubElement(suite, "testcase", classname="rehearsal", name="the bot's process", time="0")
        if self.crashes:
            ET.SubElement(process, "failure", type="crash", message=f"ended by itself, {self.crashes} times")
        suites = ET.Element("testsuites")
        suites.append(suite)
        ET.indent(suites)
        text: str = ET.tostring(suites, encoding="unicode")
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def tried_by(visit: Visit) -> Counter[str]:
    """Return how often a person tried each of `TRIED`."""
    done = [one.act for stretch in visit.stretches for one in stretch.causes if one.message_id is not None]
    said = [act.text for act in done if isinstance(act, Say)]
    return Counter(
        injections=sum(text.startswith(INJECTIONS) for text in said),
        edits=sum(isinstance(act, Correct) for act in done),
        opt_outs=sum(map(is_opt_out, said)),
    )


def faults_in(visits: Sequence[Visit], kills: int) -> dict[str, int]:
    """Return how often each fault was injected."""
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
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _xml(text: str) -> str:
    return _NO_XML.sub("�", text)
