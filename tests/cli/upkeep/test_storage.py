"""`linqbot storage` as a command: what it prints, its exit codes, and the URLs that it refuses."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes import delivery, text_body

from linqbot.cli.main import main
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "linqbot.db"
    monkeypatch.setenv("LINQBOT_STORAGE", f"sqlite:///{path}")

    async def fill() -> None:
        async with SQLiteStorage(path) as storage:
            await storage.put(delivery(text_body()))

    asyncio.run(fill())
    return path


def run(*arguments: str) -> Result:
    words = ["check", "--only", "rows", *arguments[1:]] if arguments[0] == "check" else ["storage", *arguments]
    return CliRunner().invoke(main, words)


def found(*more: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(run("check", "--json", *more).stdout)
    return rows


def digest_of(*more: str) -> str:
    return found(*more)[-1]["what"].rpartition(" ")[2].rstrip(".")


def test_check_counts_the_rows_and_ends_with_0(path: Path) -> None:
    result = run("check")
    assert result.exit_code == 0, result.output
    (finding,) = found()
    assert (finding["check"], finding["status"]) == ("rows", "ok")
    assert f"(schema {file.newest_schema()}) holds 3 meta, 1 delivery, 2 seen" in finding["what"]


def test_check_names_problems_and_ends_with_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM body")
    result = run("check")
    assert result.exit_code == 1
    first = found()[0]
    assert (first["status"], first["code"]) == ("failure", "LQB6093")
    assert first["what"].endswith("1 waiting deliveries have no body.")


def test_migrate_says_what_it_did(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = file.newest_schema()
    assert run("migrate").stdout == f"{path} has schema {newest}, the newest. Nothing was changed.\n"
    created = run("migrate", "--storage", f"sqlite:///{tmp_path}/new.db").stdout
    assert created.endswith(f"new.db: created with schema {newest}.\n")
    of_next_release = {**file.schemas(), newest + 1: "CREATE TABLE added (n INTEGER PRIMARY KEY);"}
    monkeypatch.setattr(file, "schemas", lambda: of_next_release)
    assert run("check").exit_code == 1
    assert run("migrate").stdout == f"{path}: brought from schema {newest} to {newest + 1}.\n"
    assert f"(schema {newest + 1})" in found()[0]["what"]


def test_copy_prints_the_digest_that_check_prints(path: Path, tmp_path: Path) -> None:
    copied = run("copy", f"sqlite:///{path}", f"sqlite:///{tmp_path}/copy.db")
    assert copied.exit_code == 0, copied.output
    assert "Serve only one of them" in copied.stdout
    assert digest_of() in copied.stdout
    assert digest_of("--storage", f"sqlite:///{tmp_path}/copy.db") == digest_of()


def test_urls_that_cannot_be_used_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.chdir(path.parent)
    rows: list[tuple[list[str], int, str]] = [
        (["check", "--storage", "memory://"], 1, "cannot be checked or copied"),
        (["migrate", "--storage", "mysql://x"], 2, "There is no storage for mysql:// URLs"),
        (["check", "--storage", "sqlite:///none.db"], 1, "There is no storage"),
        (["copy", "sqlite:///none.db", "sqlite:///new.db"], 1, "There is no storage"),
        (["copy", "memory://", "sqlite:///new.db"], 2, "cannot be checked or copied"),
        (["copy", "sqlite:///linqbot.db", "sqlite:///./linqbot.db"], 2, "the same storage"),
    ]
    for arguments, exit_code, says in rows:
        with subtests.test(arguments=arguments):
            result = run(*arguments)
            assert (result.exit_code, says in " ".join(result.output.split())) == (exit_code, True), result.output
            assert not (path.parent / "new.db").exists()
