"""Errors that quote a person: operators see their types and places, and the words of the person with `--body` only."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import failing_over_words
import pytest
import structlog
from failing_over_words import KINDS, SECRET, WORDS
from typed_command import data, shown

from linqbot import hookimpl
from linqbot.error_details import OF_OLDER_RELEASE
from linqbot.ops.kept import summary
from linqbot.testing import talking
from linqbot.turn_events import Observers, TurnEnded

SILENT = {"without_a_message", "bytes_of_words", "ascii_of_words", "wrong_notes"}
"""The failures whose traceback does not have the word: they have no message, or Python quotes no word in it."""
KEPT = set(KINDS) - SILENT - {"handled", "again", "filter"}
"""The failures whose message is kept: not those of a turn that is done, or that runs again."""


class Watching:
    """A plugin that keeps the reasons of the ends of turns."""

    name = "watching"

    def __init__(self) -> None:
        self.reasons: list[str | None] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None:
        self.reasons.append(turn.reason)


async def fail_in_every_way(url: str, watching: Watching) -> dict[str, str]:
    """Let a bot fail over the words of people, and return the id of the delivery of each kind of failure."""
    bot = failing_over_words.bot
    bot.plugins = (watching,)
    people = (f"+1415555{n:04}" for n in range(1000, 9999))
    sent = {}
    async with talking(bot, storage=url) as phone:
        for kind in KINDS:
            one = phone.person(next(people))
            sent[kind] = (await one.text(f"{kind} {WORDS}")).id
            await one.errors()
    return sent


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str, list[str | None]]:
    folder = tmp_path_factory.mktemp("failed")
    watching = Watching()
    with structlog.testing.capture_logs() as logs:
        sent = asyncio.run(fail_in_every_way(f"sqlite:///{folder}/linqbot.db", watching))
    return folder, sent, repr(logs), watching.reasons


@pytest.fixture(autouse=True)
def _in_its_folder(failed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(failed[0])
    monkeypatch.delenv("LINQ_API_V3_API_KEY", raising=False)
    monkeypatch.setenv("LINQBOT_STORAGE", f"sqlite:///{failed[0]}/linqbot.db")


def test_no_command_shows_what_a_person_wrote_in_an_error_without_body(failed: Any, subtests: pytest.Subtests) -> None:
    _, sent, _, _ = failed
    assert len(sent) >= 30
    for kind, message_id in sent.items():
        with subtests.test(kind=kind):
            for how in ([], ["--json"]):
                output = shown("why", message_id, *how)
                assert kind in output or "failing_over_words" in output or "Linq" in output
                assert SECRET not in output
            (case,) = data("why", message_id)["cases"]
            assert case["error"] or kind == "handled"
            if case["raised"]:
                assert any("failing_over_words.py" in line for line in case["raised"]), case["raised"]
    for command in (["--dead"], ["--deliveries"], []):
        for how in ([], ["--json"]):
            output = shown("waiting", "list", *command, *how)
            assert SECRET not in output
    errors = {row["error"] for row in data("waiting", "list", "--dead")}
    assert {error.partition(" at ")[0] for error in errors} >= {"SyntaxError", "ExceptionGroup", "ValidationError"}


def test_the_message_of_an_error_is_shown_with_body(failed: Any, subtests: pytest.Subtests) -> None:
    for kind, message_id in failed[1].items():
        with subtests.test(kind=kind):
            (case,) = data("why", message_id, "--body")["cases"]
            assert (SECRET in case.get("error_text", "")) is (kind in KEPT), case
            if kind in KEPT:
                without_the_body = shown("why", message_id, "--body").partition("  body\n")[0]
                assert SECRET in without_the_body


def test_neither_the_log_nor_a_plugin_is_given_what_a_person_wrote(failed: Any) -> None:
    _, sent, logs, reasons = failed
    assert logs.count("turn.dead_lettered") > 30
    assert SECRET not in logs
    assert len([each for each in reasons if each]) >= len(sent) - 1
    assert not [each for each in reasons if SECRET in (each or "")]


def test_the_causes_and_the_members_of_an_error_are_listed_with_their_places(failed: Any) -> None:
    def raised(kind: str) -> list[str]:
        (case,) = data("why", failed[1][kind])["cases"]
        return [line.rpartition(" in ")[2] if "File " in line else line for line in case["raised"]]

    assert raised("cause") == ["ValueError", "fail", "cause", "raised from KeyError", "cause"]
    assert raised("context") == ["ValueError", "fail", "context", "while handling KeyError", "context"]
    assert raised("group") == ["ExceptionGroup", "fail", "throw", "  with ValueError", "  with KeyError"]
    assert raised("note")[0] == raised("wrong_notes")[0] == "ValueError (with a note)"
    assert raised("class_of_a_text") == ["ValueError", "fail", "throw"]
    assert raised("function_of_words") == ["ValueError", "fail", "function_of_words"]


def test_a_dry_run_names_the_failures_of_then_and_now_without_words(failed: Any) -> None:
    pytest.importorskip("linqbot_dev")
    for how in ([], ["--json"]):
        output = shown("replay", failing_over_words.__file__, "--since", "2020-01-01", *how)
        assert "failing_over_words.py" in output
        assert SECRET not in output


def test_an_error_of_an_older_release_is_shown_without_its_text(failed: Any, tmp_path: Path) -> None:
    folder, sent, _, _ = failed
    url = f"sqlite:///{tmp_path}/old.db"
    shown("storage", "copy", f"sqlite:///{folder}/linqbot.db", url)
    old = f"Traceback (most recent call last):\n  File \"bot.py\", line 7\nKeyError: '{WORDS}'\n"
    with closing(sqlite3.connect(tmp_path / "old.db")) as database, database:
        for stored in (old, "1", "null", '["said"]', '{"raised": []}', json.dumps({"said": WORDS, "raised": [1]})):
            database.execute("UPDATE dead SET error = ?", (stored,))
            database.execute("UPDATE delivery SET error = ?", (stored,))
            database.commit()
            for kind in ("key", "again"):
                (case,) = data("why", sent[kind], "--storage", url)["cases"]
                assert case["error"] == OF_OLDER_RELEASE
                assert SECRET not in str(case)
                (case,) = data("why", sent[kind], "--body", "--storage", url)["cases"]
                assert case["error_text"] == stored
            assert SECRET not in shown("waiting", "list", "--dead", "--storage", url)


def test_what_is_kept_of_a_person_names_an_error_without_their_words(failed: Any) -> None:
    found = data("person", "show", "+14155551001")
    (row,) = summary(found)["Waiting or given up"]
    assert row["error"].startswith("KeyError at failing_over_words.py:")
    assert SECRET in str(found["tables"]["dead"])  # an export has all


@pytest.mark.process
@pytest.mark.slow
async def test_an_agent_reads_no_words_of_people_in_errors(failed: Any) -> None:
    pytest.importorskip("mcp", reason="The package mcp is not installed.")
    from mcp import Client, StdioServerParameters

    _, sent, _, _ = failed
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LINQ_")}
    server = StdioServerParameters(command=sys.executable, args=["-m", "linqbot", "mcp"], env=environ)
    async with Client(server) as agent:
        asked: list[tuple[str, dict[str, Any]]] = [
            ("why", {"who": sent[kind]}) for kind in ("syntax", "forged_traceback", "class_of_a_text", "again")
        ]
        for tool, arguments in [
            *asked,
            ("waiting", {"kind": "dead"}),
            ("waiting", {"kind": "deliveries"}),
            ("waiting", {}),
        ]:
            result = await agent.call_tool(tool, arguments)
            assert not result.is_error, result
            assert "failing_over_words" in str(result.content)
            assert SECRET not in str(result.content)
