"""The summary of `linqbot rehearse`: what was tried, what was judged, and findings of one cause once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from linqbot_dev.rehearsal.report import MIB, PersonResult, Report, counts_of, in_use, print_summary
from linqbot_dev.testing.people.checks import Rule, Violation
from linqbot_dev.testing.people.kinds import INJECTIONS, crowd
from linqbot_dev.testing.people.persona import Correct, Performed, Persona, PersonAct, Say, Stretch, Visit


def broken(rule: Rule, person: str, *, expected: str = "an answer", happened: str = "no message") -> Violation:
    return Violation(rule, person, "'hi'", expected, happened)


def person(name: str, *violations: Violation, judged: int = 4) -> PersonResult:
    return PersonResult(name, Counter(written=5, expecting=4, judged=judged, edits=1), [], violations)


def report(*people: PersonResult, **changes: Any) -> Report:
    return Report("bot.py", 60.0, 7, people, 3, {}, 0, [], changes.pop("was_interrupted", False), **changes)


def printed(made: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_summary(made, Path("rehearsal"))
    return capsys.readouterr().out


def test_findings_of_one_cause_are_shown_once_with_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    failed = "dead letter: ZeroDivisionError: {} in answer"
    made = report(
        person("patient 1", broken("unanswered", "patient 1"), broken("unanswered", "patient 1")),
        person(
            "bursts 2", broken("unanswered", "bursts 2"), broken("doubled", "bursts 2", expected="'a' at most once")
        ),
        person("sms 3", broken("doubled", "sms 3", expected="'b' at most once")),
        person("sms 4", *(broken("given-up", "sms 4", happened=failed.format(each)) for each in ("1", "2"))),
        person("sms 5", broken("leak", "sms 5", expected="no JSON in a message")),
        person("sms 6", broken("leak", "sms 6", expected="no traceback in a message")),
    )
    said = printed(made, capsys)
    assert said.count("unanswered: ") == said.count("doubled: ") == said.count("given-up: ") == 1
    assert said.count("leak: ") == 2
    assert (
        "unanswered: patient 1, at 'hi'\n    expected: an answer\n    happened: no message\n    3 times in all, with 2 people"
        in said
    )
    assert "2 times in all, with 1 person" in said
    causes = made.as_json()["causes"]
    assert [(one["rule"], one["times"]) for one in causes] == [
        *(("unanswered", 3), ("doubled", 2), ("given-up", 2), ("leak", 1), ("leak", 1))
    ]
    assert causes[0]["people"] == ["patient 1", "bursts 2"]
    assert made.as_json()["findings"][causes[2]["first"]]["rule"] == "given-up"


def test_an_answer_counts_only_where_it_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    made = report(person("patient 1", judged=1), person("sms 2", judged=0), was_interrupted=True)
    said = printed(made, capsys)
    assert "1 of 1; 7 not judged, because the bot had not finished\n" in said
    assert "No rule was broken in what was judged." in said
    assert (made.as_json()["judged"], made.as_json()["expecting_an_answer"]) == (1, 8)
    assert "8 of 8\n" in printed(report(person("patient 1"), person("sms 2")), capsys)


def test_a_rule_that_was_skipped_is_shown_as_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    made = report(person("patient 1"), skipped=("unanswered", "leak"))
    said = printed(made, capsys)
    assert [line.split()[-2:] for line in said.splitlines() if line.startswith(("  unanswered", "  leak"))] == [
        ["not", "checked"]
    ] * 2
    assert "  answered" not in said
    assert made.as_json()["violations"]["leak"] is None


def test_the_injections_edits_and_opt_outs_are_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    acts: list[PersonAct] = [Say(f"{INJECTIONS[2]} (ref 1-1)"), Say("STOP"), Say("hi"), Correct("ho"), Say("stop")]
    stretch = Stretch(0, [Performed(act, 0.0, message_id="m") for act in acts] + [Performed(Correct("x"), 0.0)])
    counts = counts_of(Visit(Persona("a", ()), "+15551230000", [stretch]), was_interrupted=False)
    assert counts == Counter(written=4, injections=1, edits=1, opt_outs=1)
    said = printed(report(person("patient 1"), PersonResult("b", counts, [], ())), capsys)
    assert "tried                            injections 1, edits 2, opt-outs 1\n" in said
    assert (
        "  not tried                        groups, approvals, refusals, polls, payments, locations, effects\n" in said
    )


def test_each_attacker_begins_with_an_injection() -> None:
    for seed in range(20):
        for each in crowd(16, seed=seed):
            if each.name.startswith("attacker"):
                assert not callable(each.script)
                first = next(act for act in each.script if isinstance(act, Say))
                assert first.text.startswith(INJECTIONS), seed


def test_the_resident_memory_is_compared_between_the_begin_and_the_end() -> None:
    memory = [min(100 + second, 160) * MIB for second in range(100)]
    assert in_use(memory) == {"begin": 104.5, "end": 160, "most": 160}
    assert in_use([]) is None
