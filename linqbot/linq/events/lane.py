"""The lane of a delivery, derived from its decoded body alone, without access to storage.

Deliveries of one lane are handled one at a time, in the order in which they were accepted. Actions of people in a chat
share the lane `c:<chat>`. Receipts and typing events use `r:<chat>`: behind a slow handler they would arrive too late
to be useful, and a handler that waits for a receipt would wait for itself.

A lane is a short printable string, whatever Linq sent. It can contain a phone number, so logs must not print it. Other
modules make and read the lanes of a chat with the functions of this one. Only the SQL of PostgreSQL's schema spells them too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

from linqbot.linq.handles import person_key

LONGEST_TOKEN = 128
"""Longer ids are replaced by their digest, so that every database can index a lane as a key."""

CHAT_OF_PAYMENT = "linqbot_chat"
"""The key in the metadata of a payment request by which `ctx.pay` names the chat that waits for the payment."""

EVERY_CHAT = "*"
"""Stands for all chats where the id of a chat is expected."""

_CHAT = "c:"
_PERSON = "send:"
_POST = "post:"
OUTSIDE_CHATS = (_PERSON, _POST)
"""The beginnings of the lanes of sends and posts whose chat is not known."""

_RECEIPTS = "r:"
_RECEIPTS_OF_MESSAGE = "r:m:"

_Rule: TypeAlias = Callable[[dict[str, Any]], str | None]


def lane(event_type: str, data: Any, event_id: str) -> str:
    """Return the lane of a delivery, from the decoded `data` of its body, of any shape; or else `x:<event id>`."""
    rule = _BY_TYPE.get(event_type) or _BY_NOUN.get(event_type.partition(".")[0], _chat)
    return rule(data if isinstance(data, dict) else {}) or f"x:{token(event_id)}"


def lane_of_chat(chat_id: str) -> str:
    return _CHAT + chat_id


def lane_of_person(handle: str) -> str:
    """Return the lane of what waits to be sent to a person whose chat is not known, by the handle in lower case."""
    return _PERSON + handle


def lane_of_post(of: str) -> str:
    """Return the lane of a post without a chat, by its person or else its name."""
    return _POST + person_key(of)


def is_lane_of_post(lane: str) -> bool:
    """Return True for the lane of posts without a chat, and of questions that are brought to a person."""
    return lane.startswith(_POST)


def person_of_lane(lane: str) -> str | None:
    """Return the person for whom a send waits in a lane; None for every other lane."""
    return lane[len(_PERSON) :] if lane.startswith(_PERSON) else None


def chat_of_lane(lane: str) -> str | None:
    """Return the id of the chat whose people's actions share a lane; None for every other lane."""
    return lane[len(_CHAT) :] if lane.startswith(_CHAT) else None


def is_lane_of_receipts(lane: str) -> bool:
    """Return True for the lane of the receipts and typing events of a chat, or of a message whose chat is unknown."""
    return lane.startswith(_RECEIPTS)


def lane_of_receipts(chat_id: str) -> str:
    """Return the lane of the receipts and typing events of a chat."""
    return _RECEIPTS + chat_id


def chat_of_receipts(lane: str) -> str | None:
    """Return the id of the chat whose receipts and typing events share a lane; None for every other lane."""
    is_of_chat = lane.startswith(_RECEIPTS) and not lane.startswith(_RECEIPTS_OF_MESSAGE)
    return lane[len(_RECEIPTS) :] if is_of_chat else None


def chat_of(lane: str) -> str | None:
    """Return the id of the chat whose events share a lane, whether people's actions or receipts; None for other lanes."""
    return chat_of_lane(lane) or chat_of_receipts(lane)


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON value if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def token(value: Any) -> str | None:
    """Return an id as part of a key, or its digest if it is long or unprintable; None if it is no id."""
    if not isinstance(value, str) or not value:
        return None
    if len(value) <= LONGEST_TOKEN and value.isprintable():
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _at(data: Any, *path: str) -> str | None:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return token(data)


def _chat_id(data: dict[str, Any]) -> str | None:
    chat = data.get("chat")
    return (token(chat.get("id")) if isinstance(chat, dict) else None) or token(data.get("chat_id"))


def _of_chat(prefix: str) -> _Rule:
    """Return the rule of events whose lane is named by their chat."""

    def rule(data: dict[str, Any]) -> str | None:
        chat = _chat_id(data)
        return chat and prefix + chat

    return rule


def _named_by(field: str, prefix: str) -> _Rule:
    """Return the rule of events whose lane is named by one field of their data."""

    def rule(data: dict[str, Any]) -> str | None:
        name = _at(data, field)
        return name and prefix + name

    return rule


def _pair(owner: str, person: str) -> _Rule:
    def rule(data: dict[str, Any]) -> str | None:
        line, handle = _at(data, owner), _at(data, person)
        # Linq sends e-mail addresses in upper and lower case.
        return f"p:{line.lower()}:{person_key(handle)}" if line and handle else None

    return rule


def _account(kind: str) -> _Rule:
    def rule(data: dict[str, Any]) -> str:
        thing = _at(data, kind, "id")
        return f"a:{kind}:{thing}" if thing else f"a:{kind}"

    return rule


_chat = _of_chat(_CHAT)
_of_receipts = _of_chat(_RECEIPTS)
_line = _named_by("phone_number", "l:")
_sharing = _pair("shared_with", "shared_by")


def _receipt(data: dict[str, Any]) -> str | None:
    if found := _of_receipts(data):
        return found
    message = _at(data, "message_id") or _at(data, "id") or _at(data, "message", "id")
    return message and _RECEIPTS_OF_MESSAGE + message


def _location(data: dict[str, Any]) -> str | None:
    return _chat(data) or _sharing(data)


def _payment(data: dict[str, Any]) -> str | None:
    # A handler of this chat waits for the payment, so the event keeps the order of the chat. A `chat_id` in the metadata
    # is set by the author of the bot and never determines the lane.
    if chat := _at(data, "metadata", CHAT_OF_PAYMENT):
        return lane_of_chat(chat)
    payment = _at(data, "id")
    return payment and f"pay:{payment}"


# Event types that are in neither table use the lane of their chat, if the data contains a chat.
_BY_NOUN: dict[str, _Rule] = {
    "location": _location,
    "payment": _payment,
    "connection": _payment,
    "phone_number": _line,
    **{kind: _account(kind) for kind in ("api_token", "environment", "webhook_subscription", "team_member")},
}
_BY_TYPE: dict[str, _Rule] = {
    "chat.created": _named_by("id", _CHAT),  # only in this event type is `data.id` the chat
    **dict.fromkeys(("message.sent", "message.delivered", "message.read", "message.failed"), _receipt),
    **dict.fromkeys(("poll.sent", "poll.delivered", "poll.read", "poll.failed"), _receipt),
    "chat.typing_indicator.started": _of_receipts,
    "chat.typing_indicator.stopped": _of_receipts,
    "contact_card.received": _pair("owner_handle", "sender_handle"),
    "contact_card.created": _line,
    "contact_card.updated": _line,
    "contact_card.deleted": _line,
    "zero_day_retention.updated": _line,
    "environment.line_moved": _line,
    "linqbot.schedule": _named_by("name", "s:"),
}
