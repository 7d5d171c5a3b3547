"""Looking up the effect of a call whose answer was lost, and reading answers: of Linq, and of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from linqbot.client.call import ApiResponse, Call, Run, prepare
from linqbot.engine.call_lookup import GONE, change_made, find, ids_in, lacks_target, outcome_of
from linqbot.errors import AmbiguousCall, LinqApiError, MessageGone, RateLimited
from linqbot.storage.journal import JournalEntry

NOW = 1_800_000_000.0
ID = "550e8400-e29b-41d4-a716-446655440000"
LAYOUT = {"caption": "Two seats"}
MEMO = prepare("chats.send_voicememo", path={"chat_id": ID}, body={"attachment_id": ID})
OPTIONS = prepare("messages.poll.add_options", path={"message_id": ID}, body={"options": [{"text": "Friday"}]})
CARD = prepare("messages.update_app_card", path={"message_id": ID}, body={"layout": LAYOUT})
SEND = prepare("chats.messages.send", path={"chat_id": ID}, body={"message": {"reply_to": {"message_id": ID}}})
CREATE = prepare("chats.create", body={"to": ["+14155550142"]})
ADD = prepare("chats.participants.add", path={"chat_id": ID}, body={"handle": "Ann@Example.com"})
REMOVE = prepare("chats.participants.remove", path={"chat_id": ID}, body={"handle": "Ann@Example.com"})
LEAVE = prepare("chats.leave_chat", path={"chat_id": ID})


def at(after_s: float) -> str:
    return datetime.fromtimestamp(NOW + after_s, UTC).isoformat()


def entry_of(call: Call, status: str = "attempting", **more: Any) -> JournalEntry:
    return JournalEntry("w.1", 0, "0", "key-0", call.safety, call.to_json(), status, NOW, **more)  # type: ignore[arg-type]


def linq(*answers: Any) -> tuple[Run, list[str]]:
    """Return a run that gives Linq's answers in turn, and the names of the calls that were made."""
    left, made = iter(answers), list[str]()

    async def run(call: Call) -> ApiResponse:
        made.append(call.name)
        answer = next(left)
        if isinstance(answer, LinqApiError):
            raise answer
        return ApiResponse(200, answer)

    return run, made


def listed(part: dict[str, Any], **changes: Any) -> dict[str, Any]:
    message = {"id": "new", "is_from_me": True, "created_at": at(1), "delivery_status": "sent", "parts": [part]}
    return {"messages": [message | changes]}


async def has_sent(message_id: str) -> bool:
    return message_id == "of another call"


AUDIO = {"type": "media", "mime_type": "audio/mp4"}
APP = {"type": "imessage_app", "layout": LAYOUT | {"subcaption": "Row 7"}}
IN_CHAT = {"chat_id": ID}


@pytest.mark.parametrize(
    ("call", "answers", "is_found"),
    [
        (MEMO, [listed(AUDIO)], True),
        (MEMO, [listed(AUDIO, is_from_me=False)], False),
        (MEMO, [listed(AUDIO, created_at=at(-3600))], False),
        (MEMO, [listed(AUDIO, id="of another call")], False),
        (MEMO, [listed(AUDIO | {"type": "voice"})], False),
        (MEMO, [listed(AUDIO | {"mime_type": "image/png"})], False),
        (MEMO, [listed(AUDIO, parts=None)], False),
        (MEMO, [{"messages": None, "next_cursor": None}], False),
        (OPTIONS, [{"poll": {"options": [{"text": "Friday"}, {"text": "Monday"}]}}], True),
        (OPTIONS, [{"poll": {"options": [{"text": "Monday"}]}}], False),
        (OPTIONS, [{"poll": {"options": None}}], False),
        (OPTIONS, [{"poll": None}], False),
        (CARD, [IN_CHAT, listed(APP)], True),
        (SEND, [], False),
    ],
)
async def test_an_effect_is_only_what_the_call_wanted(call: Call, answers: Sequence[Any], is_found: bool) -> None:
    run, made = linq(*answers)
    found = await find(call, entry_of(call), run, has_sent)
    assert (found is not None, len(made)) == (is_found, len(answers))


@pytest.mark.parametrize("part", [APP | {"layout": {"caption": "One seat"}}, APP | {"type": "link"}])
async def test_a_card_that_is_not_found_is_changed_again(part: dict[str, Any]) -> None:
    run, made = linq(IN_CHAT, listed(part), {})
    await find(CARD, entry_of(CARD), run, has_sent)
    assert made[2:] == [CARD.name]


def group(handle: str = "ann@example.com", **about: Any) -> dict[str, Any]:
    return {"handles": [{"handle": handle} | about]}


@pytest.mark.parametrize(
    ("call", "chat", "is_made"),
    [
        (ADD, group(status="active", joined_at=at(1)), True),
        (ADD, group(status=None, joined_at=at(1)), True),
        (ADD, group(status="active", joined_at=at(-3600)), False),
        (ADD, group(status="active", joined_at=None), False),
        (ADD, group(status="left", left_at=at(1)), False),
        (ADD, group("bob@example.com", status="active", joined_at=at(1)), False),
        (ADD, {"handles": None}, False),
        (REMOVE, group(status="removed", left_at=at(1)), True),
        (REMOVE, group(status="removed", left_at=at(-3600)), False),
        (REMOVE, group(status="active", joined_at=at(1)), False),
        (LEAVE, group(is_me=True, status="left", left_at=at(1)), True),
        (LEAVE, group(status="left", left_at=at(1)), False),
    ],
)
async def test_a_refused_change_of_a_group_was_made_if_it_shows(
    call: Call, chat: dict[str, Any], is_made: bool
) -> None:
    for status in (404, 409):
        run, _ = linq(chat)
        found = await change_made(call, entry_of(call), LinqApiError("refused", status=status), run)
        assert (found is not None) == is_made
    for other, status in ((call, 400), (SEND, 404)):
        run, made = linq()
        assert (await change_made(other, entry_of(other), LinqApiError("refused", status=status), run), made) == (
            None,
            [],
        )


async def test_a_404_is_about_the_message_that_a_call_replies_to_if_linq_does_not_know_it() -> None:
    assert await lacks_target(SEND, linq(LinqApiError("gone", status=404))[0])
    assert not await lacks_target(SEND, linq({"id": ID})[0])
    assert not await lacks_target(prepare("chats.messages.send", path={"chat_id": ID}, body={"message": {}}), linq()[0])
    with pytest.raises(LinqApiError):
        await lacks_target(SEND, linq(LinqApiError("forbidden", status=403))[0])


@pytest.mark.parametrize(
    ("call", "entry", "outcome"),
    [
        (SEND, {"status": "accepted", "answer": b'{"chat_id":"c"}'}, {"chat_id": "c"}),
        (SEND, {"status": "accepted", "answer": b""}, None),
        (SEND, {"status": "accepted", "answer": GONE}, MessageGone),
        (
            SEND,
            {"message_id": "m", "delivery": "read"},
            {"chat_id": ID, "message": {"id": "m", "delivery_status": "read"}},
        ),
        (
            CREATE,
            {"message_id": "m", "chat_id": "c", "delivery": "sent"},
            {"chat": {"id": "c", "message": {"id": "m", "delivery_status": "sent"}}},
        ),
        (SEND, {"status": "ambiguous"}, AmbiguousCall),
        (MEMO, {"status": "ambiguous"}, {"voice_memo": {"id": "", "status": "ambiguous"}}),
        (SEND, {"status": "refused", "answer": b'{"status":400,"code":1002}'}, LinqApiError),
        (SEND, {"status": "refused", "answer": b'{"status":429}'}, RateLimited),
        (SEND, {"status": "refused"}, LinqApiError),
    ],
)
def test_a_later_run_gets_the_answer_or_error_of_the_first(call: Call, entry: dict[str, Any], outcome: Any) -> None:
    try:
        found: Any = outcome_of(entry_of(call, **entry), call).data
    except (LinqApiError, MessageGone) as error:
        found = type(error)
    assert found == outcome


def test_the_ids_of_a_send_are_read_from_both_shapes_of_its_answer_and_are_texts() -> None:
    rows: list[tuple[Any, tuple[str | None, str | None]]] = [
        ({"chat_id": "c", "message": {"id": "m"}}, ("m", "c")),
        ({"chat": {"id": "c", "message": {"id": "m"}}}, ("m", "c")),
        ({"chat_id": 7, "message": {"id": 7}}, (None, None)),
        ({"chat_id": "", "message": {"id": ""}}, (None, None)),
        ({"chat": "c", "message": "m"}, (None, None)),
        (["c", "m"], (None, None)),
        (None, (None, None)),
    ]
    assert [ids_in(ApiResponse(202, data)) for data, _ in rows] == [ids for _, ids in rows]
