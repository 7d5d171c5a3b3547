"""`linqbot judge` on a bot in plain Python, with and without a planted flaw, in real processes.

Most flaws are judged by the trial that finds them, all at the same time, since judges mostly wait; marked slow, by all trials.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from linqbot_dev.judge.judging import JudgePlan, PromiseLine, judge
from linqbot_dev.judge.scene import load_scene
from linqbot_dev.judge.trials import TRIALS, Trial
from patience import PATIENCE_S
from ports import free_port
from signed import SECRET

from linqbot.errors import ConfigError

pytestmark = pytest.mark.process

HERE: Final = Path(__file__).parent
EXAMPLES: Final = HERE.parents[3] / "examples"
PLAIN: Final = (sys.executable, str(HERE / "plain_bot.py"))
FLAWS: Final[Mapping[str, tuple[str, set[str]]]] = {
    "acks before storing": ("kill after a webhook", {"kill", "restart"}),
    "memory": ("kill during a send", {"kill", "restart"}),
    "no dedupe": ("doubled webhooks", {"once"}),
    "new key": ("sends whose answer is lost", {"key"}),
    "new key after lost answer": ("sends whose answer is lost", {"key"}),
    "out of order": ("many texts at once", {"order"}),
    "keeps old secrets": ("a new secret", {"rotated"}),
    "first secret": ("two secrets", {"overlap", "rotated"}),
    "takes unsigned": ("forged webhooks", {"forged"}),
    "gives up on 503": ("sends refused with 503", {"refused"}),
    "impatient": ("sends refused with 429", {"waits"}),
    "never gives up": ("STOP", {"stop"}),
    "crashes": ("plain talk", {"stays"}),
}
"""Each flaw with a trial that finds it, and all promises that it breaks."""


def plan(flaw: str = "", **more: Any) -> JudgePlan:
    return JudgePlan(
        **{
            "command": PLAIN,
            "variables": {"FLAW": flaw, "BOT_DB": "{folder}/bot.db", "LINQ_WEBHOOK_SECRET": "{secrets}"},
            "patience_s": 12.0,  # the judges run at the same time, so a bot may be slow
            **more,
        }
    )


def broken(card: list[PromiseLine]) -> set[str]:
    return {line.promise for line in card if line.verdict == "broken"}


def named(*names: str) -> list[Trial]:
    return [trial for trial in TRIALS if trial.name in {"plain talk", *names}]


async def test_each_flaw_is_found_by_the_trial_that_is_aimed_at_it() -> None:
    plans = [plan(flaw, trials=named(trial)) for flaw, (trial, _) in FLAWS.items()]
    cards = await asyncio.gather(*map(judge, plans))
    found = {flaw: broken(card) for flaw, card in zip(FLAWS, cards, strict=True)}
    first = {flaw: promises & found[flaw] for flaw, (_, promises) in FLAWS.items()}
    assert all(first.values()), first
    assert found == first, "No other promise is broken."


@pytest.mark.slow
async def test_of_each_flaw_all_trials_find_exactly_what_it_breaks() -> None:
    few = asyncio.Semaphore(5)

    async def judged(flaw: str) -> list[PromiseLine]:
        async with few:
            return await judge(plan(flaw))

    # A process that ends by itself may do so in any trial, and lose there what the trial is about.
    flaws = {flaw: promises for flaw, (_, promises) in FLAWS.items() if flaw != "crashes"}
    cards = await asyncio.gather(*map(judged, flaws))
    assert {flaw: broken(card) for flaw, card in zip(flaws, cards, strict=True)} == flaws
    assert all(line.verdict != "not tried" for card in cards for line in card)


@pytest.mark.slow
async def test_a_bot_without_a_flaw_keeps_every_promise_and_three_judges_give_the_same_card() -> None:
    cards = await asyncio.gather(*(judge(plan(flaw)) for flaw in ("", "", "", "memory", "memory", "memory")))
    verdicts = [[(line.promise, line.verdict, line.trial) for line in card] for card in cards]
    assert {verdict for _, verdict, _ in verdicts[0]} == {"kept"}
    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert verdicts[3] == verdicts[4] == verdicts[5]


@pytest.mark.slow
async def test_linqbots_echo_and_its_questions_keep_every_promise(tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(ASKS)
    serve = (sys.executable, "-m", "linqbot", "serve")
    plans = [
        JudgePlan(command=(*serve, str(EXAMPLES / "echo.py"))),
        JudgePlan(command=(*serve, str(tmp_path / "asks.py")), scene=load_scene(HERE / "ask.toml")),
    ]
    for card in await asyncio.gather(*map(judge, plans)):
        assert [line for line in card if line.verdict != "kept"] == []


ASKS: Final = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def table(message: MessageReceived, ctx: Context) -> None:
    people = await ctx.ask("For how many people?")
    await ctx.reply(f"{message.text.capitalize()}: {people}")
"""


async def test_a_slot_that_two_people_get_is_found_with_the_shortest_story() -> None:
    scene = load_scene(HERE / "slots.toml")
    card = await judge(plan("slots in memory", scene=scene, trials=named("kill during a send")))
    (line,) = [line for line in card if line.verdict == "broken"]
    assert line.promise == "kill"
    assert line.why.startswith("Two owners of one place: ")
    assert line.times == (2, 2)
    assert [(each.chat, each.by_bot) for each in line.story] == [
        *[("Ann", False), (None, False), ("Ann", True)],
        *[("Bob", False), (None, False), ("Bob", True)],
    ]


async def test_a_bot_that_is_no_echo_needs_a_scene() -> None:
    with pytest.raises(ConfigError, match=r"is no echo.*--scene FILE"):
        await judge(plan("mutters"))


async def test_when_plain_talk_fails_no_other_trial_is_made() -> None:
    card = await judge(plan("forgets bread", trials=named("doubled webhooks"), patience_s=1.0))
    assert broken(card) == {"answers"}
    assert {line.why for line in card if line.promise == "once"} == {
        "the bot does not answer texts when nothing goes wrong"
    }


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_a_card_and_writes_it_for_ci_and_as_a_page(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    files = ("--junit", "card.xml", "--html", "card.html")
    environ = ("--env", "BOT_DB={folder}/bot.db", "--env", "FLAW=takes unsigned")
    run = command("judge", *files, *environ, "--patience", "8", "--", *PLAIN)
    assert run.process.wait(3 * PATIENCE_S) == 1, run.said()
    assert "14 kept, 1 broken" in run.said()
    assert "broken     refuses a forged webhook" in run.said()
    assert "(a webhook without a signature is posted)" in run.said()
    suite = ET.parse(tmp_path / "card.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["skipped"]) == ("15", "1", "0")
    assert "a webhook without a signature was answered on the phone" in (tmp_path / "card.html").read_text()


def test_a_bot_that_never_answers_its_first_probe_is_an_error_with_what_it_printed(
    command: Callable[..., Any],
) -> None:
    environ = ("--env", "BOT_DB={folder}/bot.db", "--env", "FLAW=never ready")
    run = command("judge", *environ, "--json", "--", *PLAIN)
    assert run.process.wait(PATIENCE_S) == 2, run.said()
    said = json.loads(run.said().splitlines()[-1])["error"]["what"]
    assert "never answered its first probe" in said
    assert "/webhook: 404" in said
    assert "listening" in said


def test_a_command_that_ends_at_once_is_an_error_with_what_it_printed(command: Callable[..., Any]) -> None:
    run = command("judge", "--", sys.executable, "-c", "raise SystemExit('no key')")
    assert run.process.wait(PATIENCE_S) == 2, run.said()
    assert "Its process ended with 1 before it listened." in run.said()
    assert "no key" in run.said()


def test_a_program_that_is_not_there_is_an_error(command: Callable[..., Any]) -> None:
    run = command("judge", "--", "no-such-program")
    assert run.process.wait(PATIENCE_S) == 2, run.said()
    assert "no-such-program cannot be started: No such file or directory." in run.said()


async def test_a_bot_that_runs_already_is_judged_by_its_webhook_and_is_not_killed(tmp_path: Path) -> None:
    linq, port = free_port(), free_port()
    environ = {
        "LINQ_API_V3_API_KEY": "any",
        "LINQ_API_V3_BASE_URL": f"http://127.0.0.1:{linq}/api/partner",
        "LINQ_WEBHOOK_SECRET": SECRET,
        "PORT": str(port),
        "BOT_DB": str(tmp_path / "bot.db"),
    }
    bot = await asyncio.create_subprocess_exec(*PLAIN, env=environ, stderr=asyncio.subprocess.PIPE)
    try:
        assert bot.stderr is not None
        await bot.stderr.readline()
        url = f"http://127.0.0.1:{port}/webhook"
        card = await judge(
            JudgePlan(webhook=url, secret=SECRET, linq_port=linq, trials=named("doubled webhooks", "restart"))
        )
    finally:
        bot.kill()
        await bot.communicate()
    verdicts = {line.promise: (line.verdict, line.why) for line in card}
    assert verdicts["once"] == ("kept", "")
    assert verdicts["restart"] == ("not tried", "the judge has not started the bot, and cannot kill it")


def test_sigterm_ends_the_judge_and_the_bot_that_it_has_started(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "bot.py").write_text(NOTES)
    run = command("judge", "--env", "BOT_DB={folder}/bot.db", "--", sys.executable, "bot.py")
    pid = int(run.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    assert run.stop(signal.SIGTERM) == 1, run.said()
    assert "Traceback" not in run.said()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


NOTES: Final = f"""
import os, pathlib, runpy
pathlib.Path("pid").write_text(str(os.getpid()))
runpy.run_path({PLAIN[1]!r}, run_name="__main__")
"""
