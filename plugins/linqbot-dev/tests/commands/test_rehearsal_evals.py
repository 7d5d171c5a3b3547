"""The cases of `linqbot rehearse --evals`: read from YAML, judged, limited, and compared with the last run."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from linqbot_dev.rehearsal.evals import Suite, load
from linqbot_dev.rehearsal.report import PersonResult, Report, print_summary
from patience import PATIENCE_S

from linqbot.errors import ConfigError
from linqbot.installing import install_command
from linqbot.testing.people import Decide, Inject, Judgement, Locate, Pause, PayRequest, Persona, Say, Tap, VoteFor

JUDGE = """
from linqbot.testing.people import Judgement


async def grade(conversation, criterion):
    return Judgement(criterion in conversation, f"It does not say {criterion}.", usd=0.5)
"""
TWO = """
judge: judge_of_test:grade
repeat: 2
pass_rate: 0.5
usd_per_million_tokens: [1, 10]
cases:
  - name: soup
    says: [menu]
    criteria: [soup]
  - {name: fish, says: [menu], criteria: [fish]}
"""


def suite(folder: Path, text: str) -> Suite:
    (folder / "judge_of_test.py").write_text(JUDGE)
    (folder / "cases.yaml").write_text(text)
    return load(folder / "cases.yaml")


def test_a_case_has_every_act_or_a_persona_of_the_author(tmp_path: Path) -> None:
    acts = """
      - hello
      - {say: "yes", does: book, contains: booked, waits: false}
      - tap: love
      - decide: false
      - vote: 1
      - pay:
      - locate:
      - pause: 2
      - inject: kill
    """
    found = suite(tmp_path, f"repeat: 2\ncases:\n  - name: all\n    says:{acts}\n  - {{name: own, persona: Ann}}\n")
    people = found.people(lambda: [Persona("Ann", iter([Say("hi")]), service="SMS")])
    assert [one.name for one in people] == ["all 1", "all 2", "own 1", "own 2"]
    assert people[0].script == [
        *(Say("hello"), Say("yes", does="book", contains="booked", waits=False), Tap("love"), Decide(yes=False)),
        *(VoteFor(1), PayRequest(), Locate(), Pause(2), Inject("kill")),
    ]
    assert [list(one.script) for one in people[2:] if not callable(one.script)] == [[Say("hi")]] * 2
    assert people[2].service == "SMS"


def test_the_file_in_the_docs_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "testing.md").read_text()
    written = page.partition("```yaml\n")[2].partition("```")[0].replace("judges:grade", "judge_of_test:grade")
    people = suite(tmp_path, written).people(lambda: [Persona("Ann", [Say("hi")])])
    assert [one.name for one in people][2:4] == ["books after a yes 3", "is patient 1"]
    assert people[0].script == [Say("A table for two", does=""), Say("yes", does="book", contains="booked")]


WRONG = {
    "cases: [": "is no YAML",
    "": "cases: Field required",
    "case: []": "cases: Field required",
    "cases: [{name: a, says: [true]}]": "True is no act. Write a text in quotes",
    "cases: [{name: a, says: [{sy: hi}]}]": "or one of say, correct, tap",
    "cases: [{name: a, says: [{say: hi, contain: x}]}]": "say has no contain. Did you mean 'contains'?",
    "cases: [{name: a, says: [{inject: fire}]}]": "Input should be 'kill'",
    "cases: [{name: a, says: [{tap: lvoe}]}]": "There is no tapback 'lvoe'. Did you mean 'love'?",
    "cases: [{name: a, says: [hi], criteria: [polite]}]": "there is no judge",
    "cases: [{name: a}]": "needs one of says and persona",
    "cases: [{name: a, persona: Bob}]": "no persona 'Bob'. There are: Ann.",
    "judge: no_such_module:x\ncases: [{name: a, says: [hi]}]": "cannot be imported",
    "judge: json:grade\ncases: [{name: a, says: [hi]}]": "the module json has no function 'grade'",
}


def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for text, said in WRONG.items():
        with subtests.test(text=text), pytest.raises(ConfigError) as error:
            suite(tmp_path, text).people(lambda: [Persona("Ann", [])])
        assert said in str(error.value), error.value


def test_without_pyyaml_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match=re.escape(install_command("pyyaml"))):
        suite(tmp_path, TWO)


def report(*unfinished: str, was_interrupted: bool = False, **answers: str) -> Report:
    usage = [{"chat_id": "c", "input_tokens": 1000, "output_tokens": 100}]
    people = [
        PersonResult(
            f"{case} {n}",
            Counter(written=1, expecting=1, judged=1),
            [],
            [],
            is_finished=f"{case} {n}" not in unfinished,
            transcript=f"me: menu\nbot: {answers.get(f'{case}{n}', case)}",
            took_s=2.0,
            requests=usage,
        )
        for case in ("soup", "fish")
        for n in (1, 2)
    ]
    return Report("bot.py", 1.0, 0, people, 4, {}, 0, [], was_interrupted)


def facts(found: Report, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(case[name] for name in names) for case in found.cases.values()]


async def test_the_judge_s_verdicts_make_the_pass_rate_and_a_worse_case_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await suite(tmp_path, TWO).results(report())
    assert facts(first, "passed", "good", "worse", "before") == [(2, True, False, None)] * 2
    assert first.is_good
    second = await suite(tmp_path, TWO).results(report(soup1="trout", fish1="soup", fish2="soup"))
    assert facts(second, "passed", "good", "worse") == [(1, True, True), (0, False, True)]
    assert [one.happened for one in second.violations] == ["It does not say soup.", *["It does not say fish."] * 2]
    assert not second.is_good
    assert second.spent == {
        "requests": 4,
        "input_tokens": 4000,
        "output_tokens": 400,
        "usd": 0.008,
        "requests_of_judge": 4,
        "usd_of_judge": 2.0,
    }
    print_summary(second, tmp_path)
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["✓", "soup", "1", "of", "2", "2", "of", "2", "worse", "4.0", "2", "0.0040"] in said
    cases = {case.attrib["name"]: len(case) for case in ET.fromstring(second.junit()).iter("testcase")}
    assert cases == {"soup": 0, "fish": 2, "the bot's process": 0}
    third = await suite(tmp_path, TWO).results(report())
    assert facts(third, "worse") == [(False,)] * 2


async def test_a_limit_ends_the_judging_and_an_unfinished_case_keeps_its_last_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    await suite(tmp_path, TWO).results(report())
    kept = (tmp_path / "cases.last.json").read_text()
    for limit, shown in ("max_requests: 5", "5 requests"), ("max_usd: 0.3", "$0.3"):
        with subtests.test(limit=limit):
            found = await suite(tmp_path, f"{limit}{TWO}").results(report("soup 2"))
            assert (found.limit, found.spent["requests_of_judge"], found.is_good) == (shown, 1, False)
            assert facts(found, "passed", "unfinished") == [(1, 1), (0, 2)]
            print_summary(found, tmp_path)
            said = capsys.readouterr().out
            assert f"The limit of {shown} was reached. Not finished: soup (1 of 2), fish (2 of 2)" in said
            assert (tmp_path / "cases.last.json").read_text() == kept


async def test_after_ctrl_c_no_judge_is_asked_and_only_a_case_without_criteria_is_finished(tmp_path: Path) -> None:
    text = TWO.replace(", criteria: [fish]", "")
    found = await suite(tmp_path, text).results(report("fish 2", was_interrupted=True))
    assert facts(found, "passed", "unfinished") == [(0, 2), (1, 1)]
    assert found.spent["requests_of_judge"] == 0


async def test_a_judge_that_raises_ends_the_run_of_its_case_alone(tmp_path: Path) -> None:
    made = suite(tmp_path, TWO)

    async def grade(conversation: str, criterion: str) -> Judgement:
        return Judgement(1 / (criterion == "soup") > 0)

    made.judge = grade
    found = await made.results(report())
    assert facts(found, "passed", "unfinished") == [(2, 0), (0, 2)]
    assert "the judge raised ZeroDivisionError" in str(found.people[2].stopped)


BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()


async def ask(text):
    return {"text": "Soup." if text == "menu" else "Hello.", "usage": {"input_tokens": 10, "output_tokens": 1}}


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply((await ctx.once("model", lambda key: ask(message.text), retry=True))["text"])
"""
CASES = """
judge: judge_of_test:grade
repeat: 2
cases:
  - {name: soup, says: [hi, {say: menu, contains: soup}], criteria: [Soup]}
  - {name: fish, says: [menu], criteria: [fish]}
"""


@pytest.mark.process
@pytest.mark.slow
def test_the_cases_of_a_file_are_run_judged_and_reported(tmp_path: Path, command: Callable[..., Any]) -> None:
    for name, text in {"bot.py": BOT, "judge_of_test.py": JUDGE, "cases.yaml": CASES}.items():
        (tmp_path / name).write_text(text)
    run = command("rehearse", "bot.py", "--evals", "cases.yaml", "--json", "--junit", "junit.xml")
    assert run.process.wait(PATIENCE_S) == 1, run.said()
    found = json.loads(run.said())
    assert {name: (one["passed"], one["requests"]) for name, one in found["cases"].items()} == {
        "soup": (2, 4),
        "fish": (0, 2),
    }
    assert (found["spent"]["input_tokens"], found["spent"]["usd_of_judge"], found["faults"]) == (60, 2.0, {})
    assert ET.parse(tmp_path / "junit.xml").getroot()[0].attrib["failures"] == "1"
    assert set(json.loads((tmp_path / "cases.last.json").read_text())) == {"soup", "fish"}
