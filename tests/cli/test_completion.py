"""Shell completion: the words that are offered, asked for as bash does."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from linqbot.cli import plugin_commands
from linqbot.cli.main import main
from linqbot.cli.table import COMMANDS, PACKAGES


def offered(line: str) -> list[str]:
    """Return the words that are offered at the end of a command line."""
    words = line.split(" ")
    environ = {"_LINQBOT_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(main, [], prog_name="linqbot", env=environ)
    return [row.partition(",")[2] for row in result.stdout.splitlines() if row]


def test_arguments_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[tuple[str, list[str]]] = [
        ("linqbot ser", ["serve"]),
        ("linqbot --v", ["--version"]),
        ("linqbot waiting ret", ["retry"]),
        ("linqbot serve bo", ["bo"]),  # of the kind "file", which the shell completes itself
    ]
    for line, wanted in rows:
        with subtests.test(line=line):
            assert offered(line) == wanted
            assert list(tmp_path.iterdir()) == []


def test_the_first_word_is_completed_without_importing_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a command was imported")

    monkeypatch.setattr(type(main), "get_command", refuse)
    assert {*offered("linqbot ")} == {*COMMANDS, *PACKAGES}.difference(plugin_commands.missing())
