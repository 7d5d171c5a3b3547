"""Conversion of the content of a send request into the parts of a message.

`linqbot/linq/rules/` has checked the content before. This module checks only what needs the state: attachments, the message
that is answered, the members of the chat. `CATALOGUE` has Linq's experiences, such as `link/open`, and the app card
that each is sent as.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from linqbot.linq.rules.values import is_https
from linqbot.linq.types.message import AppLayout, Mention, ReplyTo, utf16_length
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, shapes
from linqbot_dev.emulator.model.answers import ApiError, JsonObject, conflict, invalid, not_found
from linqbot_dev.emulator.model.documents import new_id
from linqbot_dev.emulator.model.message_content import (
    AppCardPartRecord,
    AppClipPartRecord,
    AppIdentityRecord,
    InlineStickerRecord,
    LinkPartRecord,
    MediaPartRecord,
    PartRecord,
    TextPartRecord,
    mime_type_of,
    other_part,
)
from linqbot_dev.emulator.model.records import AttachmentRecord, ChatRecord

# Linq delivers some types as others.
DELIVERED_AS = {
    "audio/mp3": "audio/mpeg",
    "audio/mp4": "audio/x-m4a",
    "audio/aiff": "audio/x-aiff",
    "audio/x-caf": "audio/mp4",
    "image/tiff": "image/jpeg",
}

IMESSAGE_ONLY = frozenset({"imessage_app", "app_clip"})


def parts(world: World, content: Mapping[str, Any], *, is_group: bool, service: str) -> list[PartRecord]:
    """Return the parts of a message to be sent (R30, R40-R42, R49)."""
    if content.get("experience") is not None:
        card = experience_card(content["experience"], is_group=is_group)
        _check_service([card.type], service)
        return [card]
    asked = content["parts"]
    _check_service([part["type"] for part in asked], service)
    found = [_part(world, part, is_group=is_group) for part in asked]
    # R31: only iMessage has stickers.
    return found if service == "iMessage" else [_no_sticker(part) for part in found]


def _part(world: World, part: Mapping[str, Any], *, is_group: bool) -> PartRecord:
    match part["type"]:
        case "text":
            return _text(world, part, is_group=is_group)
        case "media":
            check_own(part)
            return replace(media_part(world, part), is_sticker=bool(part.get("sticker")))
        case "link":
            return LinkPartRecord(part["value"])
        case "imessage_app":
            return documents.read(AppCardPartRecord, part)
        case "app_clip":
            return AppClipPartRecord(part["value"], title=part.get("caption"))
        case _:
            return other_part(part)


def experience_card(experience: Mapping[str, Any], *, is_group: bool) -> AppCardPartRecord:
    """Return the app card that an experience is sent as (R42)."""
    if is_group:
        raise invalid("An experience needs exactly one recipient")
    name, params = experience["name"], experience.get("params") or {}
    actions = (action for one in CATALOGUE if one["experience"] == name for action in one["actions"])
    action = next((action for action in actions if action["name"] == experience["action"]), None)
    if action is None:
        raise invalid("There is no such experience or action; see GET /v3/experiences")
    if unknown := set(params) - set(action["fields"]):
        raise invalid(f"Unknown field of the experience: {min(unknown)}")
    for key, field in action["fields"].items():
        _check(key, field, params.get(key))
    return AppCardPartRecord(
        app=AppIdentityRecord(team_id="LINQ000000", bundle_id=f"com.linqapp.{name}", name=name),
        layout=AppLayout(caption=params.get("title") or action["summary"], subcaption=params.get("note")),
        url=params.get("checkout_url") or params.get("url") or "",
    )


def _no_sticker(part: PartRecord) -> PartRecord:
    return replace(part, is_sticker=False) if isinstance(part, MediaPartRecord) and part.is_sticker else part


def _check_service(types: Iterable[str], service: str) -> None:
    if service != "iMessage" and (alone := IMESSAGE_ONLY.intersection(types)):
        app = "imessage_app" in alone
        raise ApiError(409 if app else 400, 2018 if app else 2028, "This part needs iMessage")


def reply_to(world: World, chat: ChatRecord | None, asked: Mapping[str, Any] | None) -> ReplyTo | None:
    """Return the reference to the message that is answered; None if none is (R34)."""
    if asked is None:
        return None
    message = world.state.messages.get(asked["message_id"])
    if message is None or chat is None or message.chat_id != chat.id:
        raise not_found("message")
    return ReplyTo(message_id=message.id, part_index=asked.get("part_index") or 0)


def _text(world: World, part: Mapping[str, Any], *, is_group: bool) -> TextPartRecord:
    value, mention = part["value"], part.get("mention")
    if mention and not is_group:
        raise conflict("A mention needs a group chat", 2023)
    return TextPartRecord(
        value,
        text_decorations=part.get("text_decorations") or None,
        inline_stickers=tuple(_inline_sticker(world, sticker) for sticker in part.get("inline_stickers") or ()),
        mentions=(mention_of(world, mention, part.get("mention_range"), value),) if mention else (),
    )


def mention_of(world: World, handle: str, where: Sequence[int] | None, text: str) -> Mention:
    """Return the mention of a handle in a text; `where` None is the whole text."""
    start, end = where or (0, utf16_length(text))
    return Mention(handle=handle, is_me=handle in world.state.lines, range=(start, end))


def check_hosted(world: World, image: Mapping[str, Any], *, code: int) -> None:
    """Check R46 and R81: the `url` of a sticker, if it has one, is the `download_url` of an attachment."""
    check_own(image)
    if image.get("url") is not None and attachment_of(world, image) is None:
        raise ApiError(400, code, "The url of a sticker must be the download_url of an attachment; upload the image")


def check_own(file: Mapping[str, Any]) -> None:
    """Check R30: a `url` on Linq's own servers is of another account, because this one's files are in the emulator."""
    if (file.get("url") or "").startswith("https://cdn.linqapp.com/attachments/"):
        raise not_found("attachment")


def _inline_sticker(world: World, sticker: Mapping[str, Any]) -> InlineStickerRecord:
    check_hosted(world, sticker, code=1004)
    media, (start, end) = media_part(world, sticker), sticker["range"]
    return InlineStickerRecord((start, end), media.id, media.url, media.filename, media.mime_type)


def media_part(world: World, part: Mapping[str, Any]) -> MediaPartRecord:
    """Return a media part by `attachment_id`, by the URL of an attachment, or by another URL.

    Another URL is not fetched, because the emulator connects to no other machine. It is passed on, with the size 0.
    """
    own = attachment_of(world, part)
    if own is not None:
        return of_attachment(world, own)
    url = part["url"]
    try:
        filename = unquote(urlsplit(url).path.rpartition("/")[2]) or "file"
    except ValueError as error:
        raise invalid("url is not an address") from error
    return MediaPartRecord(new_id(), filename, mime_type_of(filename), 0, url)


def attachment_of(world: World, part: Mapping[str, Any]) -> AttachmentRecord | None:
    """Return the attachment that `attachment_id` or `url` names; None if the URL is at another host."""
    if part.get("attachment_id"):
        return world.state.attachment(part["attachment_id"])
    ours, url = f"{world.public_url}/attachments/", part["url"]
    return world.state.attachment(url.removeprefix(ours).partition("/")[0]) if url.startswith(ours) else None


def of_attachment(world: World, attachment: AttachmentRecord) -> MediaPartRecord:
    return MediaPartRecord(
        id=attachment.id,
        filename=attachment.filename,
        mime_type=DELIVERED_AS.get(attachment.content_type, attachment.content_type),
        size_bytes=attachment.size_bytes,
        url=shapes.attachment_url(world.public_url, attachment),
    )


def _field(kind: str, *, required: bool = False, most: int | None = None) -> JsonObject:
    return {"type": kind, "required": required, "max": most}


def _experience(name: str, display_name: str, *actions: JsonObject) -> JsonObject:
    return {"experience": name, "display_name": display_name, "actions": list(actions)}


def _action(name: str, summary: str, **fields: JsonObject) -> JsonObject:
    return {"name": name, "summary": summary, "fields": fields}


_PAGE = _field("url", required=True)
_TITLE, _NOTE = _field("string", most=100), _field("string", most=200)
_REQUEST = _action("request_payment", "Ask for a payment", checkout_url=_PAGE, title=_TITLE, note=_NOTE)
_ATTACH = _action("attach_card", "Ask for a card", url=_field("url"))
_APPROVE = _action("approve_card", "Ask for approval", url=_field("url"))
CATALOGUE = (
    _experience("agentpay", "Payment", _REQUEST),
    _experience("agentcard", "Card", _ATTACH, _APPROVE),
    _experience("link", "Link", _action("open", "Open a page", url=_PAGE)),
)
"""Linq's ready-made cards, as the API shows them: their actions and the parameters of each."""


def _check(key: str, field: JsonObject, value: Any) -> None:
    if value is None:
        if field["required"]:
            raise invalid(f"The experience needs {key}")
        return
    if not isinstance(value, str):
        raise invalid(f"{key} has the wrong type")
    if field["type"] == "url" and (not is_https(value) or value[:5].lower() != "https"):
        raise invalid(f"{key} must be an absolute https URL")
    if field["max"] is not None and len(value) > field["max"]:
        raise invalid(f"{key} is longer than {field['max']}")
