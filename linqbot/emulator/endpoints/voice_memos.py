"""Voice memos: audio that plays in its bubble (R68)."""

from __future__ import annotations

from dataclasses import replace

from linqbot.emulator.endpoints.chats import present
from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine import content, send_policy
from linqbot.emulator.engine.sending import send
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import documents
from linqbot.emulator.model.answers import EndpointResponse, JsonObject, invalid
from linqbot.emulator.model.documents import iso
from linqbot.emulator.model.message_content import MediaPartRecord
from linqbot.emulator.model.records import ChatRecord, MessageRecord

AUDIO = frozenset(
    f"audio/{kind}" for kind in ("mpeg", "mp3", "x-m4a", "mp4", "aac", "x-caf", "wav", "x-wav", "aiff", "x-aiff", "amr")
)

_PERHAPS_AUDIO = frozenset({"video/mp4", "application/octet-stream"})


_AUDIO_FIELDS = ("id", "filename", "mime_type", "size_bytes", "url")


def send_voicememo(world: World, request: ApiRequest) -> EndpointResponse:
    """Send a voice memo, by a URL or an attachment.

    Raises:
        ApiError: 404, there is no such chat or attachment; 400, the file is not audio; R13, R61, R70-R75.
    """
    chat, body = present(world, request), request.body
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
    send_policy.check_send(world, world.line_of(chat), chat.people, override_optout=override)
    message = send(world, chat, {}, parts=[part], is_voice_memo=True)
    return EndpointResponse(202, {"voice_memo": _shape(chat, message, part)})


def _shape(chat: ChatRecord, message: MessageRecord, audio: MediaPartRecord) -> JsonObject:
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


ENDPOINTS = (EndpointHandler("chats.send_voicememo", send_voicememo, has_body=True),)
