"""Reactions: tapbacks, of which each person has at most one per part, and stickers, which stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from linqbot.linq.types.message import Sticker
from linqbot_dev.emulator.endpoints import attachments
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.engine import content, sending
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import payloads
from linqbot_dev.emulator.model.answers import EndpointResponse, accepted, existing, invalid, trace_id
from linqbot_dev.emulator.model.documents import new_id
from linqbot_dev.emulator.model.message_content import StickerPlacement
from linqbot_dev.emulator.model.records import AttachmentRecord, ChatRecord, Member, MessageRecord, ReactionRecord


def messages_add_reaction(world: World, request: ApiRequest) -> EndpointResponse:
    body, message = request.body, world.state.message(request.path["message_id"])
    chat = world.state.chats[message.chat_id]
    sending.check_able(world, chat)
    if body["type"] == "sticker":
        if chat.service != "iMessage":
            raise invalid("A sticker needs an iMessage chat")
        content.check_hosted(world, body, code=1005)
    change(world, chat, message, chat.me, body)
    return accepted("Reaction queued")


def change(world: World, chat: ChatRecord, message: MessageRecord, by: Member, asked: Mapping[str, Any]) -> None:
    """Add or remove a reaction. Adding an existing one, or removing a missing one, changes nothing and emits no event.

    A type that is not known is a tapback, perhaps with an image. An operation that is not known changes nothing.
    """
    index = asked.get("part_index") or 0
    if index >= (1 if message.poll else len(message.parts)):
        raise invalid("There is no part at part_index")
    kind, emoji = asked["type"], asked.get("custom_emoji") if asked["type"] == "custom" else None
    mine = [one for one in message.reactions if one.by.handle == by.handle and one.part_index == index]
    tapback = next((one for one in mine if one.type != "sticker"), None)
    same = tapback is not None and tapback.type == kind and (emoji is None or tapback.custom_emoji == emoji)
    if asked["operation"] == "remove":
        if tapback and same:
            _remove(world, chat, message, tapback)
    elif asked["operation"] != "add":
        return
    elif kind == "sticker":
        reaction = ReactionRecord(new_id(), kind, by, index, world.now(), sticker=_image(world, asked))
        usual = StickerPlacement(scale=0.5 if asked.get("emoji") else 1.0)
        reaction.placement = _placed(asked.get("placement"), usual)
        _add(world, chat, message, reaction)
    elif not same:
        if tapback:
            _remove(world, chat, message, tapback)
        image = _image(world, asked) if any(asked.get(name) for name in ("emoji", "url", "attachment_id")) else None
        reaction = ReactionRecord(new_id(), kind, by, index, world.now(), custom_emoji=emoji, sticker=image)
        _add(world, chat, message, reaction)


def _add(world: World, chat: ChatRecord, message: MessageRecord, reaction: ReactionRecord) -> None:
    message.reactions.append(reaction)
    event_type = "poll.reaction.added" if message.poll else "reaction.added"
    world.emit(event_type, payloads.reaction(message, reaction, reaction.at), chat)
    world.show_message(message)


def _remove(world: World, chat: ChatRecord, message: MessageRecord, reaction: ReactionRecord) -> None:
    message.reactions.remove(reaction)
    now = world.now()
    if not message.poll:  # Linq has no event for a reaction taken off a poll.
        world.emit("reaction.removed", payloads.reaction(message, reaction, now), chat)
    world.show_message(message)


def _image(world: World, body: Mapping[str, Any]) -> Sticker:
    """Return the image of a sticker: an attachment, a URL, or an emoji drawn as a picture (R81)."""
    if body.get("emoji"):
        media = content.of_attachment(world, _drawn(world, body["emoji"]))
    else:
        attachment = content.attachment_of(world, body)
        if attachment is not None and attachment.is_awaited:
            raise invalid("The image of a sticker must be uploaded first")
        media = content.media_part(world, body)
    return Sticker(url=media.url, file_name=media.filename, mime_type=media.mime_type, width=160, height=160)


def _drawn(world: World, emoji: str) -> AttachmentRecord:
    escaped = emoji.replace("&", "&amp;").replace("<", "&lt;")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="160">'
        f'<text x="80" y="125" font-size="125" text-anchor="middle">{escaped}</text></svg>'
    ).encode("utf-8", "replace")
    return attachments.add(world, "sticker.svg", "image/svg+xml", svg)


def _placed(asked: Mapping[str, Any] | None, before: StickerPlacement) -> StickerPlacement:
    """Return the placement of a sticker: what is left out stays. A size out of range is clamped, not refused (R83)."""
    given = {name: value for name, value in (asked or {}).items() if name in _PLACES and value is not None}
    if "scale" in given:
        given["scale"] = min(max(given["scale"], 0.05), 2.5)
    return replace(before, **given)


_PLACES = frozenset(each.name for each in fields(StickerPlacement))


def messages_update_sticker_placement(world: World, request: ApiRequest) -> EndpointResponse:
    message = world.state.message(request.path["message_id"])
    sending.check_present(world.state.chats[message.chat_id])
    reaction = existing(
        next((one for one in message.reactions if one.id == request.path["reaction_id"]), None), "reaction"
    )
    if reaction.type != "sticker":
        raise invalid("Only a sticker can be placed")
    reaction.placement = _placed(request.body["placement"], reaction.placement or StickerPlacement())
    world.show_message(message)
    return EndpointResponse(202, {"success": True, "status": "accepted", "trace_id": trace_id()})
