"""The storage of `linqbot dev`, found from another command in the same folder.

With the emulator it is in a temporary folder, which is deleted when `linqbot dev` ends. The name of this folder holds a
digest of the working directory. With `--public-url` it is `.linqbot/dev.db`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from linqbot.errors import ConfigError
from linqbot.storage.sqlite.disk.serving_lock import ServingLock

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
    """Return the URL of the storage of `linqbot dev`.

    Raises:
        ConfigError: none runs in this directory.
    """
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
