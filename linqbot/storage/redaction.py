"""Remove the texts from a settled journal entry; ids, status and times stay.

The backends do this whenever they store an outcome: every journal entry passes through them, however it was settled,
and they know if history is on.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json

from linqbot.storage.journal import JournalEntry

_OF_A_CALL = ("noun", "verb", "method", "path", "safety")
_KEPT = frozenset({
    "id", "handle", "from", "to", "status", "delivery_status", "type", "service", "preferred_service", "reason",
})  # fmt: skip
_KEPT_ENDINGS = ("_id", "_at")


def is_repeatable(entry: JournalEntry) -> bool:
    """Return True if the call of this journal entry may have to be repeated, so that its texts must be kept.

    This includes a call that is known to be accepted only from a receipt: repeated under the same key, Linq returns
    the missing answer.
    """
    return entry.status in ("attempting", "ambiguous") or (entry.status == "accepted" and entry.answer is None)


def without_texts(call: bytes, answer: bytes | None) -> tuple[bytes, bytes | None]:
    """Return a call and its answer, both as JSON, without texts.

    The call keeps its name and path, which show if the handler makes another call in a later run. The answer keeps what
    is needed to build its typed form: parts are removed, other strings are emptied.
    """
    return _named(call), None if answer is None else to_json(_emptied(_decoded(answer), "status"))


def _named(call: bytes) -> bytes:
    # `Call.to_json` writes these fields first. A string cannot contain this mark: its quotes would be escaped.
    head, body, _ = call.partition(b',"body":')
    if body and head.startswith(b'{"noun":'):
        return head + b"}"
    said = _decoded(call)
    return to_json({name: said[name] for name in _OF_A_CALL if name in said} if isinstance(said, dict) else {})


def _emptied(value: Any, name: str) -> Any:
    """Return a copy without parts, and with empty strings in place of all that may be text."""
    if isinstance(value, str):
        return value if name in _KEPT or name.endswith(_KEPT_ENDINGS) else ""
    if isinstance(value, dict):
        return {key: [] if key == "parts" else _emptied(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_emptied(inner, name) for inner in value]
    return value


def _decoded(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        return None
