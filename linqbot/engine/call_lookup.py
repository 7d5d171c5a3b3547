"""Content and answers of calls, and the effect of a call that was cut off before its answer.

A call that must not be repeated is looked up before anything else. Only calls that leave a trace at Linq can be
found: a voice memo and a changed card are messages, and poll options are in their poll. Otherwise the outcome is
ambiguous, and `earlier_runs.py` reports that. A change of a group's people is simply repeated, and looked up only if
Linq refuses the repetition, because the first attempt has made the change.

The answers that calls got in earlier runs come from their journal entries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import from_json, to_json

from linqbot.client.call import ApiResponse, Call, Run, id_in_path, prepare
from linqbot.errors import AmbiguousCall, LinqApiError, MessageGone, RateLimited, Stopped
from linqbot.linq.events.lane import as_object
from linqbot.linq.handles import person_key
from linqbot.linq.types.chat import Chat
from linqbot.linq.types.data import validated_leniently
from linqbot.linq.types.message import MessageContent, Part
from linqbot.storage.journal import JournalEntry

LOOK_BACK: Final = timedelta(seconds=5)
"""The longest time by which Linq's clock may be behind ours."""
NEWEST: Final = "20"
"""Messages of the chat to search, the newest."""

OPENS_CHAT: Final = "chats.create"
"""The call that opens a chat with people."""

HasSent = Callable[[str], Awaitable[bool]]

AMBIGUOUS_ANSWERS: Final[dict[str, Any]] = {
    "chats.send_voicememo": {"voice_memo": {"id": "", "status": "ambiguous"}},
    "chats.share_contact_card": None,
    "chats.location.request": {"success": False, "message": "ambiguous"},
    "messages.add_reaction": {"status": "ambiguous"},
}
"""Answers for calls whose effect cannot be found, by call name. They say `ambiguous`, and let the handler go on."""


def message_of_call(call: Call) -> dict[str, Any] | None:
    message = (call.body or {}).get("message")
    return message if isinstance(message, dict) else None


def content_of(call: Call) -> tuple[Part, ...] | None:
    body = message_of_call(call)
    return None if body is None else validated_leniently(MessageContent, {"parts": body.get("parts") or ()})[0].parts


def ids_in(answer: ApiResponse) -> tuple[str | None, str | None]:
    """Return the ids of the message and of the chat in the answer to a send, which has one of two shapes."""
    data = answer.data
    if not isinstance(data, dict):
        return None, None
    chat = data.get("chat")
    inner = chat if isinstance(chat, dict) else data
    message = inner.get("message")
    message_id = message.get("id") if isinstance(message, dict) else None
    chat_id = data.get("chat_id") or (chat.get("id") if isinstance(chat, dict) else None)
    # An answer that has what it needs may have anything else, and the journal can only store text.
    return (
        message_id if isinstance(message_id, str) and message_id else None,
        chat_id if isinstance(chat_id, str) and chat_id else None,
    )


async def find(call: Call, entry: JournalEntry, run: Run, has_sent: HasSent) -> ApiResponse | None:
    """Look for the effect of a call that was cut off.

    Returns the answer that the call would have had; None if no effect was found. A card that is not found is changed
    again. `has_sent` returns True if a journal entry already has a message of this id. Raises LinqApiError if Linq
    refuses to say it.
    """
    match call.name:
        case "chats.send_voicememo":
            message = await _newest(id_in_path(call), entry, run, has_sent, _is_audio)
            if message is None:
                return None
            return ApiResponse(202, {"voice_memo": {"id": message["id"], "status": message.get("delivery_status")}})
        case "messages.update_app_card":
            return await _updated_card(call, entry, run, has_sent)
        case "messages.poll.add_options":
            poll = await run(prepare("messages.poll.retrieve", path={"message_id": id_in_path(call)}))
            there = {str(option.get("text")) for option in _objects(as_object(poll.data.get("poll")).get("options"))}
            wanted = {option["text"] for option in (call.body or {})["options"]}
            return poll if wanted <= there else None
        case _:
            return None


_CHANGES: Final = frozenset({"chats.participants.add", "chats.participants.remove", "chats.leave_chat"})


async def change_made(call: Call, entry: JournalEntry, error: LinqApiError, run: Run) -> ApiResponse | None:
    """Return the answer of a refused change of a group's people, if an attempt whose answer was lost has made it.

    Linq refuses to add a person who is in the group, or to remove one who is not, also if that is our own doing. Raises
    LinqApiError if Linq refuses to say who is in the group.
    """
    if call.name not in _CHANGES or error.status not in (404, 409):
        return None
    chat = (await run(prepare("chats.retrieve", path={"chat_id": id_in_path(call)}))).data
    wanted = person_key(str((call.body or {}).get("handle", "")))
    since = datetime.fromtimestamp(entry.first_at, UTC) - LOOK_BACK
    for member in _objects(chat.get("handles")):
        if member.get("is_me") if call.name == "chats.leave_chat" else person_key(str(member.get("handle"))) == wanted:
            is_in = member.get("status") in (None, "active")
            changed_at = member.get("joined_at" if is_in else "left_at")
            is_as_wanted = is_in == (call.name == "chats.participants.add")
            if is_as_wanted and _is_since(since, changed_at):
                return ApiResponse(202, {"status": "accepted"})
    return None


async def lacks_target(call: Call, run: Run) -> bool:
    """Return True if the message that a call replies to does not exist: then Linq's 404 is about that message."""
    target = ((call.body or {}).get("message") or {}).get("reply_to")
    if target is None:
        return False
    try:
        await run(prepare("messages.retrieve", path={"message_id": target["message_id"]}))
    except LinqApiError as error:
        if error.status != 404:
            raise
        return True
    return False


async def _updated_card(call: Call, entry: JournalEntry, run: Run, has_sent: HasSent) -> ApiResponse:
    """Return the card that replaces another one: a new message with the new layout.

    If there is none, the call is made again. A card that is changed twice looks the same.
    """
    before = await run(prepare("messages.retrieve", path={"message_id": id_in_path(call)}))
    chat_id, wanted = before.data["chat_id"], (call.body or {})["layout"]

    def shows_it(message: dict[str, Any]) -> bool:
        cards = (part for part in _objects(message.get("parts")) if part.get("type") == "imessage_app")
        layouts = [as_object(card.get("layout")) for card in cards]
        return any(all(layout.get(name) == value for name, value in wanted.items()) for layout in layouts)

    message = await _newest(chat_id, entry, run, has_sent, shows_it)
    return await run(call) if message is None else ApiResponse(202, {"chat_id": chat_id, "message": message})


async def _newest(
    chat_id: str, entry: JournalEntry, run: Run, has_sent: HasSent, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return the newest message of ours in the chat that fits, is not older than the call, and is of no other entry."""
    listed = await run(prepare("chats.messages.list", path={"chat_id": chat_id}, query=(("limit", NEWEST),)))
    since = datetime.fromtimestamp(entry.first_at, UTC) - LOOK_BACK
    for message in _objects(listed.data["messages"]):
        is_new = message.get("is_from_me") is True and _is_since(since, message.get("created_at"))
        if is_new and fits(message) and not await has_sent(message["id"]):
            return message
    return None


def _objects(listed: Any) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer of Linq's, which may write null for an empty list."""
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _is_since(since: datetime, at: Any) -> bool:
    """Return True if a time of Linq's is not before `since`; False if it cannot be read."""
    try:
        return datetime.fromisoformat(str(at)) >= since
    except (ValueError, TypeError):
        return False


def _is_audio(message: dict[str, Any]) -> bool:
    parts = _objects(message.get("parts"))
    return any(part.get("type") == "media" and str(part.get("mime_type")).startswith("audio/") for part in parts)


GONE = b'"gone"'
"""Stored as the answer of a send whose message was deleted before its answer arrived."""
NOT_MADE = b'{"not_made":true}'
"""Stored as the answer of a call that must not be repeated and that Linq has certainly not made, such as one answered 429.
Its entry is `refused`, but no refusal: the next run makes the call."""


def outcome_of(entry: JournalEntry, call: Call) -> ApiResponse:
    """Return the answer that a call got. Raises the error of `error_of`, AmbiguousCall or MessageGone if it has ended so."""
    if entry.status == "refused":
        raise error_of(entry, call)
    if entry.status == "ambiguous":
        return ambiguous_answer(call)
    return answer_of(entry, call)


def ambiguous_answer(call: Call) -> ApiResponse:
    """Return the answer for a call of which it is not known if it was made.

    Raises AmbiguousCall if there is none with which the handler can go on. The operator must decide.
    """
    if call.name not in AMBIGUOUS_ANSWERS:
        raise AmbiguousCall(call.name)
    return ApiResponse(202, AMBIGUOUS_ANSWERS[call.name])


def answer_of(entry: JournalEntry, call: Call) -> ApiResponse:
    """Return the answer that an accepted call got. Raises MessageGone if its message was deleted before."""
    if entry.answer == GONE:
        raise MessageGone(call.name)
    if entry.answer is None and entry.message_id is not None:
        return ApiResponse(202, _answer_from_receipt(entry, call))
    return ApiResponse(202, from_json(entry.answer) if entry.answer else None)


def lacks_chat(entry: JournalEntry, call: Call) -> bool:
    """Return True if a call has opened a chat of which nothing is known: Linq's answer was lost, and a receipt came."""
    is_from_receipt = entry.answer is None and entry.message_id is not None
    return is_from_receipt and call.name == OPENS_CHAT and entry.chat_id is None


async def opened_chat(entry: JournalEntry, run: Run) -> ApiResponse:
    """Return the answer of a call that `lacks_chat`, by looking for its message at Linq. Raises MessageGone if it was deleted."""
    try:
        found = await run(prepare("messages.retrieve", path={"message_id": entry.message_id or ""}))
    except LinqApiError as error:
        if error.status != 404:
            raise
        raise MessageGone(OPENS_CHAT) from error
    return ApiResponse(202, {"chat": {"id": found.data["chat_id"], "message": found.data}})


def _answer_from_receipt(entry: JournalEntry, call: Call) -> dict[str, object]:
    """Build the answer of a send whose answer was lost, from the message id that its receipt gave."""
    message = {"id": entry.message_id, "delivery_status": entry.delivery}
    if call.name == OPENS_CHAT:
        return {"chat": {"id": entry.chat_id or "", "message": message}}
    chat_id = id_in_path(call) if call.name == "chats.messages.send" else entry.chat_id
    return {"chat_id": chat_id or "", "message": message}


def stopped_json(error: Stopped) -> bytes:
    """Return the answer to store of a call that was not made for a reason of the bot. No later run makes it."""
    return to_json(error.to_record())


def stop_of(entry: JournalEntry, call: str) -> Stopped | None:
    """Return the error that has stopped the call of an entry, given by its name; None if the bot itself has not stopped it."""
    kept = from_json(entry.answer) if entry.answer and entry.status == "refused" else {}
    return next((kind.from_record(kept, call) for kind in Stopped.__subclasses__() if kind.word in kept), None)


def person_of(chat: Chat) -> str | None:
    """Return the handle of the person in a direct chat, in lower case; None for a group."""
    people = [each.handle for each in chat.handles if not each.is_me]
    return person_key(people[0]) if len(people) == 1 and not chat.is_group else None


def error_json(error: LinqApiError) -> bytes:
    return to_json({"status": error.status, "code": error.code, "trace_id": error.trace_id})


def error_of(entry: JournalEntry, call: Call) -> LinqApiError | Stopped:
    """Return the refusal of Linq that a call got in an earlier run, or the reason of the bot why that run did not make it."""
    if (stopped := stop_of(entry, call.name)) is not None:
        return stopped
    known = from_json(entry.answer) if entry.answer else {}
    kind = RateLimited if known.get("status") == 429 else LinqApiError
    return kind(
        "Linq refused it in an earlier run.",
        status=known.get("status"),
        code=known.get("code"),
        trace_id=known.get("trace_id") or None,
        call=call.name,
    )
