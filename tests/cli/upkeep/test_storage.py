"""`linqbot storage` as a command: what it prints, its exit codes, and the URLs that it refuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import PERSON, delivery, text_body
from sqlite_connections import in_storage
from typed_command import data, shown

from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.upkeep import SQLiteContents


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "linqbot.db"
    monkeypatch.setenv("LINQBOT_STORAGE", f"sqlite:///{path}")
    in_storage(path, lambda storage: storage.put(delivery(text_body())))
    return path


CHECK = ("check", "--only", "rows")


def digest_of(*more: str) -> str:
    return str(data(*CHECK, *more)[-1]["what"]).rpartition(" ")[2].rstrip(".")


def test_check_counts_the_rows_and_ends_with_0(path: Path) -> None:
    (finding,) = data(*CHECK)
    assert (finding["check"], finding["status"]) == ("rows", "ok")
    assert f"(schema {file.newest_schema()}) holds 3 meta, 1 delivery, 2 seen" in finding["what"]


def test_check_names_problems_and_ends_with_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM body")
    first = data(*CHECK, code=1)[0]
    assert (first["status"], first["code"]) == ("failure", "LQB6093")
    assert first["what"].endswith("1 waiting deliveries have no body.")


def test_purge_with_compact_says_what_room_it_needs_and_asks_first(path: Path) -> None:
    refused = shown("storage", "purge", "--compact", input="n\n", code=1)
    assert re.search(
        rf"It needs 0\.\d MB in \S+, the folder for temporary files, and 0\.\d MB in {path.parent}\.", refused
    )
    assert "A server cannot store deliveries meanwhile" in refused
    assert data("storage", "purge", "--compact", "--yes") == {"purged": 0, "wiped": True}
    both = shown("storage", "purge", "--before", "2090-01-01", "--compact", "--yes")
    assert both == "0 deliveries deleted. The file has no deleted bytes and no free space.\n"
    assert "Give --before TIME" in shown("storage", "purge", code=2)


def test_purge_with_compact_refuses_without_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    refused = shown("storage", "purge", "--compact", "--yes", code=1)
    assert "Make room there, or set SQLITE_TMPDIR" in refused


def test_of_a_large_file_purge_and_forget_say_what_is_left_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.upkeep.WIPED_AT_ONCE", 1)
    erased = shown("person", "forget", PERSON, "--yes")
    assert re.search(r"^delivery +1$", erased, re.MULTILINE)
    left = "Copies of deleted rows may be left in the free space of the file"
    assert f"The rows are erased. {left}" in erased
    assert data("person", "forget", PERSON, "--yes")["wiped"] is False
    assert left in shown("storage", "purge", "--before", "2090-01-01", "--yes")
    shown("storage", "purge", "--compact", "--yes")
    assert left not in shown("storage", "purge", "--before", "2090-01-01", "--yes")


def test_ctrl_c_ends_a_statement_that_takes_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ((f"chat:{n}", "Table", b"{}") for n in range(50_000))
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO state (scope, name, value) VALUES (?, ?, ?)", rows)
    problems, read = SQLiteContents.problems, []

    async def interrupted(self: SQLiteContents) -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        read.append(await problems(self))
        return []

    monkeypatch.setattr(SQLiteContents, "problems", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker of pytest-xdist ignores it
    try:
        assert "The command was aborted." in shown(*CHECK, code=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert read == []


def test_migrate_says_what_it_did(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = file.newest_schema()
    assert shown("storage", "migrate") == f"{path} has schema {newest}, the newest. Nothing was changed.\n"
    created = shown("storage", "migrate", "--storage", f"sqlite:///{tmp_path}/new.db")
    assert created.endswith(f"new.db: created with schema {newest}.\n")
    of_next_release = {**file.schemas(), newest + 1: "CREATE TABLE added (n INTEGER PRIMARY KEY);"}
    monkeypatch.setattr(file, "schemas", lambda: of_next_release)
    shown(*CHECK, code=1)
    assert shown("storage", "migrate") == f"{path}: brought from schema {newest} to {newest + 1}.\n"
    assert f"(schema {newest + 1})" in data(*CHECK)[0]["what"]


def test_copy_prints_the_digest_that_check_prints(path: Path, tmp_path: Path) -> None:
    copied = shown("storage", "copy", f"sqlite:///{path}", f"sqlite:///{tmp_path}/copy.db")
    assert "Serve only one of them" in copied
    assert digest_of() in copied
    assert digest_of("--storage", f"sqlite:///{tmp_path}/copy.db") == digest_of()


def test_urls_that_cannot_be_used_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.chdir(path.parent)
    rows: list[tuple[list[str], int, str]] = [
        ([*CHECK, "--storage", "memory://"], 1, "cannot be checked or copied"),
        (["storage", "migrate", "--storage", "mysql://x"], 2, "There is no storage for mysql:// URLs"),
        ([*CHECK, "--storage", "sqlite:///none.db"], 1, "There is no storage"),
        (["storage", "copy", "sqlite:///none.db", "sqlite:///new.db"], 2, "There is no storage"),
        (["storage", "copy", "memory://", "sqlite:///new.db"], 2, "cannot be checked or copied"),
        (["storage", "copy", "sqlite:///linqbot.db", "sqlite:///./linqbot.db"], 2, "the same storage"),
    ]
    for arguments, exit_code, says in rows:
        with subtests.test(arguments=arguments):
            assert says in " ".join(shown(*arguments, code=exit_code).split())
            assert not (path.parent / "new.db").exists()
