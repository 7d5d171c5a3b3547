"""A delivery of a message as if its person had written other words: what is in front of them was for linqbot itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from pydantic_core import to_json

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import as_object

_Reword: TypeAlias = Callable[[str], str]


def reworded(delivery: Delivery, reword: Callable[[str], str]) -> Delivery:
    """Return the delivery of a message, each text of which is what `reword` makes of it, in reply to nothing.

    The messages and edits that joined it change too. A text that becomes empty is left out.
    """
    content, joined = _body(delivery.content, reword), delivery.joined
    if joined.burst:
        burst = tuple(_body(each, reword) for each in joined.burst)
        return replace(delivery, decoded=content).with_joined(replace(joined, burst=burst))
    return replace(delivery, body=to_json(content), decoded=content)


def _body(body: dict[str, Any], reword: _Reword) -> dict[str, Any]:
    data = as_object(body.get("data"))
    if body.get("event_type") == "message.edited":
        part = as_object(data.get("part"))
        return {**body, "data": {**data, "part": {**part, "text": reword(str(part.get("text") or ""))}}}
    if "parts" in data:
        return {**body, "data": _message(data, reword)}
    # The payload version 2025-01-01 nests the message.
    return {**body, "data": {**data, "message": _message(as_object(data.get("message")), reword)}}


def _message(message: dict[str, Any], reword: _Reword) -> dict[str, Any]:
    parts = [_part(as_object(part), reword) for part in message.get("parts") or ()]
    return {**message, "parts": [part for part in parts if part.get("value") != ""], "reply_to": None}


def _part(part: dict[str, Any], reword: _Reword) -> dict[str, Any]:
    text = part.get("value") if part.get("type") == "text" else None
    # Places in the text, such as those of a mention, no longer fit.
    is_changed = isinstance(text, str) and reword(text) != text
    return {"type": "text", "value": reword(str(text))} if is_changed else part
