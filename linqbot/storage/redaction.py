"""Remove the texts from a settled journal entry; ids, status and times stay.

The backends do this whenever they store an outcome: every journal entry passes through them, however it was settled,
and they know if history is on. Until the ack of the turn, an answer keeps what its typed form needs. After the ack no
run needs the answer, so nothing of it is kept.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json

from linqbot.storage.journal import JournalEntry

RECORDED = frozenset({"ask", "step"})
"""The `safety` of entries that are no API calls. Their texts are deleted when their turn has ended."""
_OF_A_CALL = ("noun", "verb", "method", "path", "safety")
_KEPT = frozenset({
    "id", "handle", "from", "to", "status", "delivery_status", "type", "service", "preferred_service", "reason",
})  # fmt: skip
_KEPT_ENDINGS = ("_id", "_at")


def is_repeatable(entry: JournalEntry) -> bool:
    """Return True if the call of this journal entry may have to be repeated, so that its texts must be kept.

    This includes a call that is known to be accepted only from a receipt: repeated under the same key, Linq returns
    the missing answer. It also includes answers of people and results of steps, which further runs of the turn need.
    """
    if entry.safety in RECORDED:
        return True
    return entry.status in ("attempting", "ambiguous") or (entry.status == "accepted" and entry.answer is None)


def without_texts(call: bytes, answer: bytes | None) -> tuple[bytes, bytes | None]:
    """Return a call and its answer, both as JSON, without texts.

    The call keeps its name and path, which show if the handler makes another call in a later run. The answer keeps what
    is needed to build its typed form: parts are removed, other strings are emptied.
    """
    if answer is None:
        return name_of(call), None
    said = _decoded(answer)
    return name_of(call), to_json(_emptied(said) if isinstance(said, dict) else _emptied_value(said, "status"))


def name_of(call: bytes) -> bytes:
    """Return a call, as JSON, with its name and path alone."""
    # `Call.to_json` writes these fields first. A string cannot contain this mark: its quotes would be escaped.
    head, body, _ = call.partition(b',"body":')
    if body and head.startswith(b'{"noun":'):
        return head + b"}"
    said = _decoded(call)
    return to_json({name: said[name] for name in _OF_A_CALL if name in said} if isinstance(said, dict) else {})


def _emptied(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without parts, and with empty strings in place of all that may be text."""
    # Written out, because this runs for every message and a call for each value would take twice as long.
    kept: dict[str, Any] = {}
    for name, value in answer.items():
        if name == "parts":
            kept[name] = []
        elif isinstance(value, str):
            kept[name] = value if name in _KEPT or name.endswith(_KEPT_ENDINGS) else ""
        elif isinstance(value, dict):
            kept[name] = _emptied(value)
        elif isinstance(value, list):
            kept[name] = [_emptied_value(inner, name) for inner in value]
        else:
            kept[name] = value
    return kept


def _emptied_value(value: Any, name: str) -> Any:
    return _emptied({name: value})[name]


def _decoded(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        return None
