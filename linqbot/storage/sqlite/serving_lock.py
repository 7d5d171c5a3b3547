"""The lock that allows one process to serve a storage file.

It is a lock of the operating system, so it ends with the process, however that ends. The lock file contains the process id of the
server.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.storage.sqlite.file import cannot_be_opened

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        # Far behind the text: Windows does not let other processes read a locked range.
        os.lseek(fd, 1 << 20, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class ServingLock:
    """The lock of a storage file, held by the serving process from `acquire` to `release`.

    The lock file is `<path>.lock`. It is never deleted: two processes could each lock a file of this name if it were
    created again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises ConfigError if another process serves this file; the message names it."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise cannot_be_opened(self._path, error, what="lock") from error
        try:
            _lock(fd)
        except OSError as error:
            os.close(fd)
            raise ConfigError(
                f"{self._path.name} is held by process {self._named() or 'unknown'}, which serves this storage already. "
                "Stop it first, or give this bot a storage of its own (LINQBOT_STORAGE)."
            ) from error
        try:
            text = f"{os.getpid()}\n".encode("ascii")
            os.lseek(fd, 0, os.SEEK_SET)
            # Written before the rest is cut off: a full disk would not give back the block that an empty file has released.
            os.write(fd, text)
            os.ftruncate(fd, len(text))
        except OSError as error:
            os.close(fd)
            raise StorageUnavailable(f"The lock {self._path} cannot be written: {error.strerror}.") from error
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            # On a disk that fails, the process id stays in the file, as after a kill.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def holder(self) -> int | None:
        """Return the id of the process that serves this file, if it runs on this machine, without touching the lock."""
        pid = self._named()
        try:
            if pid:
                os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass  # alive, and owned by another user
        return pid

    def _named(self) -> int | None:
        """Return the process id in the lock file; None if it has none."""
        try:
            return int(self._path.read_text("ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return None
