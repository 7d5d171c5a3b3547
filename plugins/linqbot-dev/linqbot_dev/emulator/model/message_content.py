"""The content of messages and reactions, as frozen documents: parts, placements of stickers, backgrounds.

`engine/content.py` makes it from the body of a request, `shown_part` turns a part into the JSON of the API, and
`read_part` reads it from a saved state. Effects, replies, mentions, the layouts of cards and the images of stickers are
those of `linqbot/linq/types/`. Ranges are half-open and count UTF-16 code units.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field

from linqbot.linq.types.files import content_type_of
from linqbot.linq.types.message import AppLayout, Mention, Range, utf16_length
from linqbot_dev.emulator.model import documents
from linqbot_dev.emulator.model.answers import JsonObject
from linqbot_dev.emulator.model.documents import Private, Sparse, Writer, new_id


@dataclass(frozen=True, slots=True)
class InlineStickerRecord:
    range: Range
    id: str
    url: str
    file_name: str
    mime_type: str


@dataclass(frozen=True, slots=True)
class TextPartRecord:
    """A text.

    Attributes:
        text_decorations: Styles and animations, as the sender wrote them in JSON.
    """

    type: str = field(default="text", init=False)
    value: str
    text_decorations: list[dict[str, Any]] | None = None
    inline_stickers: tuple[InlineStickerRecord, ...] = ()
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class MediaPartRecord(Sparse):
    """A file.

    Attributes:
        id: That of its attachment, or a new one for a file at another address.
        is_sticker: True if iMessage shows it as a sticker. Linq's API does not tell.
    """

    SPARSE: ClassVar = frozenset({"sticker"})

    type: str = field(default="media", init=False)
    id: str
    filename: str
    mime_type: str
    size_bytes: int
    url: str
    is_sticker: Annotated[Private[bool], Field(alias="sticker")] = False


@dataclass(frozen=True, slots=True)
class LinkPartRecord:
    type: str = field(default="link", init=False)
    value: str


@dataclass(frozen=True, slots=True)
class AppIdentityRecord:
    team_id: str | None = None
    bundle_id: str | None = None
    name: str | None = None
    app_store_id: int | None = None


@dataclass(frozen=True, slots=True)
class AppCardPartRecord:
    type: str = field(default="imessage_app", init=False)
    app: AppIdentityRecord
    layout: AppLayout
    url: str = ""
    fallback_text: str | None = None


@dataclass(frozen=True, slots=True)
class AppClipPartRecord:
    """An App Clip, which opens at the address `value`."""

    type: str = field(default="app_clip", init=False)
    value: str
    title: str | None = None
    description: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class OtherPartRecord:
    """A part of a type that Linq has added since. It is passed on as it came."""

    type: str
    fields: JsonObject


PartRecord: TypeAlias = (
    TextPartRecord | MediaPartRecord | LinkPartRecord | AppCardPartRecord | AppClipPartRecord | OtherPartRecord
)


@dataclass(frozen=True, slots=True)
class StickerPlacement:
    """The position of a sticker on its message, its size relative to the usual one, and its rotation."""

    x: float = 0
    y: float = 0
    scale: float = 1.0
    rotation: float = 0


@dataclass(frozen=True, slots=True)
class BackgroundRecord:
    """The background of a chat: a colour, an animation, or a photo. A field that its type does not use is not checked."""

    type: str | None = None
    style: Any = None
    variant: Any = None
    shades: Any = None
    image_url: Any = None


def shown_part(one: PartRecord, write: Writer = documents.shown) -> JsonObject:
    """Return a part of a message as the API shows it, without its reactions; `documents.saved` adds what only a phone shows."""
    if isinstance(one, OtherPartRecord):
        return {**one.fields, "type": one.type}
    shape = write(one)
    if isinstance(one, TextPartRecord):
        mentions, stickers = shape.pop("mentions"), shape["inline_stickers"]
        first = mentions[0] if mentions else {"handle": None, "range": None}
        shape |= {"inline_stickers": stickers or None, "mention": first["handle"], "mention_range": first["range"]}
        shape["mentions"] = mentions or None
    return shape


def read_part(item: Mapping[str, Any], lines: Container[str]) -> PartRecord:
    """Return the part that `shown_part` has shown, or that was written by hand.

    Args:
        lines: The lines of the account, for mentions without `is_me`.
    """
    kind = item["type"]
    if kind == "text":
        return _read_text(item, lines)
    if kind == "media":
        return _read_media(item)
    return documents.read(_ALIKE[kind], item) if kind in _ALIKE else other_part(item)


def other_part(item: Mapping[str, Any]) -> OtherPartRecord:
    return OtherPartRecord(item["type"], {name: item[name] for name in item if name not in {"type", "reactions"}})


_ALIKE: Mapping[str, type[LinkPartRecord | AppCardPartRecord | AppClipPartRecord]] = {
    "link": LinkPartRecord,
    "imessage_app": AppCardPartRecord,
    "app_clip": AppClipPartRecord,
}


def _read_text(item: Mapping[str, Any], lines: Container[str]) -> TextPartRecord:
    mentions = item.get("mentions") or ()
    if not mentions and item.get("mention"):
        mentions = [{"handle": item["mention"], "range": item.get("mention_range")}]
    whole = (0, utf16_length(str(item["value"])))
    read = [documents.read(Mention, one, is_me=one["handle"] in lines, range=whole) for one in mentions]
    stickers = [_read_inline_sticker(one) for one in item.get("inline_stickers") or ()]
    return documents.read(TextPartRecord, {**item, "mentions": read, "inline_stickers": stickers})


def _read_inline_sticker(item: Mapping[str, Any]) -> InlineStickerRecord:
    filename = item.get("file_name") or "file"
    return documents.read(InlineStickerRecord, item, id=new_id(), file_name=filename, mime_type=mime_type_of(filename))


def _read_media(item: Mapping[str, Any]) -> MediaPartRecord:
    filename = item.get("filename") or "file"
    return documents.read(
        MediaPartRecord, item, id=new_id(), filename=filename, mime_type=mime_type_of(filename), size_bytes=0
    )


def mime_type_of(filename: str) -> str:
    return content_type_of(filename) or mimetypes.guess_type(filename)[0] or "application/octet-stream"
