"""A violation becomes a pytest file, which fails with the bot that broke the rule and passes with a corrected one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from linqbot_dev.rehearsal import reproducing
from linqbot_dev.rehearsal.reproducing import reproductions
from linqbot_dev.testing.people.checks import Rule
from linqbot_dev.testing.people.persona import Performed, PersonAct, Stretch, Visit
from patience import PATIENCE_S

from linqbot.testing.people import Inject, Pause, Persona, Say, Violation

HEAD = """
import os

from linqbot import Bot, Context, MessageReceived

bot = Bot()
last: list[str] = []


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> None:
"""
RIGHT = '    await ctx.reply(f"You said: {message.text}")\n'
TWICE = RIGHT + RIGHT
SILENT = '    if message.text != "second":\n    ' + RIGHT
LEAKS = '    await ctx.reply(f"Before: {last}")\n    last.append(message.text)\n'
SECRET = '    await ctx.reply(os.environ["LINQ_API_V3_API_KEY"])\n'
AFTER_A_CRASH = (
    "    last.append(message.event_id)\n"
    "    for _ in range(last.count(message.event_id)):\n"
    '        await ctx.reply("hello")\n'
)

FORGETS_AFTER_A_CRASH = (
    "    last.append(message.event_id)\n"
    "    is_known = last.count(message.event_id) > 1\n"
    '    await ctx.reply("What?" if is_known else f"You said: {message.text}")\n'
)

BOOKS_TWICE = """\
    from linqbot.testing.ledger import Ledger

    for _ in range(2):
        await Ledger().do("book")
    await ctx.reply("Booked.")
"""


def visit(name: str, *stretches: list[PersonAct]) -> Visit:
    done = [Stretch(0, [Performed(act, 0.0) for act in acts], is_settled=True) for acts in stretches]
    return Visit(Persona(name, [], service="SMS" if name == "sms 3" else "iMessage"), "+14155550142", done)


def violation(rule: Rule, person: str, stretch: int, expected: str = "", other: str | None = None) -> Violation:
    return Violation(rule, person, "'hi'", expected, 'He said """no""" \\ twice', stretch, other)


ANN = visit("ann", [Say("first")], [Pause(2), Say("second", waits=False), Say("third, with 'quotes'")], [Say("fourth")])
KILLED = visit("ann", [Say("first"), Inject("kill")])
KILLED_LATER = visit("ann", [Say("zero", contains="You said"), Inject("kill")], [Say("first", contains="You said")])
BOB = visit("bob", [Say("my code is tulip-4821")])
SMS = visit("sms 3", [Inject("429"), Say("first")])

CASES = {
    "doubled": (TWICE, violation("doubled", "ann", 1), [ANN], 0),
    "silent": (
        SILENT,
        violation("unanswered", "ann", 1, "an answer"),
        [visit("ann", [Say("first")], [Say("second")])],
        0,
    ),
    "leak": (LEAKS, violation("leak", "ann", 0, "no text", "bob"), [BOB, ANN], 0),
    "secret": (SECRET, violation("leak", "ann", 0, "no secret in a message"), [ANN], 0),
    "after_a_crash": (AFTER_A_CRASH, violation("doubled", "ann", 0), [KILLED], 2),
    "wrong_after_a_crash": (
        FORGETS_AFTER_A_CRASH,
        violation("unanswered", "ann", 1, "an answer that contains 'You said'"),
        [KILLED_LATER],
        2,
    ),
    "effects": (BOOKS_TWICE, violation("effect-twice", "ann", 0), [ANN], 0),
    "with_a_fault_over_sms": (TWICE, violation("doubled", "sms 3", 0), [SMS], 1),
}
"""By name: the code of a wrong bot, the violation that was found, the visits, and the number of the reproduction."""

PYTEST_OPTIONS = ("-p", "no:cacheprovider", "-p", "no:langsmith_plugin", "-W", "error", "-v")


@pytest.mark.slow
@pytest.mark.process
def test_each_fails_with_its_bot_and_passes_with_a_corrected_one(tmp_path: Path) -> None:
    for name, (wrong, found, visits, number) in CASES.items():
        bot, test = tmp_path / f"{name}.py", tmp_path / "out" / f"test_{name}.py"
        test.parent.mkdir(exist_ok=True)
        bot.write_text(HEAD + wrong)
        test.write_text([*reproductions(found, visits, str(bot), test.parent)][number])
    assert run(tmp_path / "out") == {name: f"rule='{found.rule}'" for name, (_, found, _, _) in CASES.items()}
    for name in CASES:
        (tmp_path / f"{name}.py").write_text(HEAD + RIGHT)
    assert run(tmp_path / "out") == dict.fromkeys(CASES, "passed")


def run(tests: Path) -> dict[str, str]:
    """Run tests in a pytest of their own. Return for each file "passed", or the rule that was broken."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *PYTEST_OPTIONS, f"--junit-xml={tests}.xml", str(tests)],
        cwd=tests,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    cases = ET.parse(f"{tests}.xml").getroot().iter("testcase")
    said = {case.attrib["classname"].removeprefix("test_"): "".join(case.itertext()) for case in cases}
    assert ran.returncode == any(said.values()), ran.stdout
    return {name: re.findall(r"rule='[\w-]+'", failure)[0] if failure else "passed" for name, failure in said.items()}


def test_the_shortest_test_comes_first_and_the_last_has_the_whole_conversation() -> None:
    first, *_, last = reproductions(violation("doubled", "ann", 1), [ANN], "bot.py", Path())
    assert "Say('first')" not in first
    assert "Pause" not in first
    assert all(said in last for said in ("Say('first')", "Say('second', waits=False)", "Pause(2)"))
    assert "fourth" not in last


def test_where_a_certain_answer_or_silence_is_expected_a_test_has_all_that_was_said_before() -> None:
    for found in (
        violation("unanswered", "ann", 1, "an answer that contains 'for 4 people'"),
        violation("unexpected", "ann", 1, "no message"),
    ):
        assert all("Say('first')" in test for test in reproductions(found, [ANN], "bot.py", Path()))


def test_a_wrong_answer_after_a_kill_is_reproduced_with_kills() -> None:
    found = violation("unanswered", "ann", 1, "an answer that contains 'You said'")
    *_, last = reproductions(found, [KILLED_LATER], "bot.py", Path())
    assert "killed_between_calls" in last


def test_a_bot_in_a_module_and_a_bot_with_a_name_are_found() -> None:
    (module, *_), (named, *_) = (
        [*reproductions(violation("doubled", "ann", 0), [ANN], bot, Path("out"))]
        for bot in ("my.bots:shop", "a/b.py:shop")
    )
    assert ("import_module('my.bots').shop" in module, "for each in ['..']]" in module) == (True, True)
    assert ("import_module('b').shop" in named, "for each in ['../a', '..']]" in named) == (True, True)


PUBLIC = {"linqbot", "linqbot.testing", "linqbot.testing.ledger", "linqbot.testing.people"}


def test_a_test_imports_public_names_only() -> None:
    for _, found, visits, _ in CASES.values():
        for test in reproductions(found, visits, "bot.py", Path("out")):
            named = set(re.findall(r"^(?:from|import) (linqbot\S*)", test, re.MULTILINE))
            assert named <= PUBLIC
            assert "linqbot.testing" in named


@pytest.mark.process
def test_a_test_that_does_not_end_is_not_said_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproducing, "TIMEOUT_S", 0.01)
    (tmp_path / "bot.py").write_text("from linqbot import Bot\n\nbot = Bot()\n")
    written = reproducing.write_reproductions(
        [violation("unanswered", "ann", 0)], [ANN], str(tmp_path / "bot.py"), tmp_path / "out"
    )
    assert [said.startswith("did not end within") for said in written.values()] == [True]
