"""Sources of an upload: bytes, a path, or an open file.

A source is read in chunks, in a thread so that the event loop is not blocked, and again from its start for each retry.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, TypeGuard, cast

from linqbot.errors import RuleBroken

File: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the content as bytes, or a file opened for reading bytes."""

CHUNK_BYTES: Final = 256 * 2**10

_POSITION: Final = threading.Lock()
"""Held while an opened file is moved and read. The turns of several chats may send the same opened file at a time, each in
a thread, and such a file has one position."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to upload.

    Attributes:
        size: In bytes.
        name: The file's own name; empty if it has none.
        read: `read(position, size)`, called in a thread. Positions start at 0 for every attempt.
    """

    size: int
    name: str
    read: Callable[[int, int], bytes]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the content from its beginning, exactly `size` bytes in total.

        Raises:
            EOFError: The file became shorter after `size` was determined.
            OSError: The file cannot be read.
        """
        position = 0
        while position < self.size:
            chunk = await asyncio.to_thread(self.read, position, min(CHUNK_BYTES, self.size - position))
            if not chunk:
                raise EOFError("The file became shorter while it was uploaded.")
            position += len(chunk)
            yield chunk


async def source_of(file: File, *, start: int | None = None) -> Source:
    """Determine the size and the name of a file.

    Args:
        start: The position in an opened file from which it is read; None is its current position.
    Raises:
        OSError: The file cannot be read.
        RuleBroken: The object is a stream that cannot seek, or not a file at all.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        content = memoryview(file)
        return Source(content.nbytes, "", lambda position, size: bytes(content[position : position + size]))
    if isinstance(file, str | os.PathLike):
        return await asyncio.to_thread(_of_path, Path(file))
    return await asyncio.to_thread(_of_open_file, file, start)


def is_seekable(file: object) -> TypeGuard[BinaryIO]:
    """Return True for an open file that can be read again. Wrappers, such as temporary files, count as well."""
    return callable(getattr(file, "seekable", None)) and bool(cast("BinaryIO", file).seekable())


def _of_path(path: Path) -> Source:
    def read(position: int, size: int) -> bytes:
        with path.open("rb") as opened:
            opened.seek(position)
            return opened.read(size)

    # The bytes of a name that are not UTF-8 cannot be written as JSON.
    return Source(path.stat().st_size, path.name.encode("utf-8", "replace").decode(), read)


def _of_open_file(file: BinaryIO, start: int | None) -> Source:
    """Return a source that reads from `start`, or from the file's current position, to its end."""
    if not is_seekable(file) or not isinstance(file.read(0), bytes):
        said = "upload needs a path, bytes, or an open binary file that can seek. Read the stream into bytes first."
        raise RuleBroken(said, rule="R91", status=400, code=1005)
    with _POSITION:
        first = file.tell() if start is None else start
        end = file.seek(0, os.SEEK_END)

    def read(position: int, size: int) -> bytes:
        with _POSITION:
            file.seek(first + position)
            return file.read(size)

    name = getattr(file, "name", "")
    return Source(end - first, Path(name).name if isinstance(name, str) else "", read)
