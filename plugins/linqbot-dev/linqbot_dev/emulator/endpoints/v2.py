"""The list of chats of the older API, in its own envelope: the only endpoint of that API that bots still call.

Nothing else depends on this module, so that it can be removed as a whole.
"""

from __future__ import annotations

import uuid

from starlette.datastructures import QueryParams

from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import shapes
from linqbot_dev.emulator.model.answers import EndpointResponse
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.records import ChatRecord, Member


def list_chats(world: World, query: QueryParams) -> EndpointResponse:
    """Answer `GET /api/partner/v2/chats`, with page numbers and integer ids."""
    line = _normal(query.get("phone_number", ""))
    if not line:
        return refused(400, "bad_request", "phone_number is required")
    try:
        page, per_page = int(query.get("page", "1")), int(query.get("per_page", "25"))
    except ValueError:
        page = per_page = 0
    if not (1 <= page <= 10**6 and 1 <= per_page <= 100):
        return refused(400, "bad_request", "page is 1 or more, per_page 1 to 100")
    found = [chat for chat in reversed(world.state.chats.values()) if chat.line == line]
    shown = found[(page - 1) * per_page : page * per_page]
    meta = {"page": page, "total_pages": -(-len(found) // per_page), "total_count": len(found), "per_page": per_page}
    return EndpointResponse(200, {"data": [_chat(chat) for chat in shown], "meta": meta})


def refused(status: int, code: str, detail: str) -> EndpointResponse:
    title = code.replace("_", " ").title()
    return EndpointResponse(status, {"errors": [{"status": status, "code": code, "title": title, "detail": detail}]})


def _normal(phone_number: str) -> str:
    """Return a number in E.164 form. `13343284472`, `(334) 328-4472` and `+13343284472` are the same line."""
    digits = "".join(char for char in phone_number if char.isascii() and char.isdigit())
    return "+" + ("1" + digits if len(digits) == 10 else digits) if digits else ""


def _chat(chat: ChatRecord) -> dict[str, object]:
    return {
        "id": chat.seq,
        "display_name": shapes.display_name(chat),
        "service": chat.service,
        "group": chat.is_group,
        "message_count": len(chat.messages),
        "chat_handles": [_handle(member) for member in chat.others],
    }


def _handle(member: Member) -> dict[str, object]:
    return {
        "id": uuid.UUID(member.id).int % 2**31,
        "phone_number": member.handle,
        "service": member.service,
        "joined_at": iso(member.joined_at),
    }
