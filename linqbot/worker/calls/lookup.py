"""Looking up the effect of a call that was cut off before its answer and must not be repeated.

Only calls that leave a trace at Linq can be found: a voice memo is a message, and poll options are in their poll.
Otherwise the outcome is ambiguous, and `turn_journal.py` reports that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from linqbot.client.call import ApiResponse, Call, Run, prepare
from linqbot.storage.journal import JournalEntry

LOOK_BACK: Final = timedelta(seconds=5)
"""The longest time by which Linq's clock may be behind ours."""
NEWEST: Final = "20"
"""Messages of the chat to search, the newest."""

HasSent = Callable[[str], Awaitable[bool]]

AMBIGUOUS_ANSWERS: Final[dict[str, Any]] = {
    "chats.send_voicememo": {"voice_memo": {"id": "", "status": "ambiguous"}},
    "chats.share_contact_card": None,
    "chats.location.request": {"success": False, "message": "ambiguous"},
    "messages.add_reaction": {"status": "ambiguous"},
}
"""Answers for calls whose effect cannot be found, by call name. They say `ambiguous`, and let the handler go on."""


async def find(call: Call, entry: JournalEntry, run: Run, has_sent: HasSent) -> ApiResponse | None:
    """Look for the effect of a call that was cut off.

    Args:
        has_sent: Returns True if a journal entry already has a message of this id.
    Returns:
        The answer that the call would have had; None if no effect was found.
    Raises:
        LinqApiError: Linq did not answer the question.
    """
    match call.name:
        case "chats.send_voicememo":
            message = await _newest(call, entry, run, has_sent, _is_audio)
            if message is None:
                return None
            return ApiResponse(202, {"voice_memo": {"id": message["id"], "status": message["delivery_status"]}})
        case "messages.poll.add_options":
            poll = await run(prepare("messages.poll.retrieve", path={"message_id": call.path.split("/")[3]}))
            there = {option["text"] for option in poll.data["poll"]["options"]}
            wanted = {option["text"] for option in (call.body or {})["options"]}
            return poll if wanted <= there else None
        case _:
            return None


async def _newest(
    call: Call, entry: JournalEntry, run: Run, has_sent: HasSent, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return the newest message of ours in the chat that fits, is not older than the call, and is of no other entry."""
    path = {"chat_id": call.path.split("/")[3]}
    listed = await run(prepare("chats.messages.list", path=path, query=(("limit", NEWEST),)))
    since = datetime.fromtimestamp(entry.first_at, UTC) - LOOK_BACK
    for message in listed.data["messages"]:
        is_new = message["is_from_me"] and datetime.fromisoformat(message["created_at"]) >= since
        if is_new and fits(message) and not await has_sent(message["id"]):
            return dict(message)
    return None


def _is_audio(message: dict[str, Any]) -> bool:
    parts = message.get("parts") or ()
    return any(part.get("type") == "media" and str(part.get("mime_type")).startswith("audio/") for part in parts)
