"""Attachments: files that are uploaded to Linq before they are sent.

The source of an upload is bytes, a path or an open file. It is read in chunks, in a thread so that the event loop is
not blocked, and again from its start for each retry. The PUT of its bytes is `Sender.put`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias, TypeGuard, cast

from linqbot.client.resources.resource import ApiResource, Uploader
from linqbot.errors import RuleBroken
from linqbot.linq.types.files import Attachment, Upload, content_type_of

File: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the content as bytes, or a file opened for reading bytes."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes sent so far and the total in bytes."""


class Attachments(ApiResource):
    """`client.attachments`: upload files, read their metadata, delete them."""

    def __init__(self, client: Uploader) -> None:
        super().__init__(client)
        self._put = client._put  # noqa: SLF001 - both are of this package

    async def create(
        self, *, content_type: str, filename: str, size_bytes: int, extra_body: Mapping[str, Any] | None = None
    ) -> Upload:
        """Announce a file and get the address to upload its bytes to. `upload` does this and uploads the bytes too.

        Args:
            content_type: A type Linq accepts, such as `image/jpeg`. `linqbot explain R92` names the page with all.
            filename: The name that the recipient sees.
            size_bytes: The exact size of the file: 1 byte to 100 MB.
        Returns:
            The upload address, valid for 15 minutes, and the headers to send there. After the upload the attachment's
            id may be sent in a message at once.
        Raises:
            RuleBroken: The size is out of range (R91) or the type is not one Linq accepts (R92); nothing was sent.
        Source: https://docs.linqapp.com/api/resources/attachments/methods/create
        """
        return await self._read(Upload, "attachments.create", locals())

    async def upload(
        self,
        file: File | Source,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Upload:
        """Upload a file in chunks: the whole file is never in memory. Retried after a lost connection.

        Args:
            file: A path, bytes, or an open binary file, which is read from its current position. 1 byte to 100 MB.
                linqbot itself gives a `Source`.
            filename: The name that the recipient sees. Required for bytes; defaults to the file's own name.
            content_type: A type Linq accepts; None derives the type from the suffix of the name.
            progress: Called in the event loop after every chunk, with the bytes sent and the total in bytes. After a
                retry the count starts again at the first chunk.
        Returns:
            The upload. Send it as `{"type": "media", "attachment_id": upload.attachment_id}`.
        Raises:
            RuleBroken: The name is missing (R3), the type is unknown (R92) or the size is wrong (R91); nothing was
                sent.
            LinqApiError: 403 the upload address refused the file.
            LinqUnavailable: Linq or the host of the upload address did not respond, or a proxy answered for it.
            OSError: The file cannot be read.
            EOFError: The file became shorter while it was uploaded.
        Source: https://docs.linqapp.com/api/resources/attachments/methods/create
        """
        source = file if isinstance(file, Source) else await source_of(file)
        name = filename or source.name
        if not name:
            raise RuleBroken("filename is missing. Bytes have no name of their own.", rule="R3", status=400, code=1001)
        kind = content_type or content_type_of(name)
        if kind is None:
            said = (
                "linqbot knows no content type for a name that ends like this one. Correct filename=, or convert the file, such as "
                "to .mp3, .jpg or .pdf. media(…) and attachments.upload also take content_type=. linqbot explain R92 "
                "names Linq's page with all types."
            )
            raise RuleBroken(said, rule="R92", status=400, code=1005)
        upload = await self.create(content_type=kind, filename=name, size_bytes=source.size, extra_body=extra_body)
        await self._put(upload.upload_url, partial(source.chunks, progress), upload.required_headers, source.size)
        return upload

    async def retrieve(self, attachment_id: str, *, extra_body: Mapping[str, Any] | None = None) -> Attachment:
        """Get the metadata of a file by its id, a UUID. The `download_url` is signed and short-lived.

        Source: https://docs.linqapp.com/api/resources/attachments/methods/retrieve
        """
        return await self._read(Attachment, "attachments.retrieve", locals())

    async def delete(self, attachment_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Delete a file permanently. Messages that show the file remain, without it.

        Source: https://docs.linqapp.com/api/resources/attachments/methods/delete
        """
        await self._call("attachments.delete", locals())


CHUNK_BYTES: Final = 256 * 2**10

_POSITION: Final = threading.Lock()
"""Held while an opened file is moved and read. The turns of several chats may send the same opened file at a time, each in
a thread, and such a file has one position."""


class Source(NamedTuple):
    """A file to upload.

    Attributes:
        size: In bytes.
        name: The file's own name; empty if it has none.
        read: `read(position, size)`, called in a thread. Positions start at 0 for every attempt.
    """

    size: int
    name: str
    read: Callable[[int, int], bytes]

    async def chunks(self, progress: Progress | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the content from its beginning, exactly `size` bytes in total. `progress` is called after each chunk.

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
            if progress is not None:
                progress(position, self.size)


async def source_of(file: File, *, start: int | None = None) -> Source:
    """Determine the size and the name of a file.

    Args:
        start: The position in an opened file from which it is read; None is its current position.
    Raises:
        OSError: The file cannot be read.
        RuleBroken: The object is a stream that cannot seek or is at its end, or not a file at all.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        content = memoryview(file)
        return Source(content.nbytes, "", lambda position, size: bytes(content[position : position + size]))
    if isinstance(file, str | os.PathLike):
        return await asyncio.to_thread(_of_path, Path(file))
    return await asyncio.to_thread(_of_open_file, file, start)


def is_seekable(file: object) -> TypeGuard[IO[bytes]]:
    """Return True for an open file that can be read again. Wrappers, such as temporary files, count as well."""
    return callable(getattr(file, "seekable", None)) and bool(cast("IO[bytes]", file).seekable())


def _of_path(path: Path) -> Source:
    def read(position: int, size: int) -> bytes:
        with path.open("rb") as opened:
            opened.seek(position)
            return opened.read(size)

    # The bytes of a name that are not UTF-8 cannot be written as JSON.
    return Source(path.stat().st_size, path.name.encode("utf-8", "replace").decode(), read)


def _of_open_file(file: IO[bytes], start: int | None) -> Source:
    if not is_seekable(file) or not isinstance(file.read(0), bytes):
        said = "upload needs a path, bytes, or an open binary file that can seek. Read the stream into bytes first."
        raise RuleBroken(said, rule="R91", status=400, code=1005)
    with _POSITION:
        first = file.tell() if start is None else start
        end = file.seek(0, os.SEEK_END)
    if end <= first:
        said = "the file is empty, or at its end: after writing to it, call its seek(0)."
        raise RuleBroken(said, rule="R91", status=400, code=1005)

    def read(position: int, size: int) -> bytes:
        with _POSITION:
            file.seek(first + position)
            return file.read(size)

    name = getattr(file, "name", "")
    return Source(end - first, Path(name).name if isinstance(name, str) else "", read)
