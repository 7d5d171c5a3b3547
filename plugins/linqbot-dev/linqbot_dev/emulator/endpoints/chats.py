"""Chats: creating, listing, reading, changing, leaving, marking as read, typing and sending; participants; backgrounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from linqbot.linq import rules
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest, page
from linqbot_dev.emulator.engine import chat_state, sending
from linqbot_dev.emulator.engine.sending import is_inferior, line_of_account, repeated, send_content
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import shapes
from linqbot_dev.emulator.model.answers import (
    EndpointResponse,
    JsonObject,
    accepted,
    check_rule,
    conflict,
    invalid,
    not_found,
)
from linqbot_dev.emulator.model.message_content import BackgroundRecord
from linqbot_dev.emulator.model.records import ChatRecord, Line, MessageRecord, normal

# --- chats -----------------------------------------------------------------------------------------------------------


def chats_create(world: World, request: ApiRequest) -> EndpointResponse:
    """Send the first message of a chat, or a message in the chat that these people have already."""
    asked = request.body["message"]
    message = repeated(world, asked.get("idempotency_key"))
    if message is None:
        message = _write_first(world, request.body, asked)
    chat = world.state.chats[message.chat_id]
    shape = shapes.chat_created(chat)
    del shape["created_at"], shape["updated_at"]
    return EndpointResponse(201, {"chat": shape | {"message": shapes.sent_message(message)}})


def _write_first(world: World, body: Mapping[str, Any], asked: Mapping[str, Any]) -> MessageRecord:
    line = line_of_account(world, body["from"])
    people = list(dict.fromkeys(normal(handle) for handle in body["to"]))
    if line.phone_number in people:
        raise invalid("A line cannot write to itself")
    chat = reusable(world, line, people)
    if chat is None:
        check_rule(rules.first_message(asked))
    return send_content(world, chat or (line, people), asked, override_optout=bool(body.get("override_optout")))


def reusable(world: World, line: Line, people: list[str]) -> ChatRecord | None:
    """Return the chat that is used instead of creating a new one; None if there is none (R54)."""
    found = world.state.chats_with(line.phone_number, people)
    return next((chat for chat in found if not chat.is_group or (chat.name is None and chat.reusable)), None)


def chats_list_chats(world: World, request: ApiRequest) -> JsonObject:
    line, person = request.query.get("from"), request.query.get("to")
    found = [
        chat
        for chat in world.state.chats.values()
        if (not line or chat.line == line) and (not person or chat.member(normal(person)) is not None)
    ]
    return page("chats", found, request, "chats", shapes.chat)


def chats_retrieve(world: World, request: ApiRequest) -> JsonObject:
    return shapes.chat(world.state.chat(request.path["chat_id"]))


def chats_update(world: World, request: ApiRequest) -> JsonObject:
    chat = present(world, request)
    if not chat.is_group:
        raise conflict("Only group chats can be changed")
    sending.check_line(world.line_of(chat))
    if "display_name" in request.body:
        chat_state.set_look(world, chat, chat.me, "name", request.body["display_name"])
    if "group_chat_icon" in request.body:
        chat_state.set_look(world, chat, chat.me, "icon", request.body["group_chat_icon"])
    return {"chat_id": chat.id, "status": "pending"}


def chats_leave_chat(world: World, request: ApiRequest) -> EndpointResponse:
    """Leave an iMessage group of at least four (R60)."""
    chat = present(world, request)
    if not chat.is_group or chat.service != "iMessage" or len(chat.active) < 4:
        raise conflict("Only an iMessage group of at least four can be left")
    sending.check_line(world.line_of(chat))
    chat_state.depart(world, chat, chat.me, by=chat.line)
    return accepted("Leave group chat queued")


def chats_mark_as_read(world: World, request: ApiRequest) -> None:
    chat, now = present(world, request), world.now()
    for message in reversed(chat.messages):
        if message.is_from_me:
            continue
        if message.status == "read":
            break
        message.status, message.read_at = "read", now
        world.show_message(message)


def chats_typing_start(world: World, request: ApiRequest) -> None:
    """Show typing dots (R63). Other services than iMessage accept the call and show none."""
    chat = writable(world, request)
    if chat.service == "iMessage":
        chat_state.set_typing(world, chat, chat.line, world.now() + chat_state.TYPING_S)


def chats_typing_stop(world: World, request: ApiRequest) -> None:
    chat = present(world, request)
    chat_state.set_typing(world, chat, chat.line, None)


def chats_messages_list(world: World, request: ApiRequest) -> JsonObject:
    chat = world.state.chat(request.path["chat_id"])
    return page("messages", chat.messages, request, f"messages:{chat.id}", shapes.message)


def chats_messages_send(world: World, request: ApiRequest) -> EndpointResponse:
    chat, asked = world.state.chat(request.path["chat_id"]), request.body["message"]
    message = repeated(world, asked.get("idempotency_key"))
    if message is None:
        message = send_content(world, chat, asked, override_optout=bool(request.body.get("override_optout")))
    return EndpointResponse(202, {"chat_id": message.chat_id, "message": shapes.sent_message(message)})


def writable(world: World, request: ApiRequest) -> ChatRecord:
    """Return the chat in the path, in which our line may do something now (R6, R13, R61)."""
    chat = world.state.chat(request.path["chat_id"])
    sending.check_able(world, chat)
    return chat


def present(world: World, request: ApiRequest) -> ChatRecord:
    """Return the chat in the path (R6, R61)."""
    chat = world.state.chat(request.path["chat_id"])
    sending.check_present(chat)
    return chat


# --- participants (R58, R59, R62) ------------------------------------------------------------------------------------


def chats_participants_add(world: World, request: ApiRequest) -> EndpointResponse:
    chat, handle = writable(world, request), normal(request.body["handle"])
    if not chat.is_group or len(chat.active) < 3:
        raise conflict("Participants can be added to groups of at least three")
    member = chat.member(handle)
    if member and member.status == "active":
        raise conflict("This handle is a participant already")
    if is_inferior(world.state.service_of(handle), chat.service):
        raise conflict("This handle does not support the group's service")
    chat_state.join(world, chat, handle, by=chat.line)
    return accepted("Participant addition queued")


def chats_participants_remove(world: World, request: ApiRequest) -> EndpointResponse:
    chat = writable(world, request)
    member = chat.member(normal(request.body["handle"]))
    if not chat.is_group or len(chat.active) < 4:
        raise conflict("Participants can be removed from groups of which at least three remain")
    if member is None or member.status != "active":
        raise not_found("participant")
    if member.is_me:
        raise conflict("Your own line leaves with POST /leave")
    chat_state.depart(world, chat, member, by=chat.line)
    return accepted("Participant removal queued")


# --- backgrounds: a colour, an animation, or a photo; only iMessage shows them (R66, R67) ----------------------------


def chats_background_set(world: World, request: ApiRequest) -> EndpointResponse:
    asked = {one.name: request.body.get(one.name) for one in fields(BackgroundRecord)}
    return _change_background(world, request, BackgroundRecord(**asked))


def chats_background_remove(world: World, request: ApiRequest) -> EndpointResponse:
    return _change_background(world, request, None)


def _change_background(world: World, request: ApiRequest, background: BackgroundRecord | None) -> EndpointResponse:
    chat = writable(world, request)
    if chat.service == "iMessage":
        chat_state.set_look(world, chat, chat.me, "background", background)
    return EndpointResponse(202)
