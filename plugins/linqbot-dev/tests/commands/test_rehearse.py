"""`linqbot rehearse`, as a user runs it: simulated people, a real process that is killed, a report and tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from linqbot_dev.rehearsal.run import ServedBot
from patience import PATIENCE_S

from linqbot.errors import ConfigError
from linqbot.server import uvicorn_server

pytestmark = [pytest.mark.process, pytest.mark.slow]

HEAD = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> None:
"""
ECHO = HEAD + '    await ctx.reply(f"You said: {message.text}")\n'
TWICE = ECHO + "    if 'ref' in message.text:\n    " + '    await ctx.reply(f"You said: {message.text}")\n'
BOOKS = """
from linqbot.testing.ledger import Ledger

ledger = Ledger(said={"book": "you said"})
""" + ECHO.replace(
    "    await",
    "    await ctx.once('book', lambda key: ledger.do('book', key, text=message.text), retry=True)\n    await",
)
FRIENDS = """
from linqbot.testing.people import Dialogue, Persona, Say

ann = Persona("Ann", [Say("thanks"), Say("menu", contains="You said: menu"), Say("bye")])


async def choose(dialogue: Dialogue) -> Say | None:
    return Say("a question, chosen") if not dialogue.messages else None


bob = Persona("Bob", choose)
"""


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "rehearsal" / "report.json").read_text())
    return found


def test_people_talk_to_a_bot_that_is_killed_and_everything_is_answered_once(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    (tmp_path / "bot.py").write_text(BOOKS)
    run = command(
        "rehearse",
        *["bot.py", "--people", "8", "--minutes", "0.2", "--faults", "all", "--seed", "7", "--junit", "junit.xml"],
    )
    assert run.process.wait(PATIENCE_S) == 0, run.said()
    found = report(tmp_path)
    assert found["findings"] == []
    assert found["people"] == 8
    assert found["faults"]["kill"] >= 1
    assert (found["effects"] >= found["expecting_an_answer"], found["violations"]["effect-twice"]) == (True, 0)
    assert found["expecting_an_answer"] > 8
    assert found["first_answer_s"]["max"] > 0
    assert "8 people talked to bot.py for 0:" in run.said()
    assert "No rule was broken." in run.said()
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["failures"], len(suite)) == ("9", "0", 9)
    assert suite[0].attrib["name"] == "patient 1"
    assert "turn.acked" in (tmp_path / "rehearsal" / "bot.log").read_text()


def test_a_finding_is_printed_and_written_as_a_test(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "bot.py").write_text(TWICE)
    run = command("rehearse", "bot.py", "--people", "1", "--minutes", "0.1", "--faults", "none", "--junit", "junit.xml")
    assert run.process.wait(PATIENCE_S) == 1, run.said()
    assert "doubled: patient 1, at" in run.said()
    found = report(tmp_path)
    assert {one["rule"] for one in found["findings"]} == {"doubled"}
    assert found["findings"][0]["happened"] == "twice"
    (what,) = found["reproductions"].values()
    assert what.startswith("fails, as it should")
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert int(suite.attrib["failures"]) >= 1
    assert suite.find("testcase/failure") is not None


def test_ctrl_c_prints_the_summary_so_far_which_counts_only_what_was_judged(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    waiting = "    import asyncio\n    print('the handler waits', flush=True)\n    await asyncio.sleep(3600)\n"
    (tmp_path / "bot.py").write_text(HEAD + waiting)
    run = command("rehearse", "bot.py", "--people", "4", "--minutes", "10", "--faults", "none")
    log = tmp_path / "rehearsal" / "bot.log"
    run.until(lambda: log.exists() and "the handler waits" in log.read_text())
    assert run.stop(signal.SIGINT) == 0, run.said()
    assert ", then it was interrupted" in run.said()
    found = report(tmp_path)
    assert found["interrupted"] is True
    assert not [one for one in found["findings"] if one["rule"] == "unanswered"]
    assert (found["judged"], found["sent_by_the_bot"]) == (0, 0)
    assert found["expecting_an_answer"] >= 1
    lines = {line[2:34].strip(): line[35:] for line in run.said().splitlines()}
    left = found["expecting_an_answer"]
    assert lines["answered"] == f"0 of 0; {left} not judged, because the bot had not finished"
    assert "No rule was broken in what was judged." in run.said()


def test_own_personas_talk_a_dead_letter_is_found_messages_may_be_ignored_and_a_rule_skipped(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    picky = "    if message.text == 'thanks':\n        raise ValueError\n    if message.text != 'bye':\n    "
    head = HEAD.replace("on_message", "on_message(attempts=1)")
    (tmp_path / "bot.py").write_text(head + picky + ECHO.splitlines()[-1] + "\n")
    (tmp_path / "friends.py").write_text(FRIENDS)
    own = ("--people", "0", "--personas", "friends.py", "--faults", "none", "--minutes", "10", "--patience", "0.5")
    run = command("rehearse", "bot.py", *own, "--may-ignore", "^bye$", "--skip", "order", "--json")
    assert run.process.wait(PATIENCE_S) == 1  # both have said everything long before the ten minutes are over
    found = json.loads(run.said())
    broken = [("Ann", "'thanks'", rule) for rule in ("unanswered", "given-up")]
    assert [(one["person"], one["message"], one["rule"]) for one in found["findings"]] == broken
    assert found["findings"][1]["happened"] == "dead letter: ValueError at bot.py:10 in bot:answer"
    assert (found["written"], found["seconds"] < 240, found["violations"]["order"]) == (4, True, None)


def test_a_bot_that_does_not_start_is_an_error_with_its_log(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "bot.py").write_text("1 / 0\n")
    run = command("rehearse", "bot.py", "--people", "1", "--minutes", "0.1")
    assert run.process.wait(PATIENCE_S) == 2
    assert "ZeroDivisionError" in run.said()
    assert "LQB1001" in run.said()


def test_a_bot_that_ends_by_itself_is_a_finding(tmp_path: Path, command: Callable[..., Any]) -> None:
    once = "    if not Path('ended').exists():\n        Path('ended').touch()\n        os._exit(9)\n"
    (tmp_path / "bot.py").write_text("import os\nfrom pathlib import Path\n" + HEAD + once + ECHO.splitlines()[-1])
    (tmp_path / "ann.py").write_text(
        'from linqbot.testing.people import Persona, Say\n\nann = Persona("Ann", [Say("hi")])\n'
    )
    run = command("rehearse", "bot.py", "--people", "0", "--personas", "ann.py", "--faults", "none", "--json")
    assert run.process.wait(PATIENCE_S) == 1
    found = json.loads(run.said())
    assert (found["crashes"], found["findings"]) == (1, [])


async def test_no_other_program_can_take_the_port_of_the_bot_between_two_of_its_lives(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(ECHO)
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        bound.listen()
        host, port = bound.getsockname()
        log, secret = tmp_path / "bot.log", "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
        bot = ServedBot(
            str(tmp_path / "bot.py"), "http://127.0.0.1:1", port, tmp_path, bound=bound, log=log, webhook_secret=secret
        )
        try:
            await bot.serve()
            await bot.kill()
            assert await bot.unfinished() == set()
            assert bot.process is not None
            bot.process.kill()
            await bot.process.wait()
            with pytest.raises(ConfigError, match="Address already in use"):
                uvicorn_server.listen(host, port)
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        finally:
            await bot.stop()
