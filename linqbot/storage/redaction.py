"""What may stay of an entry once it is settled: ids, status and times, but not what was said.

The backends call this whenever they store an outcome, because they are the one place every entry passes, however it
was settled, and because they know whether history is on.
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
    """Whether its call may have to be made again, and so must be kept as it is.

    Also one that a receipt proves accepted while we never saw the answer: repeated under its key, Linq answers it
    once more.
    """
    return entry.status in ("attempting", "ambiguous") or (entry.status == "accepted" and entry.answer is None)


def without_texts(call: bytes, answer: bytes | None) -> tuple[bytes, bytes | None]:
    """A call and its answer, both as JSON, without texts.

    Of the call its name and path stay, which tell whether a handler says something else today; of the answer what a
    typed one can be built from: parts are gone, other strings empty.
    """
    return _named(call), None if answer is None else to_json(_emptied(_decoded(answer), "status"))


def _named(call: bytes) -> bytes:
    # `Call.to_json` writes these fields first. Inside a string this mark cannot be: its quotes would be escaped.
    head, body, _ = call.partition(b',"body":')
    if body and head.startswith(b'{"noun":'):
        return head + b"}"
    said = _decoded(call)
    return to_json({name: said[name] for name in _OF_A_CALL if name in said} if isinstance(said, dict) else {})


def _emptied(value: Any, name: str) -> Any:
    """A copy without parts, and with empty strings in place of all that may be text."""
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
