"""Files of received messages: what `fetch` and `save` return, and who reads them.

A part is plain data and knows no connection. The reader is the context of the turn that is running; dispatch sets it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from linqbot.errors import BotError

if TYPE_CHECKING:
    from linqbot.types.message import MediaPart

MAX_BYTES: Final = 25 << 20
"""The largest file that is read, unless `max_bytes` says otherwise."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in memory.

    Attributes:
        content: Empty if the file is unavailable.
        mime_type: As the server says, lower-case and without parameters: `image/jpeg`. Of HEIC images and CAF audio, as
            the content says.
        filename: A bare name, or None. The sender chose it: do not use it as a path.
        unavailable: The reason why the file could not be fetched, as a sentence; None if it was. Only `MediaPart.fetch`
            returns it: `client.fetch` raises instead.
    """

    content: bytes = field(repr=False)
    mime_type: str
    filename: str | None = field(repr=False)
    unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """A file on disk. `mime_type`, `filename` and `unavailable` are as in `Fetched`.

    Attributes:
        path: If the file is unavailable, nothing was written there.
    """

    path: Path
    size_bytes: int
    mime_type: str
    filename: str | None = field(repr=False)
    unavailable: str | None = None


class MediaReader(Protocol):
    """Reads the files of received messages."""

    async def fetch_media(self, media: MediaPart, *, max_bytes: int, timeout_s: float) -> Fetched:
        """Read a file into memory; see `MediaPart.fetch`."""
        ...

    async def save_media(self, media: MediaPart, path: Path | str, *, max_bytes: int, timeout_s: float) -> Saved:
        """Write a file to `path`; see `MediaPart.save`."""
        ...


turn_reader: ContextVar[MediaReader | None] = ContextVar("linqbot_media_reader", default=None)


def reader() -> MediaReader:
    """Return the reader of the running turn.

    Raises:
        BotError: no turn is running.
    """
    found = turn_reader.get()
    if found is None:
        raise BotError("A part fetches its file inside a handler only. Elsewhere, write: await client.fetch(part).")
    return found
