"""Shell completion: the offered words, asked for as each shell does, and the scripts, checked by installed shells."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from linqbot.cli import completions
from linqbot.cli.main import main
from linqbot.cli.table import COMMANDS
from linqbot.clock import SystemClock
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.open import open_storage


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
        ("linqbot trigger message.re", ["message.received", "message.read"]),
        ("linqbot waiting list --type chat.group_i", ["chat.group_icon_updated", "chat.group_icon_update_failed"]),
        ("linqbot explain LQB200", ["LQB2001", "LQB2002", "LQB2003", "LQB2004"]),
        ("linqbot explain 202", ["2022", "2023", "2024", "2026", "2027", "2028"]),
        ("linqbot explain r9", ["R9", "R90", "R91", "R92", "R93", "R94", "R95", "R96"]),
        ("linqbot send +1 --effect la", ["lasers"]),
        ("linqbot --completion ", ["bash", "zsh", "fish"]),
        ("linqbot why w", []),
    ]
    for line, wanted in rows:
        with subtests.test(line=line):
            assert offered(line) == wanted
            assert list(tmp_path.iterdir()) == []


def test_the_first_word_is_completed_without_importing_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a command was imported")

    monkeypatch.setattr(type(main), "get_command", refuse)
    assert offered("linqbot ") == list(COMMANDS)


def test_ids_of_waiting_deliveries_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    delivery = Delivery("w.one", "c:chat", "message.received", b"{}", SystemClock().now())

    async def stored() -> None:
        async with open_storage("sqlite:///linqbot.db") as storage:
            await storage.put(delivery)

    asyncio.run(stored())
    assert offered("linqbot why w") == ["w.one"]
    assert offered("linqbot waiting retry w") == []


@pytest.mark.process
def test_the_script_is_valid_in_its_shell_and_its_place_is_printed(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for shell, place in completions.PLACES.items():
        with subtests.test(shell=shell):
            result = CliRunner().invoke(main, ["--completion", shell])
            assert result.exit_code == 0
            assert f"linqbot --completion {shell} > {place}" in result.stderr
            assert "_LINQBOT_COMPLETE" in result.stdout
            program = shutil.which(shell)
            if program is not None:
                (tmp_path / "script").write_text(result.stdout)
                read = subprocess.run([program, "-n", tmp_path / "script"], capture_output=True, check=False)
                assert (read.returncode, read.stderr) == (0, b"")
