from __future__ import annotations

from pathlib import Path

import pytest

from linqbot.errors import ConfigError
from linqbot.storage.memory import MemoryStorage
from linqbot.storage.open import open_storage
from linqbot.storage.sqlite.storage import SQLiteStorage


def test_sqlite_url_with_three_slashes_is_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage("sqlite:///linqbot.db")
    assert isinstance(storage, SQLiteStorage)
    assert storage._path == tmp_path / "linqbot.db"


def test_sqlite_url_with_four_slashes_is_absolute(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/linqbot.db", serving=False)
    assert isinstance(storage, SQLiteStorage)
    assert storage._path == tmp_path / "linqbot.db"


def test_memory_url() -> None:
    assert isinstance(open_storage("memory://"), MemoryStorage)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "sqlite:///linqbot.db"),
        ("linqbot.db", "sqlite:///linqbot.db"),
        ("/var/lib/bot.db", "sqlite:////var/lib/bot.db"),
        ("sqlite://bot.db", "sqlite:///bot.db"),
        ("sqlite:bot.db", "sqlite:///bot.db"),
        ("sqlite:///", "sqlite:///linqbot.db"),
        ("SQLite:////var/lib/bot.db", "sqlite:////var/lib/bot.db"),
        ("sqlite3:///bot.db", "sqlite:///bot.db"),
        ("sqlite:///bot.db?mode=ro", "sqlite:///bot.db,"),
        ("sqlite:///:memory:", "memory://"),
        ("memory:", "memory://"),
        ("redis://localhost", "no storage for redis://"),
    ],
)
def test_a_wrong_url_is_answered_with_the_nearest_right_one(url: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(url)
    assert advice in str(caught.value)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage("mysql://bot:hunter2@db.example/linq")
    assert "hunter2" not in str(caught.value)
