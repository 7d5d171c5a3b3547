"""Create a storage from its URL, as in LINQBOT_STORAGE: `sqlite:///path`, `memory://`, or one of a plugin, such as `postgresql://…`.

The built-in storages use the same hook as those of plugins (`hookspecs.register_storage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from linqbot.clock import Clock
from linqbot.errors import ConfigError, StorageMisplaced
from linqbot.hook_markers import hookimpl
from linqbot.storage.backend import Storage, StorageBackend

if TYPE_CHECKING:
    from linqbot.storage.contents import Contents, Role  # only commands read a storage as a whole

_SQLITE = "sqlite:///"
_OF_PACKAGES: Final = {"postgresql": ("linqbot-postgres", "postgres", "postgresql://USER@HOST/DATABASE")}
"""The package of linqbot's own that brings the storages of a scheme, the name of its plugin, and the form of its URLs."""


def open_storage(
    url: str,
    *,
    clock: Clock | None = None,
    serving: bool = True,
    keep_days: float = 0,
    backends: Mapping[str, StorageBackend] | None = None,
) -> Storage:
    """Create the storage for a URL, without opening it: use it as `async with open_storage(url) as storage:`.

    Options are those of `SQLiteStorage`.

    Args:
        url: `sqlite:///linqbot.db` (in the working folder), `sqlite:////var/lib/bot/linqbot.db` (absolute, four
            slashes), `memory://` (lost when the process ends), or a URL of a plugin's storage.
        backends: The backend of each scheme; None means the built-in ones.
    Raises:
        ConfigError: no storage has such a URL. Of it the message shows only the scheme, because it may contain a
            password.
    """
    return backend_of(url, backends).open(url, clock=clock, serving=serving, keep_days=keep_days)


def backend_of(url: str, backends: Mapping[str, StorageBackend] | None = None) -> StorageBackend:
    """Return the backend of a URL's scheme. Raises as `open_storage` does."""
    backends = register_storage() if backends is None else backends
    wanted = scheme(url)
    if wanted in backends:
        return backends[wanted]
    if wanted not in _OF_PACKAGES:
        raise StorageMisplaced(_advice(url, backends))
    from linqbot.installing import plugin_advice

    package, plugin, _ = _OF_PACKAGES[wanted]
    raise ConfigError(
        f"A storage of {wanted}:// needs the package {package}, which is not installed, or LINQBOT_PLUGINS leaves its plugin "
        f"{plugin} out. {plugin_advice(package)}"
    )


def scheme(url: str) -> str:
    """Return the part before `://`; empty if there is none. `postgres`, as providers of databases write it, is `postgresql`."""
    name, separator, _ = url.partition("://")
    return "" if not separator else "postgresql" if name == "postgres" else name


def path_of(url: str) -> Path | None:
    """Return the file of a storage URL; None if the URL is not one of a file."""
    return Path(url.removeprefix(_SQLITE)).resolve() if url.startswith(_SQLITE) else None


class _MemoryBackend(StorageBackend):
    form = "memory://"

    def open(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
        if url != "memory://":
            raise StorageMisplaced(_advice(url, register_storage()))
        from linqbot.storage.sqlite.memory import MemoryStorage

        return MemoryStorage(clock=clock, keep_days=keep_days)


class _SQLiteBackend(StorageBackend):
    form = "sqlite:///linqbot.db (with four slashes for an absolute path, and no options)"

    def open(self, url: str, /, *, clock: Clock | None, serving: bool, keep_days: float) -> Storage:
        from linqbot.storage.sqlite.storage import SQLiteStorage

        return SQLiteStorage(_written_path(url), clock=clock, serving=serving, keep_days=keep_days)

    def contents(self, url: str, role: Role = "check") -> Contents:
        from linqbot.storage.sqlite.upkeep import SQLiteContents

        return SQLiteContents(Path(_written_path(url)).resolve(), role)


@hookimpl
def register_storage() -> dict[str, StorageBackend]:
    return {"memory": _MemoryBackend(), "sqlite": _SQLiteBackend()}


def _written_path(url: str) -> str:
    path = url.removeprefix(_SQLITE)
    if path == url or not path or path == ":memory:" or "?" in path:
        raise StorageMisplaced(_advice(url, register_storage()))
    return path


def _advice(url: str, backends: Mapping[str, StorageBackend]) -> str:
    wanted = scheme(url)
    unknown = f"There is no storage for {wanted}:// URLs. " if wanted and wanted not in backends else ""
    forms = {name: form for name, (_, _, form) in _OF_PACKAGES.items()}
    forms |= {name: backend.form for name, backend in backends.items()}
    *most, last = (forms[name] for name in sorted(forms, key=lambda name: (name != "sqlite", name == "memory", name)))
    return f"{unknown}A storage URL is written {', '.join(most)} or {last}."
