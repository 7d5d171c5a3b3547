"""Compare the files that this process has open with the files at their paths.

A file that is deleted, replaced or hidden by a mount stays open: SQLite goes on writing to it without an error, and
everything written is lost with the process. So the paths are compared with the opened files, after each COMMIT and
once a second.

While they differ, every transaction is refused before it begins, also those of running turns. It would be unsafe to let
turns go on and to refuse new deliveries only. A send that is recorded in a file which no process opens again is made a
second time after the restart. And frames that are added to the write-ahead log, or moved out of it by a checkpoint, no
longer fit the file that is now at the path. A turn that waits to write its end can still write it when the file comes
back.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import structlog

from linqbot.errors import StorageUnavailable

log = structlog.get_logger("linqbot.storage")

_SUFFIXES = ("-wal", "-shm")
"""Suffixes of the files that SQLite keeps open next to the database: commits go there first, and processes share it."""


class Place:
    """The files of one database, and their identities when they were opened.

    This class never opens a file: closing it again would drop the locks that SQLite holds on it for this process.

    Attributes:
        lost: The reason why nothing may be written, as a sentence; None while all files are in their place.
    """

    def __init__(self, path: Path) -> None:
        self.lost: str | None = None
        self._path = path
        self._opened: dict[Path, os.stat_result] = {}
        self._changing = threading.Lock()

    def opening(self) -> None:
        """Remember the file that is about to be opened."""
        self.lost = None
        self._opened = {}
        self._remember(self._path)

    def opened(self) -> None:
        """Remember the files that SQLite has opened next to the database.

        Raises:
            StorageUnavailable: the file was removed or replaced in the meantime.
        """
        for suffix in _SUFFIXES:
            self._remember(self._path.with_name(self._path.name + suffix))
        self.check()

    def check(self) -> None:
        """Check the paths now, and log when files are lost and when they are back.

        Raises:
            StorageUnavailable: there is no file at a path, or another one.
        """
        lost = next((why for path, was in self._opened.items() if (why := self._moved(path, was))), None)
        with self._changing:
            before, self.lost = self.lost, lost
        if lost and not before:
            log.error("storage.lost", error=lost)
        elif before and not lost:
            log.info("storage.found", file=str(self._path))
        if lost:
            raise StorageUnavailable(lost)

    def _remember(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._opened[path] = path.stat()

    def _moved(self, path: Path, was: os.stat_result) -> str | None:
        """Return what happened to a file and what to do about it; None if the file is in its place."""
        try:
            # os.stat: Path.stat takes twice as long, and this runs for every commit.
            now = os.stat(path)  # noqa: PTH116
        except FileNotFoundError:
            what = "is gone: it was deleted or moved, or something was mounted over it"
            to_do = "Put the same file back; if that cannot be, start linqbot again."
        except OSError as error:
            what = f"cannot be looked at: {error.strerror}"
            to_do = "Let linqbot see it again."
        else:
            if _is_same(now, was):
                return None
            what = "is not the file that linqbot opened: it was replaced"
            # SQLite applies a -wal to any file next to it. Applied to an older file, it does damage.
            wal, shm = (self._path.name + suffix for suffix in _SUFFIXES)
            to_do = (
                "Put the former file back; or stop linqbot and start it again, which alone uses the file that is there "
                f"now. If that is an older copy, such as a backup, move {wal} and {shm} away before the start."
            )
        if path != self._path:
            # When SQLite closes, it moves the content of an unlinked -wal into the file, if that is in its place.
            to_do = f"Stop linqbot with SIGTERM, not SIGKILL, which completes {self._path.name}, and start it again."
        return f"The storage file {path} {what}. Nothing is stored until it is back. {to_do}"


def _is_same(now: os.stat_result, was: os.stat_result) -> bool:
    # The inode is 0 on file systems without inode numbers, and on Windows for a file that another program holds.
    if not (now.st_ino and was.st_ino):
        return True
    return (now.st_ino, now.st_dev) == (was.st_ino, was.st_dev) and bool(now.st_nlink or not was.st_nlink)
