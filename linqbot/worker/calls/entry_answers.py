"""The answers that calls got in earlier runs, from their journal entries."""

from __future__ import annotations

from pydantic_core import from_json, to_json

from linqbot.client.call import ApiResponse, Call, id_in_path
from linqbot.errors import AmbiguousCall, LinqApiError, MessageGone, RateLimited
from linqbot.storage.journal import JournalEntry
from linqbot.worker.calls.lookup import AMBIGUOUS_ANSWERS

GONE = b'"gone"'
"""Stored as the answer of a send whose message was deleted before its answer arrived."""
NOT_MADE = b'{"not_made":true}'
"""Stored as the answer of a call that must not be repeated and that Linq has certainly not made, such as one answered 429.
Its entry is `refused`, but no refusal: the next run makes the call."""


def outcome_of(entry: JournalEntry, call: Call) -> ApiResponse:
    """Return the answer that a call got, however it ended.

    Raises:
        LinqApiError: Linq refused it.
        AmbiguousCall: it is not known if it was made, and the handler cannot go on without knowing.
        MessageGone: its message was deleted before the answer arrived.
    """
    if entry.status == "refused":
        raise error_of(entry, call)
    if entry.status == "ambiguous":
        return ambiguous_answer(call)
    return answer_of(entry, call)


def ambiguous_answer(call: Call) -> ApiResponse:
    """Return the answer for a call of which it is not known if it was made.

    Raises:
        AmbiguousCall: there is no answer with which the handler can go on. The operator must decide.
    """
    if call.name not in AMBIGUOUS_ANSWERS:
        raise AmbiguousCall(call.name)
    return ApiResponse(202, AMBIGUOUS_ANSWERS[call.name])


def answer_of(entry: JournalEntry, call: Call) -> ApiResponse:
    """Return the answer that an accepted call got.

    Raises:
        MessageGone: its message was deleted before the answer arrived.
    """
    if entry.answer == GONE:
        raise MessageGone(call.name)
    if entry.answer is None and entry.message_id is not None:
        return ApiResponse(202, _answer_from_receipt(entry, call))
    return ApiResponse(202, from_json(entry.answer) if entry.answer else None)


def _answer_from_receipt(entry: JournalEntry, call: Call) -> dict[str, object]:
    """Build the answer of a send whose answer was lost, from the message id that its receipt gave."""
    message = {"id": entry.message_id, "delivery_status": entry.delivery}
    if call.name == "chats.create":
        return {"chat": {"id": entry.chat_id or "", "message": message}}
    if call.name == "chats.messages.send":
        return {"chat_id": id_in_path(call), "message": message}
    return {"chat_id": entry.chat_id or "", "message": message}


def error_json(error: LinqApiError) -> bytes:
    """Return what the journal keeps of an error with which Linq refused a call."""
    return to_json({"status": error.status, "code": error.code, "trace_id": error.trace_id})


def error_of(entry: JournalEntry, call: Call) -> LinqApiError:
    """Return the error with which Linq refused a call."""
    known = from_json(entry.answer) if entry.answer else {}
    kind = RateLimited if known.get("status") == 429 else LinqApiError
    return kind(
        "Linq refused it in an earlier run.",
        status=known.get("status"),
        code=known.get("code"),
        trace_id=known.get("trace_id") or None,
        call=call.name,
    )
