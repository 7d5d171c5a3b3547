"""Files of received messages: what `fetch` and `save` of a part return."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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
        unavailable: The reason why the file could not be fetched, as a sentence for the log; None if it was. Only
            `MediaPart.fetch` returns it: `client.fetch` raises instead.
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
