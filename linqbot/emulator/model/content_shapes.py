"""The JSON of message content: as Linq's API shows it, and read again from a saved state.

A seed written by hand may leave out what has an obvious default. A field that is missing without one is a `KeyError`.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from linqbot.emulator.model.answers import JsonObject
from linqbot.emulator.model.message_content import (
    AppCardPartRecord,
    AppClipPartRecord,
    AppIdentityRecord,
    BackgroundRecord,
    CardLayout,
    InlineStickerRecord,
    LinkPartRecord,
    MediaPartRecord,
    MentionRecord,
    MessageEffect,
    PartRecord,
    Range,
    ReplyReference,
    StickerImage,
    StickerPlacement,
    TextPartRecord,
    UnknownPartRecord,
)
from linqbot.emulator.model.records import new_id
from linqbot.linq.types.content import content_type_of
from linqbot.linq.types.message import utf16_length

Json = Mapping[str, Any]

# --- showing -------------------------------------------------------------------------------------------------------


def part(one: PartRecord) -> JsonObject:
    """Return a part of a message, without its reactions."""
    match one:
        case TextPartRecord():
            return {"type": one.type, **_text(one)}
        case UnknownPartRecord():
            return {"type": one.type, **one.fields}
        case MediaPartRecord():
            return {"type": one.type, **media(one)}
        case _:
            return {"type": one.type, **asdict(one)}


def watched_part(one: PartRecord) -> JsonObject:
    """Return a part for the page and for a saved state: also with what only a phone shows."""
    return part(one) | ({"sticker": True} if isinstance(one, MediaPartRecord) and one.is_sticker else {})


def media(one: MediaPartRecord) -> JsonObject:
    """Return a file, without the type of the part."""
    shape = asdict(one)
    del shape["is_sticker"]
    return shape


def _text(one: TextPartRecord) -> JsonObject:
    mentions = [{"handle": each.handle, "is_me": each.is_me, "range": list(each.range)} for each in one.mentions]
    return {
        "value": one.value,
        "text_decorations": one.text_decorations,
        "inline_stickers": [_inline_sticker(each) for each in one.inline_stickers] or None,
        "mention": mentions[0]["handle"] if mentions else None,
        "mention_range": mentions[0]["range"] if mentions else None,
        "mentions": mentions or None,
    }


def _inline_sticker(one: InlineStickerRecord) -> JsonObject:
    return asdict(one) | {"range": list(one.range)}


def plain(
    one: MessageEffect | ReplyReference | StickerImage | StickerPlacement | BackgroundRecord | None,
) -> JsonObject | None:
    """Return content whose fields are those of the API; None for None."""
    return None if one is None else asdict(one)


# --- reading -------------------------------------------------------------------------------------------------------


def read_part(item: Json, lines: Container[str]) -> PartRecord:
    """Return the part that `part` has shown, or that was written by hand.

    Args:
        lines: The lines of the account, for mentions without `is_me`.
    """
    kind = str(item["type"])
    if kind == TextPartRecord.type:
        return _read_text(item, lines)
    if kind in _READERS:
        return _READERS[kind](item)
    return UnknownPartRecord(kind, {name: value for name, value in item.items() if name not in {"type", "reactions"}})


def _read_text(item: Json, lines: Container[str]) -> TextPartRecord:
    value = str(item["value"])
    mentions: Sequence[Json] = item.get("mentions") or ()
    if not mentions and item.get("mention"):
        mentions = [{"handle": item["mention"], "range": item.get("mention_range")}]
    return TextPartRecord(
        value,
        text_decorations=item.get("text_decorations") or None,
        inline_stickers=tuple(_read_inline_sticker(one) for one in item.get("inline_stickers") or ()),
        mentions=tuple(_read_mention(one, value, lines) for one in mentions),
    )


def _read_inline_sticker(item: Json) -> InlineStickerRecord:
    media = _read_media({**item, "filename": item.get("file_name")})
    return InlineStickerRecord(range_of(item["range"]), media.id, media.url, media.filename, media.mime_type)


def _read_mention(item: Json, text: str, lines: Container[str]) -> MentionRecord:
    handle = str(item["handle"])
    where = range_of(item.get("range") or (0, utf16_length(text)))
    return MentionRecord(handle, bool(item.get("is_me", handle in lines)), where)


def _read_media(item: Json) -> MediaPartRecord:
    filename = str(item.get("filename") or "file")
    return MediaPartRecord(
        id=item.get("id") or new_id(),
        filename=filename,
        mime_type=item.get("mime_type") or mime_type_of(filename),
        size_bytes=int(item.get("size_bytes") or 0),
        url=str(item["url"]),
        is_sticker=bool(item.get("sticker")),
    )


def read_app_card(item: Json) -> AppCardPartRecord:
    """Return an app card from its JSON, which is the same in a request and in an answer."""
    return AppCardPartRecord(
        app=read_app(item["app"]),
        layout=read_layout(item["layout"]),
        url=item.get("url") or "",
        fallback_text=item.get("fallback_text"),
    )


def read_app(item: Json) -> AppIdentityRecord:
    """Return the app of a card from its JSON."""
    return AppIdentityRecord(**{field.name: item.get(field.name) for field in fields(AppIdentityRecord)})


def read_layout(item: Json) -> CardLayout:
    """Return the layout of a card from its JSON."""
    return CardLayout(**{field.name: item.get(field.name) for field in fields(CardLayout)})


def _read_app_clip(item: Json) -> AppClipPartRecord:
    return AppClipPartRecord(str(item["value"]), item.get("title"), item.get("description"), item.get("image_url"))


_READERS: Mapping[str, Callable[[Json], PartRecord]] = {
    "media": _read_media,
    "link": lambda item: LinkPartRecord(str(item["value"])),
    "imessage_app": read_app_card,
    "app_clip": _read_app_clip,
}


def read_effect(item: Json | None) -> MessageEffect | None:
    """Return an effect from its JSON; None for None."""
    return MessageEffect(item.get("type"), item.get("name")) if item else None


def read_reply(item: Json | None) -> ReplyReference | None:
    """Return the reference to the message that is answered; None for None."""
    return ReplyReference(str(item["message_id"]), int(item.get("part_index") or 0)) if item else None


def read_sticker(item: Json | None) -> StickerImage | None:
    """Return the image of a sticker; None for None."""
    if not item:
        return None
    name = str(item.get("file_name") or "file")
    size = {side: int(item[side]) for side in ("width", "height") if item.get(side)}
    return StickerImage(name, item.get("mime_type") or mime_type_of(name), str(item["url"]), **size)


def read_placement(item: Json | None) -> StickerPlacement | None:
    """Return the place of a sticker from its JSON, as it was saved; None for None."""
    if not item:
        return None
    return StickerPlacement(**{one.name: item[one.name] for one in fields(StickerPlacement) if one.name in item})


def read_background(item: Json | None) -> BackgroundRecord | None:
    """Return the background of a chat from its JSON, which is the same in a request; None for None."""
    return (
        BackgroundRecord(**{field.name: item.get(field.name) for field in fields(BackgroundRecord)}) if item else None
    )


# --- both ways -----------------------------------------------------------------------------------------------------


def range_of(pair: Sequence[int]) -> Range:
    """Return a range from its JSON, a list of start and end.

    Raises:
        ValueError: these are not two numbers.
    """
    start, end = pair
    return start, end


def mime_type_of(filename: str) -> str:
    """Return the type of a file, guessed from its name."""
    return content_type_of(filename) or mimetypes.guess_type(filename)[0] or "application/octet-stream"
