"""Was it done? For calls that must not be repeated, cut off before their answer: look at Linq, never guess.

Only what leaves a trace can be found: a voice memo and an app card are messages, poll options stand in their poll.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from linqbot.client.call import ApiResponse, Call, Run, prepare
from linqbot.storage.journal import JournalEntry

LOOK_BACK: Final = timedelta(seconds=5)
"""How far Linq's clock may be behind ours."""
NEWEST: Final = "20"

IsOurs = Callable[[str], Awaitable[bool]]

NOBODY_KNOWS: Final[dict[str, Any]] = {
    "chats.send_voicememo": {"voice_memo": {"id": "", "status": "ambiguous"}},
    "chats.share_contact_card": None,
    "chats.location.request": {"success": False, "message": "ambiguous"},
    "messages.add_reaction": {"status": "ambiguous"},
}
"""What a handler gets when nothing can be found, so that it can go on: an answer that says so."""


async def find(call: Call, entry: JournalEntry, run: Run, is_known: IsOurs) -> ApiResponse | None:
    """Look for what a cut-off call may have done.

    Args:
        is_known: Whether another entry on record made a message.
    Returns:
        The answer the call would have had; None when nothing of it can be found.
    Raises:
        LinqApiError: Linq could not be asked.
    """
    match call.name:
        case "chats.send_voicememo":
            message = await _newest(call, entry, run, is_known, _is_audio)
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
    call: Call, entry: JournalEntry, run: Run, is_known: IsOurs, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """The newest message of the chat that is ours, fits, is no older than the call, and no other entry's."""
    path = {"chat_id": call.path.split("/")[3]}
    listed = await run(prepare("chats.messages.list", path=path, query=(("limit", NEWEST),)))
    since = datetime.fromtimestamp(entry.first_at, UTC) - LOOK_BACK
    for message in listed.data["messages"]:
        is_new = message["is_from_me"] and datetime.fromisoformat(message["created_at"]) >= since
        if is_new and fits(message) and not await is_known(message["id"]):
            return dict(message)
    return None


def _is_audio(message: dict[str, Any]) -> bool:
    parts = message.get("parts") or ()
    return any(part.get("type") == "media" and str(part.get("mime_type")).startswith("audio/") for part in parts)
