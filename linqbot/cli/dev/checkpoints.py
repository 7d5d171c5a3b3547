"""Checkpoints of `linqbot dev`: what it takes to return to the state before a message, in memory and in a folder."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.rewinding import Snapshot
from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.storage.sqlite import upkeep

KEPT = 20
"""Number of messages that can be restarted from."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state before a message.

    Attributes:
        message_id: The id that the message then got.
        message: The act of writing it, to be performed again.
        snapshot: The state of the emulator.
        copy: A copy of the bot's storage.
    """

    message_id: str
    message: Write
    snapshot: Snapshot
    copy: Path


class StorageCopies:
    """Copies of a SQLite file that another process writes.

    Args:
        folder: A folder for the copies. It exists.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._numbers = itertools.count()

    def make(self) -> Path | None:
        """Copy the file as it is at one moment. Return None if it cannot be copied now, as in the first moment of a bot."""
        copy = self._folder / f"before-{next(self._numbers)}.db"
        if not self._file.exists():
            return None
        try:
            upkeep.backup(self._file, copy, None)
        except (StorageUnavailable, ConfigError):
            return None
        return copy

    def put_back(self, copy: Path | None) -> None:
        """Replace the file by a copy, or remove it. No process may have it open."""
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        if copy is not None:
            shutil.copyfile(copy, self._file)
            self._file.chmod(0o600)

    @staticmethod
    def delete(copy: Path | None) -> None:
        """Delete a copy."""
        if copy is not None:
            copy.unlink(missing_ok=True)
