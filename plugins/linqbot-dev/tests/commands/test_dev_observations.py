"""Reports of `linqbot dev` to the emulator: posted in order, never in the way of the bot; and errors of a bot's file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from linqbot_dev.dev.bot import start_failure, still_loading
from linqbot_dev.dev.bot_process import BotProcess, note_end
from linqbot_dev.dev.reporting import MAX_WAITING, Observations
from linqbot_dev.emulator.emulator import Emulator

from linqbot.errors import BotError, ConfigError, LinqbotError
from linqbot.frames import authors_place_of_thread
from linqbot.ops.bot_file import load_bot


def observing(answer: Callable[[httpx.Request], httpx.Response], reports: int) -> Observations:
    """Post some reports to an emulator that answers so."""
    observations = Observations("http://127.0.0.1:4010", httpx.MockTransport(answer))
    for number in range(reports):
        observations.post(partial(dict, number=number))
    return observations


def test_reports_are_posted_in_order_and_an_emulator_that_is_away_loses_only_those_of_that_time() -> None:
    posted: list[tuple[str, int]] = []
    errors = [httpx.ConnectError("refused"), httpx.ReadTimeout("late")]

    def answer(request: httpx.Request) -> httpx.Response:
        if errors:
            raise errors.pop()
        posted.append((str(request.url), json.loads(request.content)["number"]))
        return httpx.Response(202)

    observing(answer, reports=5).close()
    assert posted == [("http://127.0.0.1:4010/emulator/observations", number) for number in (2, 3, 4)]


def test_posting_never_waits_for_an_emulator_that_hangs() -> None:
    go = threading.Event()
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        go.wait()
        count += 1
        return httpx.Response(202)

    # Returns although nothing is answered; the last ones are dropped.
    observations = observing(answer, reports=MAX_WAITING + 50)
    go.set()
    observations.close(timeout_s=60)
    assert MAX_WAITING <= count < MAX_WAITING + 50


def failed(tmp_path: Path, code: str) -> dict[str, Any]:
    """Return the report of the error with which a bot's file fails to load."""
    (tmp_path / "broken_bot.py").write_text(code)
    with pytest.raises(LinqbotError) as caught:
        load_bot(str(tmp_path / "broken_bot.py"))
    return start_failure(caught.value)


def test_a_file_that_does_not_load_is_reported_with_its_line(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for code, line, message in (
        ("from linqbot import Bot\nbot = Bot(\n", 2, "SyntaxError: '(' was never closed"),
        ("import nosuchmodule\n", 1, "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("\n\nprint(1 / 0)\n", 3, "ZeroDivisionError: division by zero"),
        (
            "from linqbot import Bot\nbot = Bot()\n@bot.on_reaction('lov')\nasync def a(event, ctx): ...\n",
            3,
            "BotError: There is no reaction 'lov', so this handler could never run.",
        ),
    ):
        with subtests.test(message=message):
            found = failed(tmp_path, code)
            assert (found["kind"], found["status"]) == ("bot", "failed")
            assert (found["file"], found["line"]) == ("broken_bot.py", line)
            assert found["message"].startswith(message)
            assert "broken_bot.py" in found["traceback"]


def test_an_error_without_a_line_of_the_author_is_reported_with_its_message_and_code() -> None:
    found = start_failure(ConfigError("bot.py has no Bot at its top level. Add: bot = Bot()"))
    assert (found["file"], found["line"]) == (None, None)
    assert found["message"] == "ConfigError: bot.py has no Bot at its top level. Add: bot = Bot() [LQB1001]"
    assert start_failure(BotError("x"))["message"].endswith("[LQB5001]")


def test_the_end_of_a_process_is_shown_unless_it_was_stopped_or_has_said_why(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    ended, said = "The bot's process ended {}. The terminal may show why.", "SyntaxError: invalid syntax"
    for how, code, is_stopping, is_ending, earlier, shown in (
        ("by itself", 3, False, False, None, ended.format("with exit code 3")),
        ("by a signal", -9, False, False, None, ended.format("because of SIGKILL")),
        ("by one without a name", -99, False, False, None, ended.format("because of signal 99")),
        ("stopped", 3, True, False, None, None),
        ("with linqbot dev", 3, False, True, None, None),
        ("after a report", 3, False, False, said, said),
    ):
        with subtests.test(how):
            emulator = Emulator()
            bot = BotProcess("bot.py", "", 0, tmp_path, is_stopping=is_stopping, is_ending=partial(bool, is_ending))
            if earlier is not None:
                emulator.observe({"kind": "bot", "status": "failed", "message": earlier})
            note_end(bot, emulator, None, code)
            assert (emulator.bot["message"] if emulator.bot else None) == shown


def test_a_file_that_does_not_end_loading_is_reported_with_the_line_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go = threading.Event()
    monkeypatch.setattr(threading, "bot_may_go_on", go, raising=False)
    reported: list[dict[str, Any]] = []

    def place_in_bot(thread: int) -> str | None:
        # The lines of this test count as an author's, too. The first look may come while it runs them.
        at = authors_place_of_thread(thread)
        return None if at is None or at.startswith(Path(__file__).name) else at

    def found(at: str) -> None:
        reported.append(still_loading(at))
        go.set()

    monkeypatch.setattr("linqbot.ops.bot_file.authors_place_of_thread", place_in_bot)

    (tmp_path / "waits.py").write_text(
        "import threading; threading.bot_may_go_on.wait()\nimport linqbot\n_ = linqbot.Bot()\n"
    )
    load_bot(str(tmp_path / "waits.py"), still_loading=found, long_s=0.01)
    (failed,) = reported
    assert (failed["status"], failed["file"], failed["line"]) == ("failed", "waits.py", 1)
    assert "at=waits.py:1" in capsys.readouterr().out.replace("'", "")
