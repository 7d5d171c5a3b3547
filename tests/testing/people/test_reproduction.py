"""A violation becomes a pytest file, which fails with the bot that broke the rule and passes with a corrected one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linqbot.testing.people import Inject, Pause, Persona, Say, Violation
from linqbot.testing.people.acts import PersonAct
from linqbot.testing.people.checks import Rule
from linqbot.testing.people.reproduction import reproductions
from linqbot.testing.people.visit import Performed, Stretch, Visit

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


def visit(name: str, *stretches: list[PersonAct]) -> Visit:
    done = [Stretch(0, [Performed(act, 0.0) for act in acts], is_settled=True) for acts in stretches]
    return Visit(Persona(name, [], service="SMS" if name == "sms 3" else "iMessage"), "+14155550142", done)


def violation(rule: Rule, person: str, stretch: int, expected: str = "", other: str | None = None) -> Violation:
    return Violation(rule, person, "'hi'", expected, 'He said """no""" \\ twice', stretch, other)


ANN = visit("ann", [Say("first")], [Pause(2), Say("second", waits=False), Say("third, with 'quotes'")], [Say("fourth")])
KILLED = visit("ann", [Say("first"), Inject("kill")])
BOB = visit("bob", [Say("my code is tulip-4821")])
SMS = visit("sms 3", [Inject("429"), Say("first")])

CASES = [
    pytest.param(TWICE, violation("doubled", "ann", 1), [ANN], 0, id="doubled"),
    pytest.param(
        SILENT, violation("unanswered", "ann", 1), [visit("ann", [Say("first")], [Say("second")])], 0, id="silent"
    ),
    pytest.param(LEAKS, violation("leak", "ann", 0, "no text", "bob"), [BOB, ANN], 0, id="leak"),
    pytest.param(SECRET, violation("leak", "ann", 0, "no secret in a message"), [ANN], 0, id="secret"),
    pytest.param(AFTER_A_CRASH, violation("doubled", "ann", 0), [KILLED], 2, id="after a crash"),
    pytest.param(TWICE, violation("doubled", "sms 3", 0), [SMS], 1, id="with a fault over SMS"),
]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("wrong", "found", "visits", "number"), CASES)
def test_it_fails_with_this_bot_and_passes_with_a_corrected_one(
    wrong: str, found: Violation, visits: list[Visit], number: int, tmp_path: Path
) -> None:
    bot, test = tmp_path / "bot.py", tmp_path / "out" / "test_it.py"
    test.parent.mkdir()
    bot.write_text(HEAD + wrong)
    test.write_text([*reproductions(found, visits, str(bot), test.parent)][number])
    failed = run(test)
    assert failed.returncode == 1, failed.stdout
    assert f"rule='{found.rule}'" in failed.stdout
    bot.write_text(HEAD + RIGHT)
    passed = run(test)
    assert passed.returncode == 0, passed.stdout


def run(test: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", str(test)],
        cwd=test.parent,
        env=os.environ | {"PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_shortest_test_comes_first_and_the_last_has_the_whole_conversation() -> None:
    first, *_, last = reproductions(violation("doubled", "ann", 1), [ANN], "bot.py", Path())
    assert "Say('first')" not in first
    assert "Pause" not in first
    assert all(said in last for said in ("Say('first')", "Say('second', waits=False)", "Pause(2)"))
    assert "fourth" not in last


def test_a_bot_in_a_module_and_a_bot_with_a_name_are_found() -> None:
    (module, *_), (named, *_) = (
        [*reproductions(violation("doubled", "ann", 0), [ANN], bot, Path("out"))]
        for bot in ("my.bots:shop", "a/b.py:shop")
    )
    assert "load_bot('my.bots:shop')" in module
    assert 'load_bot(f"{Path(__file__).parent}/../a/b.py:shop")' in named
