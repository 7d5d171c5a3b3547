"""Messages: sending to people without naming a line, reading, editing, deleting, threads, app cards, voice memos, experiences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from linqbot.linq.types.message import AppLayout
from linqbot_dev.emulator.endpoints import chats
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest, page
from linqbot_dev.emulator.engine import content
from linqbot_dev.emulator.engine.content import CATALOGUE
from linqbot_dev.emulator.engine.sending import check_able, check_present, check_send, repeated, send, send_content
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, payloads, shapes
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, JsonObject, conflict, existing, invalid
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.message_content import AppCardPartRecord, MediaPartRecord, TextPartRecord
from linqbot_dev.emulator.model.records import ChatRecord, EarlierText, Line, MessageRecord, normal

# --- messages --------------------------------------------------------------------------------------------------------


MOST_EDITS = 5
EDIT_WINDOW_S = 900.0


def messages_create(world: World, request: ApiRequest) -> EndpointResponse:
    """Send to the chat with exactly these people on a line that can send; else to a new chat on the best line (R56)."""
    asked = dict(request.body["message"])
    asked["idempotency_key"] = request.headers.get("idempotency-key") or asked.get("idempotency_key")
    message = repeated(world, asked["idempotency_key"])
    if message is None:
        message, reason, previous = _choose_and_send(world, request.body, asked)
    else:
        reason, previous = _REUSED, None
    chat = world.state.chats[message.chat_id]
    answer = {
        "chat_id": chat.id,
        "created_new_chat": reason != _REUSED,
        "from": chat.line,
        "from_selection": {"reason": reason, "reused_existing_chat": reason == _REUSED},
        "handles": [documents.shown(member) for member in chat.members],
        "is_group": chat.is_group,
        "message": shapes.sent_message(message),
        "service": chat.service,
    }
    if previous:
        answer["previous_chat_id"] = previous.id
    return EndpointResponse(202, answer)


_REUSED = "reused_active_chat"


def _choose_and_send(
    world: World, body: Mapping[str, Any], asked: Mapping[str, Any]
) -> tuple[MessageRecord, str, ChatRecord | None]:
    """Return the message, the reason for the choice of its line, and the chat on a flagged line that a new chat replaces."""
    people = list(dict.fromkeys(normal(handle) for handle in body["to"]))
    override, excluded = bool(body.get("override_optout")), set(body.get("exclude_from") or ())
    known = [chat for line in world.state.lines for chat in world.state.chats_with(line, people)]
    known.sort(key=lambda chat: (chat.line not in excluded, chat.updated_at, chat.seq), reverse=True)
    usable = next((chat for chat in known if world.line_of(chat).can_send), None)
    if usable:
        sent = send_content(world, usable, asked, override_optout=override)
        return sent, _REUSED, None
    line = best_line(world, excluded)
    if known and (continuation := body.get("continuation_message")):
        part = {"type": "text", "value": continuation["text"]}
        asked = {"parts": [part], "idempotency_key": asked["idempotency_key"]}
    sent = send_content(world, (line, people), asked, override_optout=override)
    return (sent, "failover_flagged", known[0]) if known else (sent, "new_best_number", None)


def best_line(world: World, excluded: set[str], line_type: str | None = None) -> Line:
    """Return the line that can send, has the best reputation, and was used least recently."""
    able = [line for line in world.state.lines.values() if line.can_send and line_type in {None, line.line_type}]
    if not able and line_type is not None:
        raise ApiError(503, 2015, "No line of this type is available")
    if not able:
        raise conflict("No line of your account can send at present", 2015)
    left = [line for line in able if line.phone_number not in excluded]
    if not left:
        raise invalid("exclude_from excludes every line that is available")
    return min(left, key=lambda line: (_REPUTATIONS.get(line.reputation, 0), line.used_at))


_REPUTATIONS = {"HEALTHY": 0, "AT_RISK": 1, "CRITICAL": 2}


def messages_retrieve(world: World, request: ApiRequest) -> JsonObject:
    return shapes.message(world.state.message(request.path["message_id"]))


def messages_update(world: World, request: ApiRequest) -> JsonObject:
    """Edit a text of our own, at most five times and within a quarter of an hour (R77)."""
    message = world.state.message(request.path["message_id"])
    chat, now = world.state.chats[message.chat_id], world.now()
    index = request.body.get("part_index") or 0
    check_able(world, chat)
    if not message.is_from_me:
        raise conflict("Only your own messages can be edited", 1005)
    if message.edits >= MOST_EDITS:
        raise conflict("A message can be edited five times", 1005)
    if now > (message.sent_at or message.created_at) + EDIT_WINDOW_S:
        raise conflict("A message can be edited for fifteen minutes", 1005)
    edit(world, chat, message, index, request.body["text"])
    return shapes.message(message)


def edit(world: World, chat: ChatRecord, message: MessageRecord, index: int, text: str) -> None:
    part = message.parts[index] if index < len(message.parts) else None
    if not isinstance(part, TextPartRecord):
        raise invalid("There is no text part at part_index")
    now = world.now()
    message.earlier.append(EarlierText(index, part.value, now))
    message.parts[index] = TextPartRecord(text)
    message.edits += 1
    # A clock that stands still must not hide the edit: clients compare updated_at with created_at.
    message.updated_at = max(now, message.updated_at + 0.001)
    world.emit("message.edited", payloads.edited(chat, message, index, now), chat, versions=(payloads.CURRENT,))
    world.show_message(message)


def messages_delete(world: World, request: ApiRequest) -> None:
    """Delete a message from the API (R78). The phones keep it."""
    world.delete(world.state.message(request.path["message_id"]))


def messages_list_messages_thread(world: World, request: ApiRequest) -> JsonObject:
    """List the first message of a thread and all replies, by default oldest first (R79)."""
    order = request.query.get("order") or "asc"
    message = world.state.message(request.path["message_id"])
    root = _root(world, message)
    members = [one for one in world.state.chats[message.chat_id].messages if _root(world, one) == root]
    scope = f"thread:{root}:{order}"
    return page("messages", members, request, scope, shapes.message, newest_first=order == "desc")


def _root(world: World, message: MessageRecord) -> str:
    while message.reply_to:
        above = world.state.messages.get(message.reply_to.message_id)
        if above is None:
            return message.reply_to.message_id
        message = above
    return message.id


def messages_update_app_card(world: World, request: ApiRequest) -> EndpointResponse:
    """Replace an app card of our own by a new message with the new look, and the same app (R85)."""
    body, old = request.body, world.state.message(request.path["message_id"])
    chat = world.state.chats[old.chat_id]
    check_present(chat)
    card = old.parts[0] if len(old.parts) == 1 else None
    if not old.is_from_me or not isinstance(card, AppCardPartRecord):
        raise invalid("Only an app card of your own can be updated")
    if old.status == "pending":
        raise ApiError(409, 1005, "The app card is not sent yet; try again after message.sent")
    url = body.get("url") or card.url
    if body.get("experience"):
        url = content.experience_card(body["experience"], is_group=chat.is_group).url
    check_send(world, world.line_of(chat), chat.people, override_optout=False)
    part = AppCardPartRecord(
        app=card.app,
        layout=documents.read(AppLayout, body["layout"]),
        url=url,
        fallback_text=body.get("fallback_text"),
    )
    message = send(world, chat, {}, parts=[part])
    return EndpointResponse(202, {"chat_id": chat.id, "message": shapes.sent_message(message)})


# --- voice memos: audio that plays in its bubble (R68) ---------------------------------------------------------------


AUDIO = frozenset(
    f"audio/{kind}" for kind in ("mpeg", "mp3", "x-m4a", "mp4", "aac", "x-caf", "wav", "x-wav", "aiff", "x-aiff", "amr")
)

_PERHAPS_AUDIO = frozenset({"video/mp4", "application/octet-stream"})


_AUDIO_FIELDS = ("id", "filename", "mime_type", "size_bytes", "url")


def chats_send_voicememo(world: World, request: ApiRequest) -> EndpointResponse:
    chat, body = chats.present(world, request), request.body
    source = {"url": body.get("voice_memo_url"), "attachment_id": body.get("attachment_id")}
    content.check_own(source)
    part, attachment = content.media_part(world, source), content.attachment_of(world, source)
    # Of a file elsewhere only the name is known.
    fits = AUDIO | _PERHAPS_AUDIO if attachment is None else AUDIO
    if (part.mime_type if attachment is None else attachment.content_type) not in fits:
        raise invalid("A voice memo must be audio")
    if not part.mime_type.startswith("audio/"):
        part = replace(part, mime_type="audio/mpeg")
    override = bool(body.get("override_optout"))
    check_send(world, world.line_of(chat), chat.people, override_optout=override)
    message = send(world, chat, {}, parts=[part], is_voice_memo=True)
    return EndpointResponse(202, {"voice_memo": _shown_memo(chat, message, part)})


def _shown_memo(chat: ChatRecord, message: MessageRecord, audio: MediaPartRecord) -> JsonObject:
    return {
        "id": message.id,
        "from": chat.line,
        "to": [member.handle for member in chat.others],
        "status": message.status,
        "created_at": iso(message.created_at),
        "service": message.service,
        "chat": {
            "id": chat.id,
            "handles": [documents.shown(member) for member in chat.members],
            "is_active": True,
            "is_group": chat.is_group,
            "service": chat.service,
        },
        "voice_memo": {name: documents.shown(audio)[name] for name in _AUDIO_FIELDS} | {"duration_ms": None},
    }


# --- experiences, which are Linq's ready-made cards ------------------------------------------------------------------


def experiences_list(_: World, __: ApiRequest) -> JsonObject:
    return {"experiences": CATALOGUE}


def experiences_retrieve(_: World, request: ApiRequest) -> JsonObject:
    found = next((one for one in CATALOGUE if one["experience"] == request.path["experience"]), None)
    return existing(found, "experience")
