"""The storage of commands that work next to a running server: the option that names it, and opening it.

Without the option, a command finds the storage of `linqbot dev` that was started in the same folder. With the emulator
it is in a temporary folder, which is deleted when `linqbot dev` ends; the name of this folder holds a digest of the
working directory. With `--public-url` it is `.linqbot/dev.db`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from linqbot.errors import ConfigError
from linqbot.settings import from_env
from linqbot.storage.backend import Storage
from linqbot.storage.open import path_of
from linqbot.storage.sqlite.serving_lock import ServingLock


@asynccontextmanager
async def open_configured_storage(url: str | None) -> AsyncIterator[Storage]:
    """Open the storage that the settings name. Another process may be serving it.

    Args:
        url: The value of `--storage`; None leaves the setting as it is.
    """
    settings = from_env(storage=url)
    if settings.storage.startswith("memory:"):
        raise ConfigError(
            "A storage in memory ends with its process, so there is nothing to look at. "
            "Name the one that is served: LINQBOT_STORAGE or --storage, such as sqlite:///linqbot.db"
        )
    path = path_of(settings.storage)
    if url is None and path is not None and not path.exists() and (said := hint()):
        raise ConfigError(f"There is no storage file {path}. {said}")
    async with settings.open_storage(serving=False) as storage:
        yield storage


FILE: Final = "dev.db"
KEPT: Final = Path(".linqbot") / FILE
"""The file with `--public-url`."""


def folder_prefix() -> str:
    """Return the beginning of the temporary folder's name, for a `linqbot dev` that is started in this directory."""
    digest = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()
    return f"linqbot-dev-{digest[:12]}-"


def find_storage() -> Path | None:
    """Return the storage file of the `linqbot dev` that runs in this directory; None if there is none.

    If there are several, a file that a process serves comes first, then the newest.
    """
    found = [path for path in Path(tempfile.gettempdir()).glob(f"{folder_prefix()}*/{FILE}") if _is_own(path)]
    if KEPT.is_file():
        found.append(KEPT)
    return max(found, key=lambda path: (ServingLock(path).holder() is not None, path.stat().st_mtime), default=None)


def storage_url() -> str:
    path = find_storage()
    if path is None:
        raise ConfigError(
            "No linqbot dev runs in this folder, and its storage ends with it. Start linqbot dev here, or leave out --dev."
        )
    return f"sqlite:///{path}"


def hint() -> str:
    """Return a sentence about the storage of the `linqbot dev` that runs in this directory; empty if there is none."""
    if find_storage() is None:
        return ""
    return "linqbot dev, which runs in this folder, has its own storage: add --dev."


def _is_own(path: Path) -> bool:
    # Every user may create a folder of this name in the folder for temporary files, or a link, and in it a link to a file
    # of this user. But only this user can write into the folder that `linqbot dev` made.
    folder = path.parent.lstat()
    return stat.S_ISDIR(folder.st_mode) and (not hasattr(os, "getuid") or folder.st_uid == os.getuid())
