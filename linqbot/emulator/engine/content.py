"""Conversion of the content of a send request into the parts of a message, as the API shows them.

`linqbot/rules/` has checked the content before. This module checks only what needs the state: attachments, the message
that is answered, the members of the chat.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from linqbot.emulator.engine import experience_cards
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import shapes
from linqbot.emulator.model.answers import ApiError, conflict, invalid, not_found
from linqbot.emulator.model.records import AttachmentRecord, ChatRecord, new_id
from linqbot.types.message import utf16_length

# Linq delivers some types as others.
DELIVERED_AS = {
    "audio/mp3": "audio/mpeg",
    "audio/mp4": "audio/x-m4a",
    "audio/aiff": "audio/x-aiff",
    "audio/x-caf": "audio/mp4",
    "image/tiff": "image/jpeg",
}

IMESSAGE_ONLY = frozenset({"imessage_app", "app_clip"})


def parts(world: World, content: Mapping[str, Any], *, is_group: bool, service: str) -> list[dict[str, Any]]:
    """Return the parts of a message to be sent.

    Raises:
        ApiError: R30, R40-R42, R49.
    """
    if content.get("experience") is not None:
        if is_group:
            raise invalid("An experience needs exactly one recipient")
        asked = [experience_cards.card(content["experience"])]
    else:
        asked = list(content["parts"])
    if service != "iMessage" and (alone := IMESSAGE_ONLY.intersection(part["type"] for part in asked)):
        app = "imessage_app" in alone
        raise ApiError(409 if app else 400, 2018 if app else 2028, "This part needs iMessage")
    return [_BY_TYPE[part["type"]](world, part, is_group) for part in asked]


def reply_to(world: World, chat: ChatRecord | None, asked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the reference to the message that is answered; None if none is (R34).

    Raises:
        ApiError: 404, the message does not exist, or not in this chat.
    """
    if asked is None:
        return None
    message = world.state.messages.get(asked["message_id"])
    if message is None or chat is None or message.chat_id != chat.id:
        raise not_found("message")
    return {"message_id": message.id, "part_index": asked.get("part_index") or 0}


def effect(asked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an effect as the API shows it; None for None."""
    return {"type": asked.get("type"), "name": asked.get("name")} if asked else None


def _text(world: World, part: Mapping[str, Any], is_group: bool) -> dict[str, Any]:
    value, mention = part["value"], part.get("mention")
    if mention and not is_group:
        raise conflict("A mention needs a group chat", 2023)
    span = part.get("mention_range") or [0, utf16_length(value)]
    stickers = [_inline_sticker(world, sticker) for sticker in part.get("inline_stickers") or ()]
    return {
        "type": "text",
        "value": value,
        "text_decorations": part.get("text_decorations") or None,
        "inline_stickers": stickers or None,
        "mention": mention,
        "mention_range": span if mention else None,
        "mentions": [{"handle": mention, "is_me": mention in world.state.lines, "range": span}] if mention else None,
    }


def _inline_sticker(world: World, sticker: Mapping[str, Any]) -> dict[str, Any]:
    media = media_part(world, sticker)
    return {
        "range": list(sticker["range"]),
        "id": media["id"],
        "url": media["url"],
        "file_name": media["filename"],
        "mime_type": media["mime_type"],
    }


def _media(world: World, part: Mapping[str, Any], _: bool) -> dict[str, Any]:
    return media_part(world, part)


def media_part(world: World, part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a media part by `attachment_id`, by the URL of one of the emulator's attachments, or by another URL.

    Another URL is not fetched, because the emulator connects to no other machine. It is passed on, with the size 0.

    Raises:
        ApiError: 404, there is no such attachment; 400, the URL cannot be parsed.
    """
    if part.get("attachment_id"):
        return of_attachment(world, world.state.attachment(part["attachment_id"]))
    url = part["url"]
    if url.startswith(f"{world.public_url}/attachments/"):
        attachment_id = url.removeprefix(f"{world.public_url}/attachments/").partition("/")[0]
        return of_attachment(world, world.state.attachment(attachment_id))
    try:
        filename = unquote(urlsplit(url).path.rpartition("/")[2]) or "file"
    except ValueError as error:
        raise invalid("url is not an address") from error
    return {
        "type": "media",
        "id": new_id(),
        "filename": filename,
        "mime_type": mimetypes.guess_type(filename)[0] or "application/octet-stream",
        "size_bytes": 0,
        "url": url,
    }


def of_attachment(world: World, attachment: AttachmentRecord) -> dict[str, Any]:
    """Return a media part that shows an attachment."""
    return {
        "type": "media",
        "id": attachment.id,
        "filename": attachment.filename,
        "mime_type": DELIVERED_AS.get(attachment.content_type, attachment.content_type),
        "size_bytes": attachment.size_bytes,
        "url": shapes.attachment_url(world.public_url, attachment),
    }


def _link(_: World, part: Mapping[str, Any], __: bool) -> dict[str, Any]:
    return {"type": "link", "value": part["value"]}


def app_card(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return an iMessage app part as the API shows it."""
    layout = part["layout"]
    return {
        "type": "imessage_app",
        "app": {key: part["app"].get(key) for key in ("team_id", "bundle_id", "name", "app_store_id")},
        "layout": {key: layout.get(key) for key in shapes.LAYOUT},
        "url": part.get("url") or "",
        "fallback_text": part.get("fallback_text"),
    }


def _app(_: World, part: Mapping[str, Any], __: bool) -> dict[str, Any]:
    return app_card(part)


def _app_clip(_: World, part: Mapping[str, Any], __: bool) -> dict[str, Any]:
    return {
        "type": "app_clip",
        "value": part["value"],
        "title": part.get("caption"),
        "description": None,
        "image_url": None,
    }


_BY_TYPE: Mapping[str, Callable[[World, Mapping[str, Any], bool], dict[str, Any]]] = {
    "text": _text,
    "media": _media,
    "link": _link,
    "imessage_app": _app,
    "app_clip": _app_clip,
}
