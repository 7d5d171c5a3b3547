"""A disk that may lose what was not synced: the files that a process leaves when it is killed, or when the power fails.

`syncs.c` is a library for LD_PRELOAD: it copies each file below a folder to `FILE.synced` when the file is synced. With it, a loss of
power keeps any part of the sectors that were written since; without it, nothing is lost that a kill would keep.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from linqbot.storage.sqlite.file import connect, migrate, prepare

SOURCE: Final = Path(__file__).with_name("syncs.c")
FOLDER_VARIABLE: Final = "LINQBOT_SIMULATED_DISK"
_SECTOR: Final = 512
_ENDS: Final = ("", "-wal")


class Disk:
    """The disk of the one process that serves a file.

    Each end of a process leaves a copy of its files under a new name: the connections of the dead process still hold the old ones.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._rng = random.Random(f"disk {seed}")
        self._number = 0

    @property
    def path(self) -> Path:
        path = self._folder / f"bot{self._number}.db"
        if not self._number and not path.exists():
            for name in ("", ".synced"):
                Path(f"{path}{name}").write_bytes(empty())
        return path

    def replace(self, *, power: bool) -> None:
        """Leave what the disk holds after the end of a process."""
        old = self.path
        self._number += 1
        for end in _ENDS:
            source = Path(f"{old}{end}")
            if source.exists():
                data = source.read_bytes()
                if power and has_power():
                    data = self._torn(_read(Path(f"{source}.synced")), data)
                for name in ("", ".synced"):
                    Path(f"{self.path}{end}{name}").write_bytes(data)

    def _torn(self, synced: bytes, written: bytes) -> bytes:
        """Return what a disk may hold of a file: any part of the sectors that were written since it was synced."""
        size = max(len(synced), len(written))
        kept, new = bytearray(synced.ljust(size, b"\0")), written.ljust(size, b"\0")
        end = len(synced)
        for at in range(0, size, _SECTOR):
            if new[at : at + _SECTOR] != kept[at : at + _SECTOR] and self._rng.random() < 0.5:
                kept[at : at + _SECTOR] = new[at : at + _SECTOR]
                end = max(end, min(at + _SECTOR, size))
        return bytes(kept[:end])


def has_power() -> bool:
    """Return True if a loss of power can be simulated: the library of `syncs.c` is loaded."""
    return FOLDER_VARIABLE in os.environ


def preloading(folder: Path) -> dict[str, str]:
    """Return the environment of a process whose files below `folder` can lose power; empty without Linux or a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").exists():
        return {}
    library = folder / "syncs.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - the compiler, on our own file
    if done.returncode:
        return {}
    return {"LD_PRELOAD": str(library), FOLDER_VARIABLE: str(folder)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@cache
def empty() -> bytes:
    """Return the content of an empty storage, because creating the schema takes longer than a schedule."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        prepare(path, create=True)
        with contextlib.closing(connect(path)) as connection:
            migrate(connection, path)
        return path.read_bytes()
