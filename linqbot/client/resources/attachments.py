"""Attachments: files brought to Linq before they are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TypeAlias

from linqbot.client.call import Run
from linqbot.client.resources.resource import Resource, read
from linqbot.client.upload_sources import File, Source, source_of
from linqbot.errors import RuleBroken
from linqbot.types.attachment import Attachment, Upload, content_type_of

Put: TypeAlias = Callable[[str, Callable[[], AsyncGenerator[bytes, None]], Mapping[str, str], int], Awaitable[None]]
"""Puts so many bytes of what the second argument reads to an address, with these headers and no bearer."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes sent so far, and how many there are."""


class Attachments(Resource):
    """`client.attachments`. An id Linq does not know is `LinqApiError` 404."""

    __slots__ = ("_put",)

    def __init__(self, run: Run, put: Put) -> None:
        super().__init__(run)
        self._put = put

    async def create(self, *, content_type: str, filename: str, size_bytes: int) -> Upload:
        """Announce a file. `upload` does this and the rest; this is for those who bring the bytes themselves.

        Args:
            content_type: A type Linq takes, such as `image/jpeg`: see `linqbot.rules.CONTENT_TYPES`.
            size_bytes: Exactly how many bytes will come: 1 to 100 MB.
        Returns:
            Where the bytes go, within 15 minutes, and with which headers. The id may be sent at once.
        Source: https://docs.linqapp.com/api/resources/attachments/methods/create
        """
        body = {"content_type": content_type, "filename": filename, "size_bytes": size_bytes}
        return read(Upload, await self._call("attachments.create", body=body), "attachments.create")

    async def upload(
        self,
        file: File,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> Upload:
        """Bring a file to Linq, in pieces: it is never in memory as a whole. Repeated after lost connections.

        Args:
            file: A path, bytes, or an open binary file, which is read from where it stands. 1 byte to 100 MB.
            filename: What the recipient sees; needed for bytes, else the file's own name.
            content_type: A type Linq takes; None goes by the suffix of the name.
            progress: Called with bytes sent and bytes in all after every piece, in the event loop; a repetition
                begins anew at the first piece.
        Returns:
            The upload. Send it as `{"type": "media", "attachment_id": upload.attachment_id}`.
        Raises:
            RuleBroken: no name, an unknown type (R92) or a wrong size (R91); nothing was sent.
            LinqApiError: 403 when the upload's address refused the file.
            LinqUnavailable: Linq or the upload's host did not answer.
            OSError: the file cannot be read.
        Source: https://docs.linqapp.com/api/resources/attachments/methods/create
        """
        source = await source_of(file)
        name = filename or source.name
        if not name:
            raise RuleBroken("filename is missing. Bytes have no name of their own.", rule="R3", status=400, code=1001)
        kind = content_type or content_type_of(name)
        if kind is None:
            said = "content_type cannot be told from the file's name. Give it, see linqbot.rules.CONTENT_TYPES."
            raise RuleBroken(said, rule="R92", status=400, code=1005)
        upload = await self.create(content_type=kind, filename=name, size_bytes=source.size)
        # The length stands in the address's signature, so it must be there; chunked encoding would leave it out.
        headers = {"Content-Length": str(source.size), **upload.required_headers}
        await self._put(upload.upload_url, lambda: _told(source, progress), headers, source.size)
        return upload

    async def retrieve(self, attachment_id: str) -> Attachment:
        """Get a file's facts by its id, a UUID. Its `download_url` is signed and short-lived.

        Source: https://docs.linqapp.com/api/resources/attachments/methods/retrieve
        """
        answer = await self._call("attachments.retrieve", path={"attachment_id": attachment_id})
        return read(Attachment, answer, "attachments.retrieve")

    async def delete(self, attachment_id: str) -> None:
        """Delete a file for good. Messages that show it stay, without it.

        Source: https://docs.linqapp.com/api/resources/attachments/methods/delete
        """
        await self._call("attachments.delete", path={"attachment_id": attachment_id})


async def _told(source: Source, progress: Progress | None) -> AsyncGenerator[bytes, None]:
    sent = 0
    async with aclosing(source.chunks()) as chunks:
        async for chunk in chunks:
            yield chunk
            sent += len(chunk)
            if progress is not None:
                progress(sent, source.size)
