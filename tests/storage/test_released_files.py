"""The storage file of each release is opened by this linqbot, has its rows, and is served: nothing in it is lost."""

from __future__ import annotations

import gzip
import re
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes import NOW, PERSON, delivery, text_body
from patience import until
from released_storage import CHATS, FRIEND, Guest, door, served, write
from storages import BACKENDS

from linqbot.clock import MovableClock
from linqbot.ops.stored_contents import check, migrate
from linqbot.storage.contents import TABLES
from linqbot.storage.upkeep import Selection

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "data" / "storage").glob("*.db.gz"))
MAKE = "Run: uv run --all-packages python tests/support/released_storage.py tests/data/storage/VERSION.db.gz"


@pytest.fixture
def opened() -> Iterator[None]:
    """Let the handlers succeed that failed while the file was written."""
    door.is_open = True
    yield
    door.is_open = False


def unpacked(file: Path, folder: Path) -> Path:
    path = folder / file.name.removesuffix(".gz")
    path.write_bytes(gzip.decompress(file.read_bytes()))
    path.chmod(0o600)
    return path


def counts(path: Path) -> dict[str, int]:
    """Return the number of rows of each table, as they are in the file."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def test_each_release_has_its_file() -> None:
    dated = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {file.name.removesuffix(".db.gz") for file in FILES} == {version, *dated}, MAKE
    assert sum(file.stat().st_size for file in FILES) < 100_000


async def test_a_file_that_is_written_now_has_rows_in_every_table(tmp_path: Path) -> None:
    await write(tmp_path / "bot.db")
    empty = [table for table, rows in counts(tmp_path / "bot.db").items() if not rows]
    assert not empty, "Let the bot of tests/support/released_storage.py store something in these."


async def test_every_column_of_a_file_is_copied(tmp_path: Path) -> None:
    await migrate(f"sqlite:///{tmp_path}/bot.db", BACKENDS)
    with closing(sqlite3.connect(tmp_path / "bot.db")) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")} for table in tables}
    columns["delivery"] |= columns.pop("body")
    del columns["named"]  # a copy makes it of the rows that it finds
    # In a copy, a message key is a row of its own.
    columns["seen"] ^= {"delivery_id", "message_key"}
    own = {"n", "seq", "padding"}
    missing = {f"{table}.{name}" for table, names in columns.items() for name in names - own - {*TABLES.get(table, ())}}
    assert not missing, "Name these in TABLES of storage/contents.py: else they are in no copy."


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
async def test_the_file_of_a_release_is_migrated_with_all_rows_and_served(file: Path, tmp_path: Path) -> None:
    path = unpacked(file, tmp_path)
    before = counts(path)
    assert min(before.values()) > 0
    url = f"sqlite:///{path}"
    assert (await migrate(url, BACKENDS)).have > 0
    after = counts(path)
    before["hold"] = before.pop("mute")  # since schema 4
    assert {table: after[table] for table in before} == before
    assert (await check(url, BACKENDS)).problems == ()

    async with served(path, MovableClock(NOW + 60, frozen=True)) as (storage, linq):
        (dead,) = await storage.dead_letters()
        await storage.retry([dead.delivery.id])
        await storage.put(delivery(text_body("Dana", chat=CHATS["book"])))

        async def is_handled() -> bool:
            return not await storage.waiting() and len(linq.said) == 5

        await until(is_handled)
        said = ["Better now.", "Booked, Dana: K-1, visit 1.", "Come in.", "It is time.", "July is out."]
        assert sorted(linq.said) == said
        outcomes = {each.handle: each.outcome for each in await storage.recipients("july")}
        assert outcomes == {PERSON: "sent", FRIEND: "sent"}
        assert await storage.load(f"person:{PERSON}") == {"Guest": Guest(visits=1).model_dump_json().encode()}
        assert await storage.conversations() == []
        assert await storage.scheduled() == []
        for kept in await storage.replayable(Selection()):
            assert await storage.has_seen(kept), "a second copy would be handled again"
