"""The content of messages and reactions, as frozen data: parts, effects, replies, stickers.

`engine/content.py` makes it from the body of a request, and `content_shapes.py` turns it into the JSON of the API and
back. Ranges are half-open and count UTF-16 code units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MentionRecord:
    """A mention of a participant in a text. `is_me` is True for a line of the account."""

    handle: str
    is_me: bool
    range: Range


@dataclass(frozen=True, slots=True)
class InlineStickerRecord:
    """A small image over a range of a text."""

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

    type: ClassVar[str] = "text"
    value: str
    text_decorations: list[dict[str, Any]] | None = None
    inline_stickers: tuple[InlineStickerRecord, ...] = ()
    mentions: tuple[MentionRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class MediaPartRecord:
    """A file.

    Attributes:
        id: That of its attachment, or a new one for a file at another address.
        is_sticker: True if iMessage shows it as a sticker. Linq's API does not tell.
    """

    type: ClassVar[str] = "media"
    id: str
    filename: str
    mime_type: str
    size_bytes: int
    url: str
    is_sticker: bool = False


@dataclass(frozen=True, slots=True)
class LinkPartRecord:
    """An address that phones show as a preview card."""

    type: ClassVar[str] = "link"
    value: str


@dataclass(frozen=True, slots=True)
class AppIdentityRecord:
    """The iMessage app that a card belongs to."""

    team_id: str | None = None
    bundle_id: str | None = None
    name: str | None = None
    app_store_id: int | None = None


@dataclass(frozen=True, slots=True)
class CardLayout:
    """The texts and the image of an app card."""

    caption: str | None = None
    subcaption: str | None = None
    trailing_caption: str | None = None
    trailing_subcaption: str | None = None
    image_url: str | None = None
    image_title: str | None = None
    image_subtitle: str | None = None


@dataclass(frozen=True, slots=True)
class AppCardPartRecord:
    """The card of an iMessage app."""

    type: ClassVar[str] = "imessage_app"
    app: AppIdentityRecord
    layout: CardLayout
    url: str = ""
    fallback_text: str | None = None


@dataclass(frozen=True, slots=True)
class AppClipPartRecord:
    """An App Clip, which opens at the address `value`."""

    type: ClassVar[str] = "app_clip"
    value: str
    title: str | None = None
    description: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class UnknownPartRecord:
    """A part of another type, from a state written by hand. `fields` are its other fields, as in the state."""

    type: str
    fields: dict[str, Any]


PartRecord: TypeAlias = (
    TextPartRecord | MediaPartRecord | LinkPartRecord | AppCardPartRecord | AppClipPartRecord | UnknownPartRecord
)


@dataclass(frozen=True, slots=True)
class MessageEffect:
    """The visual effect of a message. `type` is `screen` or `bubble`."""

    type: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class ReplyReference:
    """The message, and the part of it, that a message replies to."""

    message_id: str
    part_index: int = 0


@dataclass(frozen=True, slots=True)
class StickerImage:
    """The image of a sticker reaction."""

    file_name: str
    mime_type: str
    url: str
    width: int = 160
    height: int = 160


@dataclass(frozen=True, slots=True)
class StickerPlacement:
    """The position of a sticker on its message, its size relative to the usual one, and its rotation."""

    x: float = 0
    y: float = 0
    scale: float = 1.0
    rotation: float = 0


@dataclass(frozen=True, slots=True)
class BackgroundRecord:
    """The background of a chat: a colour, an animation, or a photo."""

    type: str | None = None
    style: str | None = None
    variant: str | None = None
    shades: list[str] | None = None
    image_url: str | None = None
