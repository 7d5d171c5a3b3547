"""Uploads: the files of drafts become parts that Linq can send. Each file is uploaded once in a turn, however often it runs."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from linqbot.characters import whole
from linqbot.client.client import Client
from linqbot.client.http.addresses import bare_name
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.client.resources.attachments import Source, source_of
from linqbot.content.drafts import MediaDraft, is_received
from linqbot.errors import LinqApiError, TurnDeferred
from linqbot.linq.rules.check import MAX_UPLOAD_BYTES
from linqbot.linq.types.files import CONTENT_TYPES, Upload
from linqbot.linq.types.message import MediaPart, MessageContent

if TYPE_CHECKING:
    from linqbot.content.received import ReceivedMedia


@dataclass(slots=True, eq=False)
class Uploads:
    """The uploads of one run of a turn.

    Attributes:
        received: Returns the reader of received files, which are uploaded again when they are sent: their addresses
            expire, and Linq does not say that their ids can be sent.
        recorded: Returns the id of an attachment that an earlier run of the turn has recorded under a name. If there is
            none, it makes one and records it, so that a later run of the turn sends the same one. Otherwise its send
            would differ from that of the earlier run.
        under_way: Returns a block whose end the turn awaits, also in a task that the handler does not await.
    """

    client: Client
    received: Callable[[], ReceivedMedia]
    recorded: Callable[[str, Callable[[], Awaitable[str]]], Awaitable[str]]
    under_way: Callable[[], AbstractContextManager[None]]
    _attachments: dict[str, str] = field(default_factory=dict, init=False)
    _attempts: dict[str, int] = field(default_factory=dict, init=False)
    _by_url: dict[str, MediaDraft] = field(default_factory=dict, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def resolved(self, content: Iterable[Any]) -> list[Any]:
        """Return content with a part in place of each file to upload, or to upload again because it was received.

        Raises:
            OSError: a file cannot be read.
            RuleBroken: a file has no name, its type is unknown, or its size is wrong.
            FetchRefused, FetchFailed: a received file cannot be fetched, such as one that its sender's server has
            deleted.
            TurnDeferred: Linq did not respond, or asked to wait.
        """
        return [await self._resolved(item) for item in content]

    async def _resolved(self, item: Any) -> Any:
        if isinstance(item, MediaDraft):
            return await self.part(item)
        if is_received(item):
            return MediaPart(attachment_id=await self._of_url(item), sticker=item.sticker)
        return item

    async def part(self, draft: MediaDraft) -> MediaPart:
        sticker = True if draft.sticker else None
        if draft.url is not None:
            self._by_url[draft.url] = draft
            return MediaPart(url=draft.url, sticker=sticker)
        attachment_id = await self._uploaded(draft, "upload", lambda made: made.attachment_id)
        return MediaPart(attachment_id=attachment_id, sticker=sticker)

    async def fetched(self, message: MessageContent) -> MessageContent:
        """Return a message with uploads in place of its URLs, for files that Linq could not fetch itself."""
        parts = [
            part.model_copy(update={"url": None, "attachment_id": await self._of_url(part)})
            if isinstance(part, MediaPart) and part.url is not None
            else part
            for part in message.parts or ()
        ]
        return message.model_copy(update={"parts": tuple(parts)})

    async def _of_url(self, part: MediaPart) -> str:
        url = part.url or ""

        async def upload() -> str:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "file"
                saved = await self.received().read(
                    part, lambda found: self.client.fetch_to(found, path, max_bytes=MAX_UPLOAD_BYTES)
                )
                draft = self._by_url.get(url, MediaDraft(url, bare_name(part.filename or "")))
                own_name = saved.filename or bare_name(unquote(urlsplit(url).path.rpartition("/")[2])) or "file"
                name = draft.filename or own_name
                kind = draft.content_type or (saved.mime_type if saved.mime_type in CONTENT_TYPES else None)
                uploaded = await self.client.attachments.upload(path, filename=name, content_type=kind)
                return uploaded.attachment_id

        async with self._alone():
            # A received file keeps its id, while its address is another one each time.
            known = part.id or url
            if known not in self._attachments:
                name = hashlib.sha256(known.encode()).hexdigest()[:32]
                self._attachments[known] = await self._made_once(f"fetch:{name}", upload)
            return self._attachments[known]

    async def address(self, draft: MediaDraft) -> str:
        """Return the https URL of the file of a draft, which is uploaded if it is not at one; raises as `resolved` does."""
        if draft.url is not None:
            return draft.url
        return await self._uploaded(draft, "address", lambda made: made.download_url)

    async def _uploaded(self, draft: MediaDraft, what: str, fact: Callable[[Upload], str]) -> str:
        async with self._alone():
            source = await source_of(draft.file, start=draft.start)
            name = f"{what}:{await _digest(source, draft)}"
            if (known := self._attachments.get(name)) is not None:
                return known
            # The handler may try again after an error, and a step has a name of its own for each try.
            tries = self._attempts.get(name, 0)
            self._attempts[name] = tries + 1

            async def upload() -> str:
                return fact(
                    await self.client.attachments.upload(
                        source, filename=draft.filename, content_type=draft.content_type
                    )
                )

            self._attachments[name] = await self._made_once(f"{name}:{tries}", upload)
            return self._attachments[name]

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        with self.under_way():
            async with self._lock:  # Equal files are uploaded once.
                yield

    async def _made_once(self, name: str, upload: Callable[[], Awaitable[str]]) -> str:
        """Make an upload once in a turn. If Linq is away, the turn is deferred, as it is by the send of the file."""

        async def upload_or_defer() -> str:
            try:
                return await upload()
            except LinqApiError as error:
                if meaning_of(error) is not Refusal.WAIT:
                    raise
                raise TurnDeferred(error.summary, after_s=error.retry_after_s) from error

        return await self.recorded(name, upload_or_defer)


async def _digest(source: Source, draft: MediaDraft) -> str:
    named = whole(f"{draft.filename or source.name}\n{draft.content_type}\n").encode()
    digest = hashlib.sha256(named)
    async with aclosing(source.chunks()) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()[:32]
