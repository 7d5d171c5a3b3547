"""Reading the files of received messages: `message.media[0].fetch()`, with the reason instead of an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from linqbot.client.client import Client
from linqbot.client.http.media_fetch import EXPIRED
from linqbot.errors import FetchFailed, FetchRefused, LinqApiError
from linqbot.linq.events.event import Event
from linqbot.linq.types.files import Fetched, Saved
from linqbot.linq.types.message import MediaPart, MediaReader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReceivedMedia(MediaReader):
    """Reads the files of the messages of one turn's event."""

    client: Client
    event: Event

    async def fetch(self, media: MediaPart, *, max_bytes: int, timeout_s: float) -> Fetched:
        try:
            return await self.read(
                media, lambda part: self.client.fetch(part, max_bytes=max_bytes, timeout_s=timeout_s)
            )
        except (FetchRefused, FetchFailed, LinqApiError) as error:
            return Fetched(b"", media.mime_type or "", media.filename, unavailable=str(error))

    async def save(self, media: MediaPart, path: Path | str, *, max_bytes: int, timeout_s: float) -> Saved:
        try:
            return await self.read(
                media, lambda part: self.client.fetch_to(part, path, max_bytes=max_bytes, timeout_s=timeout_s)
            )
        except (FetchRefused, FetchFailed, LinqApiError) as error:
            return Saved(Path(path), 0, media.mime_type or "", media.filename, unavailable=str(error))

    async def read(self, media: MediaPart, read: Callable[[MediaPart], Awaitable[T]]) -> T:
        """Read a file with `read`; if its address has expired, as in a turn that runs again after an hour, from a new one."""
        try:
            return await read(media)
        except FetchFailed as error:
            if error.status not in EXPIRED or (again := await self._again(media)) is None:
                raise
            return await read(again)

    async def _again(self, media: MediaPart) -> MediaPart | None:
        """Return the part as Linq shows it now; None if it is not in the event's message, or its address is the same."""
        message_id = self._message_of(media)
        if message_id is None or media.id is None:
            return None
        try:
            message = await self.client.messages.retrieve(message_id)
        except LinqApiError:
            return None
        parts = (part for part in message.parts if isinstance(part, MediaPart))
        return next((part for part in parts if part.id == media.id and part.url not in (None, media.url)), None)

    def _message_of(self, media: MediaPart) -> str | None:
        """Return the id of the message that has the file: of several that are joined, one."""
        for message in getattr(self.event, "burst", ()):
            if any(part.id == media.id for part in message.media):
                return str(message.id)
        return self.event.message_id
