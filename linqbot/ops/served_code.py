"""The code that a server runs, noted at its start, so that a later command can say that the files have changed since.

The note is a file next to the storage's file. It holds the id of the process, the time, and a digest of each file of the
bot. A note of a process that no longer serves the storage counts as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from linqbot.storage.open import path_of
from linqbot.storage.sqlite.serving_lock import ServingLock


class OldCode(NamedTuple):
    pid: int
    started_at: float  # start of the server, in Unix seconds
    changed: tuple[str, ...]  # names of the files that were changed or deleted since


def note_code(storage: str, spec: str) -> None:
    path = path_of(storage)
    if path is None:
        return
    files = {str(file): digest for file in bot_files(spec) if (digest := _digest(file)) is not None}
    text = json.dumps({"pid": os.getpid(), "started_at": time.time(), "files": files}, indent=1)
    # Without the note, commands only lack a warning.
    with suppress(OSError), os.fdopen(os.open(_note(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text + "\n")


def old_code(storage: str) -> OldCode | None:
    """Return the server of a storage if it runs older code than the files hold; None if it does not, or none runs."""
    path = path_of(storage)
    if path is None or (pid := ServingLock(path).holder()) is None:
        return None
    try:
        note = json.loads(_note(path).read_bytes())
        if note["pid"] != pid:
            return None
        changed = tuple(Path(file).name for file, digest in note["files"].items() if _digest(Path(file)) != digest)
        return OldCode(pid, float(note["started_at"]), changed) if changed else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def bot_files(spec: str) -> Iterator[Path]:
    """Yield the files that were imported from the folder of a bot, without those of installed packages and of linqbot."""
    target = spec.partition(":")[0]
    root = Path(target).resolve().parent
    if not (target.endswith(".py") or "/" in target):
        root = Path(sys.modules[target.partition(".")[0]].__file__ or ".").resolve().parent
    installed = Path(sys.prefix).resolve()
    library = str(Path(os.__file__).parent)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name.partition(".")[0] == "linqbot":
            continue
        # As text: to resolve the paths of all 600 modules takes 15 ms of each start.
        if "site-packages" in file or file.startswith(library):
            continue
        path = Path(file).resolve()
        if path.is_relative_to(root) and not path.is_relative_to(installed):
            yield path


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}-served.json")


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None
