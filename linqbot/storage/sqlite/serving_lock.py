"""The lock that allows one process to serve a storage file, and a way to wake this process.

It is a lock of the operating system, so it ends with the process, however that ends. The lock file contains the process
id of the server and a loopback port. A datagram to this port means: the file has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
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
        self._wakes: asyncio.DatagramTransport | None = None

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
            pid, _ = self._holder()
            raise ConfigError(
                f"{self._path.name} is held by process {pid or 'unknown'}, which serves this storage already. "
                "Stop it first, or give this bot a storage of its own (LINQBOT_STORAGE)."
            ) from error
        try:
            self._say(fd, 0)
        except OSError as error:
            os.close(fd)
            raise StorageUnavailable(f"The lock {self._path} cannot be written: {error.strerror}.") from error
        self._fd = fd

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever another process has written. Best effort, like `wake_holder`."""

        class Wakes(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                wake()

        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            self._wakes, _ = await loop.create_datagram_endpoint(Wakes, local_addr=("127.0.0.1", 0))
            assert self._fd is not None
            self._say(self._fd, self._wakes.get_extra_info("sockname")[1])

    def stop_listening(self) -> None:
        """End `listen`. Call it on the event loop."""
        if self._wakes is not None:
            self._wakes.close()
            self._wakes = None

    def release(self) -> None:
        if self._fd is not None:
            # On a disk that fails, the process id stays in the file, as after a kill.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def holder(self) -> int | None:
        """Return the id of the process that serves this file, if it runs on this machine, without touching the lock."""
        pid, _ = self._holder()
        try:
            if pid:
                os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass  # alive, and owned by another user
        return pid or None

    def wake_holder(self) -> None:
        """Wake the process that serves this file, if any. Best effort: its next write notices the change too."""
        _, port = self._holder()
        if port:
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(b"!", ("127.0.0.1", port))

    def _holder(self) -> tuple[int, int]:
        """Return the process id and the wake-up port; zeros if the lock file has none."""
        try:
            pid, port = self._path.read_text("ascii").split()
            return int(pid), int(port)
        except (OSError, ValueError):
            return 0, 0

    @staticmethod
    def _say(fd: int, port: int) -> None:
        text = f"{os.getpid()} {port}\n".encode("ascii")
        os.lseek(fd, 0, os.SEEK_SET)
        # Written before the rest is cut off: a full disk would not give back the block that an empty file has released.
        os.write(fd, text)
        os.ftruncate(fd, len(text))
