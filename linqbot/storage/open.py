"""Create a storage from its URL, as in LINQBOT_STORAGE: `sqlite:///path`, `postgresql://…`, `memory://`, or a plugin's.

The built-in storages use the same hook as those of plugins (`hookspecs.register_storage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from linqbot.clock import Clock
from linqbot.errors import ConfigError, StorageMisplaced
from linqbot.hookspecs import hookimpl
from linqbot.storage.backend import Opener, Storage

_SQLITE = "sqlite:///"


def open_storage(
    url: str,
    *,
    clock: Clock | None = None,
    serving: bool = True,
    keep_days: float = 0,
    openers: Mapping[str, Opener] | None = None,
) -> Storage:
    """Create the storage for a URL, without opening it: use it as `async with open_storage(url) as storage:`.

    Options are those of `SQLiteStorage`. Without `openers`, the opener of each scheme, the built-in ones count.

    Args:
        url: `sqlite:///linqbot.db` (in the working folder), `sqlite:////var/lib/bot/linqbot.db` (absolute, four
            slashes), `postgresql://user@host/database` (see `PostgresStorage`), or `memory://` (lost when the process
            ends).
    Raises:
        ConfigError: no storage has such a URL. Of it the message shows only the scheme, because it may contain a
            password.
    """
    openers = register_storage() if openers is None else openers
    opener = openers.get(scheme(url))
    if opener is None:
        raise StorageMisplaced(_advice(url, openers))
    return opener(url, clock=clock, serving=serving, keep_days=keep_days)


def scheme(url: str) -> str:
    """Return the part before `://`; empty if there is none. `postgres`, as providers of databases write it, is `postgresql`."""
    name, separator, _ = url.partition("://")
    return "" if not separator else "postgresql" if name == "postgres" else name


def path_of(url: str) -> Path | None:
    """Return the file of a storage URL; None if the URL is not one of a file."""
    return Path(url.removeprefix(_SQLITE)).resolve() if url.startswith(_SQLITE) else None


@hookimpl
def register_storage() -> dict[str, Opener]:
    return {"memory": _memory, "postgresql": _postgres, "sqlite": _sqlite}


def _memory(url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
    if url != "memory://":
        raise StorageMisplaced(_advice(url, register_storage()))
    from linqbot.storage.sqlite.memory import MemoryStorage

    return MemoryStorage(clock=clock, keep_days=keep_days)


def _sqlite(url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
    path = url.removeprefix(_SQLITE)
    if path == url or not path or path == ":memory:" or "?" in path:
        raise StorageMisplaced(_advice(url, register_storage()))
    from linqbot.storage.sqlite.storage import SQLiteStorage

    return SQLiteStorage(path, clock=clock, serving=serving, keep_days=keep_days)


def _postgres(url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
    try:
        from linqbot.storage.postgres.storage import PostgresStorage
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        from linqbot.installing import extra_command

        raise ConfigError(
            f"A storage in PostgreSQL needs asyncpg, which is not installed. Install it: {extra_command('postgres')}"
        ) from error
    return PostgresStorage(url, clock=clock, serving=serving, keep_days=keep_days)


def _advice(url: str, openers: Mapping[str, Opener]) -> str:
    wanted = scheme(url)
    unknown = f"There is no storage for {wanted}:// URLs. " if wanted and wanted not in openers else ""
    others = [f"{name}://" for name in sorted(openers.keys() - {"memory", "postgresql", "sqlite"})]
    forms = [
        "sqlite:///linqbot.db (with four slashes for an absolute path, and no options)",
        "postgresql://USER@HOST/DATABASE",
        "memory://",
        *others,
    ]
    return f"{unknown}A storage URL is written {', '.join(forms[:-1])} or {forms[-1]}."
