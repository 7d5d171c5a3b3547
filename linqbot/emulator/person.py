"""What the person with the phone does: writes, reacts, reads, types, edits, pays, comes and goes."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

from linqbot.emulator.endpoints import attachments, contact_cards, messages, reactions
from linqbot.emulator.endpoints.chats import locations, polls
from linqbot.emulator.endpoints.payments import payment_requests, payments
from linqbot.emulator.engine import chat_state, content, delivery_status, send_policy
from linqbot.emulator.engine.sending import line_of_account
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads
from linqbot.emulator.model.answers import conflict, invalid, not_found
from linqbot.emulator.model.records import ChatRecord, Line, Member, MessageRecord
from linqbot.types.message import utf16_length


def write(
    world: World,
    handle: str,
    to: str,
    parts: Sequence[Mapping[str, Any]],
    *,
    chat_id: str | None = None,
    group: Sequence[str] = (),
    reply_to: Mapping[str, Any] | None = None,
    effect: Mapping[str, Any] | None = None,
    service: str | None = None,
    sent_at: float | None = None,
    reconciled_at: float | None = None,
) -> MessageRecord | None:
    """A message from a person to our line.

    The chat is `chat_id`, or the one our line has with exactly these people, or a new one. What a blocked handle
    writes arrives nowhere: None.
    """
    line = line_of_account(world, to)
    if handle in world.state.blocked:
        return None
    shown = [_part(world, part) for part in parts]
    if service:
        world.state.services[handle] = service
    if chat_id is None:
        chat = _room(world, line, [handle, *group], service or world.state.service_of(handle))
    else:
        chat = _own_chat(world, line, chat_id)
    sender = _inside(chat, handle)
    answered = content.reply_to(world, chat, reply_to)
    if service:
        chat.service = sender.service = service
    if handle in chat.typing:
        type_(world, chat, handle, is_typing=False)
    message = chat_state.take_in(
        world,
        chat,
        sender,
        shown,
        effect=content.effect(effect),
        reply_to=answered,
        sent_at=sent_at,
        reconciled_at=reconciled_at,
    )
    texts = [part["value"] for part in shown if part["type"] == "text"]
    send_policy.heard(world, chat, handle, texts[0] if len(shown) == len(texts) == 1 else "")
    world.emit_message("message.received", chat, message)
    world.show_chat(chat)
    world.show_message(message)
    return message


def _own_chat(world: World, line: Line, chat_id: str) -> ChatRecord:
    chat = world.state.chat(chat_id)
    send_policy.check_present(chat)
    if chat.line != line.phone_number:
        raise conflict("This chat belongs to another line")
    return chat


def _room(world: World, line: Line, people: Sequence[str], service: str) -> ChatRecord:
    people = list(dict.fromkeys(people))
    if line.phone_number in people:
        raise invalid("A line cannot write to itself")
    found = next(world.state.chats_with(line.phone_number, people), None)
    return found or chat_state.open_chat(world, line, people, service)


def _inside(chat: ChatRecord, handle: str) -> Member:
    member = chat.member(handle)
    if member is None or member.is_me or member.status != "active":
        raise not_found("participant")
    return member


def _part(world: World, part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return _text(world, part)
    if kind == "media":
        return _media(world, part)
    if kind == "link":
        return {"type": "link", "value": part["value"]}
    raise invalid("A person sends parts of type text, media or link")


def _text(world: World, part: Mapping[str, Any]) -> dict[str, Any]:
    value, mentions = part["value"], [dict(one) for one in part.get("mentions") or ()]
    if part.get("mention"):
        mentions.insert(0, {"handle": part["mention"], "range": part.get("mention_range")})
    shown = [
        {
            "handle": one["handle"],
            "is_me": one["handle"] in world.state.lines,
            "range": one.get("range") or [0, utf16_length(value)],
        }
        for one in mentions
    ]
    return {
        "type": "text",
        "value": value,
        "text_decorations": part.get("text_decorations") or None,
        "inline_stickers": None,
        "mention": shown[0]["handle"] if shown else None,
        "mention_range": shown[0]["range"] if shown else None,
        "mentions": shown or None,
    }


def _media(world: World, part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("data_base64") is None:
        return content.media_part(world, part)
    try:
        data = base64.b64decode(part["data_base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("data_base64 is not base64") from error
    filename = part.get("filename") or "file"
    kind = part.get("mime_type") or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    return content.of_attachment(world, attachments.add(world, filename, kind, data))


def react(world: World, handle: str, message_id: str, asked: Mapping[str, Any]) -> None:
    message = world.state.message(message_id)
    chat = world.state.chats[message.chat_id]
    image = reactions.sticker(world, asked) if asked["type"] == "sticker" else None
    reactions.change(world, chat, message, _inside(chat, handle), asked, image=image)


def read(world: World, handle: str, chat: ChatRecord, up_to: str | None = None) -> None:
    """Read our messages, up to one or all. Only direct chats over iMessage or RCS tell of it."""
    _inside(chat, handle)
    last = world.state.message(up_to).seq if up_to else None
    if chat.is_group:
        return
    for message in chat.messages:
        if message.is_from_me and message.service != "SMS" and (last is None or message.seq <= last):
            delivery_status.reach(world, chat, message, "read", world.now())


def type_(world: World, chat: ChatRecord, handle: str, *, is_typing: bool) -> None:
    """Begin or stop typing. SMS shows nothing."""
    member, until = _inside(chat, handle), world.now() + chat_state.TYPING_S if is_typing else None
    if chat.service == "SMS":
        return
    if chat_state.still_typing(world, chat, handle, until):
        state = "started" if is_typing else "stopped"
        world.emit(f"chat.typing_indicator.{state}", lambda: payloads.typing(chat, member), chat)


def make_poll(world: World, handle: str, chat: ChatRecord, options: Sequence[str]) -> MessageRecord:
    send_policy.check_present(chat)
    if chat.service != "iMessage":
        raise conflict("Polls need an iMessage chat")
    return polls.receive(world, chat, _inside(chat, handle), options)


def add_options(world: World, handle: str, message_id: str, options: Sequence[str]) -> None:
    message, chat = _poll(world, message_id)
    polls.extend(world, chat, message, _inside(chat, handle), options)


def vote(world: World, handle: str, message_id: str, option_id: str, *, is_on: bool) -> None:
    message, chat = _poll(world, message_id)
    polls.toggle(world, chat, message, _inside(chat, handle), option_id, is_on=is_on)


def _poll(world: World, message_id: str) -> tuple[MessageRecord, ChatRecord]:
    message = world.state.message(message_id)
    if message.poll is None:
        raise not_found("message")
    return message, world.state.chats[message.chat_id]


def share_location(
    world: World, handle: str, chat: ChatRecord, latitude: float, longitude: float, *, for_s: float | None
) -> None:
    send_policy.check_present(chat)
    locations.begin(world, chat, _inside(chat, handle).handle, latitude, longitude, for_s=for_s)


def stop_sharing_location(world: World, handle: str, chat: ChatRecord) -> None:
    locations.end(world, chat, _inside(chat, handle).handle)


def share_card(world: World, handle: str, to: str, card: tuple[str, str, str | None]) -> None:
    contact_cards.receive(world, handle, line_of_account(world, to), card)


def pay(world: World, payment_id: str) -> None:
    """Pay a payment request; approve a payment."""
    if payment_id in world.state.payments:
        payments.approve(world, payments.found(world, payment_id))
    else:
        payment_requests.pay(world, payment_requests.found(world, payment_id))


def decline(world: World, payment_id: str) -> None:
    if payment_id in world.state.payments:
        payments.decline(world, payments.found(world, payment_id))
    else:
        payment_requests.decline(world, payment_requests.found(world, payment_id))


def edit(world: World, handle: str, message_id: str, text: str, part_index: int = 0) -> None:
    message = world.state.message(message_id)
    if message.sender.handle != handle or message.is_from_me:
        raise conflict("Only the sender can edit a message")
    messages.edit(world, world.state.chats[message.chat_id], message, part_index, text)


def leave(world: World, handle: str, chat: ChatRecord, other: str | None = None) -> None:
    """Leave the group; or remove somebody else from it, who may be our line."""
    _group(chat)
    member = _inside(chat, handle)
    if other is None or other == handle:
        chat_state.depart(world, chat, member, "left")
        return
    removed = chat.member(other)
    if removed is None or removed.status != "active":
        raise not_found("participant")
    chat_state.depart(world, chat, removed, "removed")


def join(world: World, handle: str, chat: ChatRecord, other: str | None = None) -> None:
    """Bring `other` into the group; without one, `handle` comes (back) themselves."""
    _group(chat)
    newcomer = other or handle
    member = chat.member(newcomer)
    if member is not None and member.status == "active":
        raise conflict("This handle is a participant already")
    chat_state.join(world, chat, newcomer)


def _group(chat: ChatRecord) -> None:
    if not chat.is_group:
        raise conflict("Only groups can be joined and left")
