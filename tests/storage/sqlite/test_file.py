"""Opening the file: the serving lock, commands that run next to the server, schema numbers, files of other programs."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from forked_code import forked
from patience import PATIENCE_S
from sqlite_connections import largest_file, writing
from storage.conftest import delivery, entry, handle_all, leased, open_and_close, taken

from linqbot.errors import ConfigError, StorageError, StorageUnavailable
from linqbot.storage import timers
from linqbot.storage.backend import NewerSchema
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.sqlite.transaction import SQLiteReader
from linqbot.storage.sqlite.upkeep import check_up


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def execute(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql).fetchall()


async def refusal(path: Path) -> Exception:
    with pytest.raises((ConfigError, StorageError)) as caught:
        await SQLiteStorage(path).__aenter__()
    return caught.value


async def test_the_scheduled_sends_of_a_chat_are_found_by_an_index(path: Path) -> None:
    await open_and_close(SQLiteStorage(path))
    asked: list[str] = []
    with closing(sqlite3.connect(path)) as db:
        db.set_trace_callback(asked.append)
        await timers.scheduled(SQLiteReader(db), "c:1", 10)
        await timers.recurring(SQLiteReader(db), "repeat", "c:1")
        db.set_trace_callback(None)
        plans = [[row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in asked]
    assert len(plans) == 2
    for plan in plans:
        assert "SEARCH timer USING INDEX timer_by_lane (lane=?" in plan[0], plan


async def test_a_second_server_is_refused_with_the_process_that_serves(path: Path) -> None:
    async with SQLiteStorage(path):
        error = await refusal(path)
        assert isinstance(error, ConfigError)
        assert f"process {os.getpid()}" in str(error)
    await open_and_close(SQLiteStorage(path))


async def test_another_name_of_the_file_uses_the_same_lock(path: Path, tmp_path: Path) -> None:
    async with SQLiteStorage(path):
        (tmp_path / "alias.db").symlink_to(path)
        assert isinstance(await refusal(tmp_path / "alias.db"), ConfigError)


@pytest.mark.process
def test_the_lock_of_a_killed_server_is_free(path: Path) -> None:
    serve = (
        "import asyncio, sys\n"
        "from linqbot.storage.sqlite.storage import SQLiteStorage\n"
        "async def main():\n"
        "    async with SQLiteStorage(sys.argv[1]):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    child, said = forked(serve, path)
    with said:
        said.readline()
    assert f"process {child.pid}" in str(asyncio.run(refusal(path)))
    child.kill()
    child.join()
    asyncio.run(open_and_close(SQLiteStorage(path)))


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_the_lock_is_free_after_its_release_while_a_forked_child_lives(path: Path) -> None:
    serve = (
        "import asyncio, os, signal, sys\n"
        "from linqbot.storage.sqlite.storage import SQLiteStorage\n"
        "async def serve():\n"
        "    async with SQLiteStorage(sys.argv[1]):\n"
        "        return os.fork() or signal.pause()\n"
        "async def serve_again():\n"
        "    async with SQLiteStorage(sys.argv[1]): ...\n"
        "child = asyncio.run(serve())\n"
        "try: asyncio.run(serve_again())\n"
        "finally: os.kill(child, signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", serve, str(path)], check=True, timeout=PATIENCE_S)


async def test_a_command_stores_a_delivery_and_wakes_the_server(path: Path) -> None:
    async with SQLiteStorage(path) as server:
        await server.put(delivery("c:1", name="w.1"))
        await server.changed()
        async with SQLiteStorage(path, serving=False) as command:
            assert command.install == server.install
            assert await command.put(delivery("c:1", name="w.1")) is False
            assert await command.put(delivery("c:1", name="w.2")) is True
            await command.begin(entry("w.2"))
        await asyncio.wait_for(server.changed(), PATIENCE_S)
        assert await handle_all(server) == ["w.1", "w.2"]
        assert await server.entries("w.2") == [entry("w.2")]


@pytest.mark.process
async def test_a_command_leaves_the_wal_of_a_server_that_has_opened_the_file_twice(path: Path) -> None:
    """Closing any descriptor of the file ends the locks of the whole process, and a command that is alone deletes `-wal`."""
    async with SQLiteStorage(path) as server, SQLiteStorage(path, serving=False):  # the second is the operator's page
        await server.put(delivery("c:1"))
        read = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM seen').fetchall(); db.close()"
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", read, str(path)], check=True)
        assert path.with_name(f"{path.name}-wal").exists()
        await server.put(delivery("c:2"))


async def test_the_event_loop_is_not_blocked_while_a_command_writes(path: Path) -> None:
    async with SQLiteStorage(path) as server:
        with writing(path):
            putting = asyncio.ensure_future(server.put(delivery()))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not putting.done()
        assert await asyncio.wait_for(putting, PATIENCE_S) is True


async def test_a_file_that_is_locked_is_called_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT_MS", 1)
    await open_and_close(SQLiteStorage(path))
    with writing(path):
        error = await refusal(path)
    assert str(error) == f"Another process keeps {path} locked. Try again when it has finished."
    await open_and_close(SQLiteStorage(path))


async def test_a_command_that_reads_opens_the_file_during_a_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT_MS", 1)
    async with SQLiteStorage(path) as server:
        await server.put(delivery(name="w.1"))
        with writing(path):
            async with SQLiteStorage(path, serving=False) as command:
                assert [each.id for each in await command.waiting()] == ["w.1"]


async def test_a_command_that_writes_too_long_blocks_the_storage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.writer.BUSY_TIMEOUT_MS", 1)
    async with SQLiteStorage(path) as server:
        with writing(path), pytest.raises(StorageUnavailable, match="locked"):
            await server.put(delivery())
        assert await server.put(delivery()) is True


async def test_leases_stay_in_force_while_a_command_writes(path: Path) -> None:
    async with SQLiteStorage(path) as server, SQLiteStorage(path, serving=False) as command:
        lease = await leased(server, delivery("c:1", name="w.1"), limit=10)
        await command.put(delivery("c:1", name="w.2"))
        await server.put(delivery("c:1", name="w.3"))
        await command.put(delivery("c:1", name="w.4"))
        assert await server.take(10, lease_s=60) == []
        await server.finish(lease, Commit(Ack()))
        assert await handle_all(server) == ["w.2", "w.3", "w.4"]
        assert await command.depth() == 0


async def test_a_storage_that_is_not_open_raises_an_error(path: Path) -> None:
    storage = SQLiteStorage(path)
    with pytest.raises(StorageUnavailable, match="async with"):
        await storage.put(delivery())
    with pytest.raises(StorageUnavailable, match="async with"):
        await storage.load("bot")
    with pytest.raises(StorageUnavailable, match="async with"):
        await storage.retry(["w.1"])


async def test_a_file_with_a_second_name_is_refused(path: Path) -> None:
    second = path.with_name("second.db")
    async with SQLiteStorage(path):
        second.hardlink_to(path)
        for other in (SQLiteStorage(second), SQLiteStorage(second, serving=False)):
            with pytest.raises(ConfigError, match="has a second name, a hard link"):
                await other.__aenter__()
    assert names_in(path.parent) == {"bot.db", "bot.db.lock", "second.db"}
    assert "Remove the other name" in str(await refusal(path))
    second.unlink()
    await open_and_close(SQLiteStorage(path))


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await open_and_close(SQLiteStorage(path))
    execute(path, "PRAGMA user_version = 999")
    error = await refusal(path)
    assert type(error) is NewerSchema
    assert "schema 999" in str(error)
    assert "Upgrade linqbot" in str(error)


@pytest.fixture
def with_next_schema(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`with_next_schema(sql)` adds a schema, so that files are opened as the next release would open them."""
    have = file.schemas()

    def release(sql: str) -> None:
        monkeypatch.setattr(file, "schemas", lambda: {**have, max(have) + 1: sql})

    return release


def tables(path: Path) -> set[str]:
    return {name for (name,) in execute(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}


async def test_a_file_of_an_older_release_is_migrated_whole(
    path: Path, with_next_schema: Callable[[str], None]
) -> None:
    async with SQLiteStorage(path) as storage:
        await storage.put(delivery(name="w.1"))
        install = storage.install
    with_next_schema("CREATE TABLE added (a);\nALTER TABLE delivery ADD COLUMN b;\n")
    for _ in range(2):
        async with SQLiteStorage(path) as storage:
            assert (await taken(storage), storage.install) == (["w.1"], install)
    assert "added" in tables(path)


async def test_a_schema_that_fails_leaves_the_file_as_it_was(
    path: Path, with_next_schema: Callable[[str], None]
) -> None:
    await open_and_close(SQLiteStorage(path))
    before = tables(path)
    with_next_schema("CREATE TABLE added (a);\nALTER TABLE missing ADD COLUMN b;\n")
    assert isinstance(await refusal(path), StorageUnavailable)
    assert tables(path) == before
    with_next_schema("CREATE TABLE added (a);\n")
    await open_and_close(SQLiteStorage(path))
    assert tables(path) == before | {"added"}


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 100)
    assert "not an SQLite file" in str(asyncio.run(refusal(path)))
    assert path.read_bytes() == b"Dear diary, " * 100


async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    execute(path, "CREATE TABLE songs (title)")
    assert "another program" in str(await refusal(path))
    assert execute(path, "SELECT name FROM sqlite_master") == [("songs",)]


async def test_a_missing_folder_is_named_and_a_folder_is_no_file(tmp_path: Path) -> None:
    error = await refusal(tmp_path / "missing" / "bot.db")
    assert isinstance(error, ConfigError)
    assert str(tmp_path / "missing" / "bot.db") in str(error)
    assert "is a folder" in str(await refusal(tmp_path))


async def test_only_the_owner_can_read_the_file(path: Path) -> None:
    async with SQLiteStorage(path) as storage:
        await storage.put(delivery())
        for name in ("bot.db", "bot.db-wal", "bot.db-shm", "bot.db.lock"):
            assert (path.parent / name).stat().st_mode & 0o077 == 0


def test_processes_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"{number}.db"
        start = threading.Barrier(8)

        def open_it(path: Path = path, start: threading.Barrier = start) -> str:
            start.wait()
            file.prepare(path)
            db = file.connect(path)
            try:
                return str(db.execute("PRAGMA journal_mode").fetchone()[0])
            finally:
                db.close()

        with ThreadPoolExecutor(8) as pool:
            assert {done.result() for done in [pool.submit(open_it) for _ in range(8)]} == {"wal"}


def test_a_command_creates_no_file_in_the_place_of_one_that_is_moved_away_meanwhile(path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no storage file"):
        file.prepare(path, create=False)
    file.prepare(path)
    path.rename(path.with_suffix(".moved"))
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        file.connect(path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["a?mode=ro.db", "100%.db", "#1.db", "my bot.db", "caf\u00e9.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    await open_and_close(SQLiteStorage(tmp_path / name))
    assert name in names_in(tmp_path)


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a folder in which even root cannot create a file")
async def test_a_folder_that_may_not_be_written_is_named_with_what_to_do() -> None:
    says = r"Let this user write to the file and to its folder /sys, or set LINQBOT_STORAGE to a file elsewhere\.$"
    with pytest.raises(ConfigError, match=says):
        await open_and_close(SQLiteStorage("/sys/linqbot.db"))


@pytest.mark.skipif(sys.platform == "win32", reason="there no process can limit the size of its files")
async def test_a_new_file_without_room_next_to_it_is_refused_and_opened_once_there_is_room(path: Path) -> None:
    with largest_file(10_000):
        error = await refusal(path)
    assert str(error) == f"The storage file {path} cannot be opened: disk I/O error."
    await open_and_close(SQLiteStorage(path))


async def test_a_damaged_file_is_called_damaged(path: Path) -> None:
    async with SQLiteStorage(path) as storage:
        for n in range(200):
            await storage.put(delivery(str(n)))
    with path.open("r+b") as damaged:
        damaged.seek(3 * 4096)
        damaged.write(b"\xff" * 20 * 4096)
    with pytest.raises(StorageUnavailable, match=r"is damaged: .*\. Restore a backup, as docs/storage\.md says\."):
        await open_and_close(SQLiteStorage(path))
    with pytest.raises(StorageUnavailable, match="is damaged"):
        check_up(path)


def set_mode(file: Path, mode: int) -> None:
    file.chmod(mode)


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="Its files have no modes.")
async def test_a_file_that_every_user_may_read_is_its_owners_alone_once_it_is_served(path: Path) -> None:
    await open_and_close(SQLiteStorage(path))
    wal = path.with_name(f"{path.name}-wal")
    for before, after in ((0o644, 0o600), (0o666, 0o600), (0o640, 0o640), (0o660, 0o660), (0o600, 0o600)):
        set_mode(path, before)
        async with SQLiteStorage(path, serving=False):
            assert mode_of(path) == before  # a command changes no rights
        with structlog.testing.capture_logs() as logs:
            async with SQLiteStorage(path):
                assert mode_of(path) == after
                assert mode_of(wal) == after
        lines = [(line["file"], line["mode"], line["now"]) for line in logs if line["event"] == "storage.tightened"]
        assert lines == ([] if before == after else [(path.name, f"{before:04o}", "0600")])


@pytest.mark.skipif(sys.platform == "win32", reason="Its files have no modes.")
async def test_a_file_of_another_user_is_served_although_its_mode_cannot_be_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_and_close(SQLiteStorage(path))
    set_mode(path, 0o644)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with structlog.testing.capture_logs() as logs:
        await open_and_close(SQLiteStorage(path))
    (line,) = [line for line in logs if line["event"] == "storage.readable"]
    assert (line["file"], line["error"]) == (path.name, "Operation not permitted")
