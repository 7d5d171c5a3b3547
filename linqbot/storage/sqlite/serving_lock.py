"""The lock that allows one process to serve a storage file.

It is a lock of the operating system, so it ends with the process, however that ends. The lock file contains the process id of the
server, and the inode of the storage file that it serves.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from linqbot.errors import ConfigError, StorageMisplaced, StorageUnavailable
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
        self._file = path
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
            text = f"{os.getpid()} {self._inode()}\n".encode("ascii")
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
            if sys.platform != "win32":  # a child of a fork, such as of a ProcessPoolExecutor, has the file open too
                fcntl.flock(self._fd, fcntl.LOCK_UN)
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

    def check_file(self) -> None:
        """Raise StorageMisplaced if a process serves another file that was at this path, before it was replaced.

        SQLite finds the `-wal` by the name. The first command to close would move that of the server into this file, and delete it.
        """
        (_, served), now = self._read(), self._inode()
        if not (served and now) or served == now or not self._is_held():
            return
        raise StorageMisplaced(
            f"Process {self._named()} serves the storage file that was at {self._file} before, and another one is there now. It was "
            "not opened, since that would damage both. Put the former file back, or stop the process and start it again."
        )

    def _inode(self) -> int:
        """Return the inode of the storage file; 0 if there is no file, or its file system has no inodes."""
        try:
            return self._file.stat().st_ino
        except OSError:
            return 0

    def _is_held(self) -> bool:
        fd = os.open(self._path, os.O_RDWR)
        try:
            _lock(fd)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def _named(self) -> int | None:
        """Return the process id in the lock file; None if it has none."""
        return self._read()[0] or None

    def _read(self) -> tuple[int, int]:
        """Return the process id and the inode in the lock file; 0 for what it does not have."""
        try:
            pid, inode, *_ = [*map(int, self._path.read_text("ascii").split()), 0, 0]
        except (OSError, ValueError):
            return 0, 0
        return pid, inode
