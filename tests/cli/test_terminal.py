"""Scenes in a terminal: questions, narrow terminals, long work, and words that are nearly commands."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
import pytest
from pseudo_terminal import typed
from sqlite_connections import in_storage

from linqbot.cli import output
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer

pytest.importorskip("pty", reason="This system has no pseudo terminals.")

ABORTED = "Error: Aborted; nothing was done."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminal")

    async def fill(storage: SQLiteStorage) -> None:
        await storage.schedule(Timer("later", 4e9, "c:chat", "send", b"{}"))
        await storage.start_broadcast(NewBroadcast("july", "+12025550100", 20, b"[]", time.time()), ["+14155550142"])

    in_storage(folder / "linqbot.db", fill)
    return folder


@pytest.mark.slow
@pytest.mark.process
def test_scenes(folder: Path, subtests: pytest.Subtests) -> None:
    cancel = ("waiting", "cancel", "july")
    rows: list[tuple[tuple[str, ...], dict[str, str], int, list[str], list[str]]] = [
        (cancel, {"answer": "n\n"}, 1, ["It cannot be resumed [y/N]: n", ABORTED], []),
        (cancel, {"answer": "\x04"}, 1, ["\nError: Aborted"], []),
        # In an event loop, the first Ctrl-C would wait for the answer.
        (cancel, {"answer": "\x03"}, 1, ["\nError: Aborted"], ["Traceback"]),
        (("waiting", "list", "--scheduled"), {"COLUMNS": "40"}, 0, ["\nkind         send\n", "id           later"], ["kind  for"]),
        (("storage", "backup", "copy.db"), {}, 0, ["Copying", "100%"], []),
        (("storage", "backup", "as_json.db", "--json"), {}, 0, ['"backup": "as_json.db"'], ["Copying"]),
        (("forget", "+1"), {"NO_COLOR": "1"}, 2, ["Did you mean person forget?"], ["\x1b"]),
    ]  # fmt: skip
    for words, how, exit_code, shown, hidden in rows:
        with subtests.test(words=words, how=how):
            screen = typed(folder, *words, **how)
            text = click.unstyle(screen.raw)
            assert screen.exit_code == exit_code, text
            for each in shown:
                assert each in text, text
            for each in hidden:
                assert each not in (screen.raw if each == "\x1b" else text), text


def test_long_work_prints_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "LINE_EVERY_S", 0.0)
    with output.progress_bar("Copying") as progress:
        progress(1, 4)
        progress(4, 4)
    assert capsys.readouterr().err == "Copying: 25 %\nCopying: 100 %\n"


def test_ctrl_c_ends_work_that_does_not_let_its_event_loop_run() -> None:
    async def work() -> None:
        with output.progress_bar("Copying") as progress:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # as Ctrl-C does
            progress(1, 2)
            raise AssertionError("the work goes on")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
