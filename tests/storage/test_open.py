from __future__ import annotations

from pathlib import Path

import pytest
from linqbot_postgres.storage import PostgresStorage
from storage.conftest import entry
from storages import BACKENDS

from linqbot.errors import ConfigError, StorageError
from linqbot.events import Delivery
from linqbot.storage.open import open_storage, scheme
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage


async def test_an_sqlite_url_with_three_slashes_is_in_the_working_folder_and_one_with_four_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for url, folder in (
        ("sqlite:///linqbot.db", tmp_path / "elsewhere"),
        (f"sqlite:///{tmp_path}/linqbot.db", tmp_path),
    ):
        async with open_storage(url) as storage:
            assert isinstance(storage, SQLiteStorage)
            assert (folder / "linqbot.db").is_file()
            async with open_storage(url, serving=False) as command:
                assert await command.depth() == 0


async def test_a_storage_in_memory_keeps_its_content_as_long_as_it_exists_and_shares_it_with_no_other() -> None:
    delivery = Delivery("w.1", "c:1", "message.received", b"{}", 1_800_000_000.0, "m.1", None)
    storage = open_storage("memory://")
    assert isinstance(storage, MemoryStorage)
    async with storage, open_storage("memory://") as other:
        assert storage.install != other.install
        assert await storage.put(delivery)
        assert (await storage.depth(), await other.depth()) == (1, 0)
    # Readable while it is closed, for a test that looks at what the bot has left.
    assert [one.id for one in await storage.waiting()] == ["w.1"]
    async with storage:
        (lease,) = await storage.take(10, lease_s=60)
        assert (lease.delivery, lease.crashes) == (delivery, 0)
        await storage.begin(entry("w.1", key="lb.same"))
        with pytest.raises(StorageError):
            await storage.begin(entry("w.2", key="lb.same"))
        assert (storage.trouble, await storage.entries("w.2")) == (None, [])


def test_a_wrong_url_is_answered_with_the_right_ones_and_without_its_password(subtests: pytest.Subtests) -> None:
    written = "written sqlite:///linqbot.db"
    rows: list[tuple[str, str]] = [
        ("", written),
        ("/var/lib/bot.db", written),
        ("sqlite://bot.db", written),
        ("sqlite:///", written),
        ("sqlite:///bot.db?mode=ro", written),
        ("sqlite:///:memory:", written),
        ("memory://x", written),
        ("postgresql://bot@db.example/linq?schema=My Bot", "schema"),
        ("postgresql://bot@db.example:port/linq", "cannot be read. Write postgresql://USER@HOST/DATABASE"),
        ("postgresql://bot@db.example,other:port/linq", "cannot be read"),
        ("postgresql://bot:p@hunter2/w#rd@db.example/linq", "write % as %25, @ as %40"),
        ("postgresql://bot:p@hunter2/part@db.example/linq", "write % as %25, @ as %40"),
        ("postgresql://db.example/linq?schema=information_schema", "linqbot's own"),
        *((f"postgresql://db.example/linq?connections={n}", "number from 3 to 100") for n in ("2", "many", "101", "")),
        ("redis://localhost", "no storage for redis://"),
        ("mysql://bot:hunter2@db.example/linq", "no storage for mysql://"),
        ("postgresql://bot:hunter2@db.example/linq?schema=A", "schema"),
    ]
    for url, advice in rows:
        with subtests.test(url=url):
            with pytest.raises(ConfigError) as caught:
                open_storage(url, backends=BACKENDS)
            assert advice in str(caught.value)
            assert "hunter2" not in str(caught.value)


def test_a_url_as_providers_of_databases_write_it_names_the_same_storage() -> None:
    assert isinstance(open_storage("postgres://bot@db.example/linq", backends=BACKENDS), PostgresStorage)
    assert scheme("postgres://bot@db.example/linq") == scheme("postgresql://bot@db.example/linq")


def test_without_its_package_a_storage_in_postgresql_says_how_to_install_it() -> None:
    with pytest.raises(ConfigError, match=r"needs the package linqbot-postgres.*Install it: .*linqbot-postgres"):
        open_storage("postgresql://bot:hunter2@db.example/linq")
