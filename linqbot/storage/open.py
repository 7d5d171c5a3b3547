"""A storage from its URL, as in LINQBOT_STORAGE: `sqlite:///path` or `memory://`."""

from __future__ import annotations

from linqbot.clock import Clock
from linqbot.errors import ConfigError
from linqbot.storage.backend import Storage
from linqbot.storage.memory import MemoryStorage
from linqbot.storage.sqlite import SQLiteStorage

_SQLITE = "sqlite:///"


def open_storage(url: str, *, clock: Clock | None = None, serving: bool = True, keep_days: float = 0) -> Storage:
    """The storage a URL names. Nothing is opened yet: use it as `async with open_storage(url) as storage:`.

    Args:
        url: `sqlite:///linqbot.db` (in the working folder), `sqlite:////var/lib/bot/linqbot.db` (absolute, four
            slashes), or `memory://` (gone with the process).
        serving: False for a command beside the serving process; see `SQLiteStorage`.
        keep_days: How long history is kept; see `SQLiteStorage`.
    Raises:
        ConfigError: not a URL of a storage we have; the message shows the nearest right form, and of the URL only
            its scheme, because a URL may hold a password.
    """
    if url == "memory://":
        return MemoryStorage(clock=clock, keep_days=keep_days)
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        if path and path != ":memory:" and "?" not in path:
            return SQLiteStorage(path, clock=clock, serving=serving, keep_days=keep_days)
    raise ConfigError(_advice(url))


def _advice(url: str) -> str:
    scheme, colon, rest = url.strip().partition(":")
    scheme = scheme.lower()
    if not url.strip():
        return "The storage URL is empty. Write sqlite:///linqbot.db"
    if scheme == "memory" or ":memory:" in rest:
        return "A storage in memory is written memory://"
    if scheme in {"sqlite", "sqlite3", "file"}:
        path = rest.partition("?")[0].lstrip("/")
        slashes = "////" if rest.startswith("////") else "///"
        return f"A storage in a file is written sqlite:{slashes}{path or 'linqbot.db'}, with no options behind it."
    if not colon or "://" not in url:
        return f"The storage is a URL, not a path. Write sqlite:///{url.strip()}"
    return f"There is no storage for {scheme}:// URLs. There are sqlite:///linqbot.db and memory://"
