"""A call of a turn in the form in which two turns are compared: its endpoint, a digest, and what it says, if that is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from linqbot.bot.conversation.history import content_of
from linqbot.client.call import Call
from linqbot.storage.journal import JournalEntry
from linqbot.types.message import Part, TextPart
from linqbot.worker.calls.journal_match import digest
from linqbot.worker.calls.slots import stream_of

_SEND = "chats.messages.send"


@dataclass(frozen=True, slots=True)
class ComparedCall:
    """A call as it is compared.

    Attributes:
        name: The endpoint, such as `chats.messages.send`.
        digest: Equal for calls of equal content; None if neither the content nor a digest of it is kept.
        shown: The content for an operator; None if it is not kept.
        stream: The slot of the stream that the call belongs to; None if it belongs to none.
        is_later: True for a call that `ctx.send_later` keeps for a later time.
    """

    name: str
    digest: str | None
    shown: str | None = field(default=None, repr=False)
    stream: str | None = None
    is_later: bool = False

    def is_like(self, other: ComparedCall) -> bool:
        """Return True if both do the same, as far as that is known."""
        if (self.name, self.is_later) != (other.name, other.is_later):
            return False
        return None in (self.digest, other.digest) or self.digest == other.digest


def of_call(call: Call, slot: str = "", *, is_later: bool = False) -> ComparedCall:
    """Return the compared form of a call that a run makes."""
    return ComparedCall(call.name, digest(call), _shown(call), stream_of(slot), is_later)


def of_entry(entry: JournalEntry) -> ComparedCall:
    """Return the compared form of a call that is on record."""
    call = Call.from_json(entry.call)
    has_content = call.body is not None or b'"body":' in entry.call
    if not has_content:
        return ComparedCall(call.name, entry.digest, None, stream_of(entry.slot))
    return ComparedCall(call.name, entry.digest or digest(call), _shown(call), stream_of(entry.slot))


def joined_streams(calls: Iterable[ComparedCall]) -> tuple[ComparedCall, ...]:
    """Return the calls with the messages of each stream as one.

    A stream is cut into messages by the pace at which its text came, which a dry run does not know.
    """
    found: list[ComparedCall] = []
    for call in calls:
        last = found[-1] if found else None
        if last is None or call.stream is None or call.stream != last.stream or None in (call.shown, last.shown):
            found.append(call)
            continue
        shown = f"{last.shown}\n{call.shown}"
        found[-1] = ComparedCall(call.name, None, shown, call.stream)
    return tuple(_of_stream(call) if call.stream and call.shown is not None else call for call in found)


def _of_stream(call: ComparedCall) -> ComparedCall:
    words = "".join((call.shown or "").split())
    return ComparedCall(call.name, hashlib.blake2b(words.encode(), digest_size=8).hexdigest(), call.shown, call.stream)


def _shown(call: Call) -> str:
    """Return what a call says: the texts of a message, and anything else in brackets."""
    body = call.body or {}
    if (parts := content_of(call)) is None:
        return to_json(_without_keys(body)).decode() if body else call.path.rpartition("/")[2]
    message: dict[str, Any] = body.get("message") or {}
    lines = [_part(part) for part in parts]
    lines += [f"[{name}: {_value(message[name])}]" for name in ("effect", "reply_to") if message.get(name)]
    to = body.get("to")
    return "\n".join(lines + ([f"[to {to}]"] if to and call.name != _SEND else []))


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.value + (" [styled]" if part.text_decorations else "")
    return f"[{part.type}] {to_json(part.model_dump(mode='json', exclude_none=True, exclude={'type'})).decode()}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values())
    return str(value)


def _without_keys(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _without_keys(value) for name, value in body.items() if name != "idempotency_key"}
    return [_without_keys(each) for each in body] if isinstance(body, list | tuple) else body
