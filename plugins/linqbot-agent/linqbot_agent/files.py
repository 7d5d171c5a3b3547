"""The files that a model is shown, of any framework: the newest pictures, fetched within limits. One that cannot be shown is named.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field
from pydantic_ai.messages import BinaryContent

from linqbot import Context, MediaPart
from linqbot.speakers import in_mark

UNREADABLE: Final = "linqbot_agent.Unreadable"
_MOST_UNREADABLE: Final = 100

TIMEOUT_S: Final = 15.0
"""The longest time for one picture, in seconds."""

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of some messages, by the ids of their parts."""

    shown: dict[str, BinaryContent]
    reasons: dict[str, str]  # why others are not shown, in words for the model

    def content_of(self, files: Sequence[MediaPart]) -> list[str | BinaryContent]:
        """Return the pictures among files, each after its name, and a sentence for each that cannot be shown."""
        content: list[str | BinaryContent] = []
        for file in files:
            name = in_mark(file.filename or "picture")
            if (picture := self.shown.get(file.id or "")) is not None:
                content += [f"[The picture {name}:]", picture]
            elif (reason := self.reasons.get(file.id or "")) is not None:
                content.append(f"[The picture {name} cannot be shown: {reason}]")
        return content


class Unreadable(BaseModel):
    """The pictures of a chat that the provider of the model has refused. They are not sent again."""

    digests: list[str] = Field(default_factory=list)  # See `digest`. The oldest first.


def digest(picture: BinaryContent) -> str:
    return hashlib.blake2b(picture.data, digest_size=8).hexdigest()


async def keep_unreadable(ctx: Context, digests: Sequence[str]) -> None:
    if digests:
        noted = await ctx.state.chat(Unreadable, name=UNREADABLE)
        noted.digests = [*dict.fromkeys([*noted.digests, *digests])][-_MOST_UNREADABLE:]


async def pictures(ctx: Context, files: Sequence[MediaPart], *, most: int, max_bytes: int) -> Pictures:
    """Fetch the newest pictures. Files that are no pictures are left out."""
    newest = [file for file in files if file.id and _may_be_picture(file)][-most:] if most else []
    if not newest:
        return Pictures({}, {})
    unreadable = (await ctx.state.chat(Unreadable, name=UNREADABLE)).digests
    read = await asyncio.gather(*(_picture(file, max_bytes, unreadable) for file in newest))
    found = dict(zip((file.id or "" for file in newest), read, strict=True))
    return Pictures(
        {key: each for key, each in found.items() if isinstance(each, BinaryContent)},
        {key: each for key, each in found.items() if isinstance(each, str)},
    )


async def _picture(file: MediaPart, max_bytes: int, unreadable: Collection[str]) -> BinaryContent | str:
    if file.is_heic:
        return "it is in Apple's HEIC format, which models cannot read"
    fetched = await file.fetch(max_bytes=max_bytes, timeout_s=TIMEOUT_S)
    if fetched.unavailable is not None:
        return "it is too large or no longer available"
    # A provider refuses a request with a picture that is none, and the picture would come again with each message.
    kind = _kind(fetched.content)
    if kind is None:
        return "its format cannot be read"
    picture = BinaryContent(fetched.content, media_type=kind)
    return "the model cannot read it" if digest(picture) in unreadable else picture


def _may_be_picture(file: MediaPart) -> bool:
    return file.is_heic or (file.mime_type or "").startswith("image/")


def _kind(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if content.startswith(signature)), None)
